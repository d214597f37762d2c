"Chromium without a window, for tests of pages. A test that needs it skips where it is not installed, and says so."
import contextlib, os, shutil, time

import pytest


@contextlib.contextmanager
def open_browser(width=1280, height=900, dark=False):
    "A selenium driver; skips the test without selenium, Chromium or its driver"
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed; pip install 'lrat[dev]'")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if not program or not driver: pytest.skip("there is no Chromium with its driver here; on Debian: apt install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for word in ("headless=new", "disable-gpu", "disable-dev-shm-usage", "no-first-run", *["no-sandbox"] * (os.geteuid() == 0)): options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        shape(browser, width, height, dark)
        yield browser
    finally: browser.quit()


def shape(browser, width=1280, height=900, dark=False):
    "Give the page another size, or the colours of a dark or light system"
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})


def press(browser, *keys):
    "Press keys one after the other"
    from selenium.webdriver import ActionChains, Keys
    for key in keys: ActionChains(browser).send_keys(getattr(Keys, key, key)).perform()


def until(browser, script, *values, seconds=20):
    "What the script returns, as soon as that is something"
    end = time.monotonic() + seconds
    while not (found := browser.execute_script(script, *values)):
        if time.monotonic() > end: raise AssertionError(f"after {seconds} s still not: {script}")
        time.sleep(.02)
    return found


def text_of(browser, selector): return browser.execute_script("return [...document.querySelectorAll(arguments[0])].map(one => one.textContent)", selector)


def visible(browser, selector): return browser.execute_script("const one = document.querySelector(arguments[0]); return Boolean(one && one.getClientRects().length)", selector)
