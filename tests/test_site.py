"The documentation site builds without a warning, and shows neither directives nor hidden cells."
import os, re, subprocess, sys

import pytest
from paths import ROOT

pytestmark = pytest.mark.slow  # Sphinx takes minutes


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run([sys.executable, ROOT/"nbs"/"site"/"build.py", out], capture_output=True, text=True, cwd=ROOT,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr[-3000:]
    return out/"html"


def test_every_notebook_command_and_package_has_a_page(site):
    from lrat.core.cli import COMMANDS
    for path in (ROOT/"nbs").rglob("*.ipynb"):
        if ".ipynb_checkpoints" not in path.parts: assert (site/path.relative_to(ROOT/"nbs").with_suffix(".html")).is_file()
    for command in COMMANDS: assert (site/"commands"/f"{command.name}.html").is_file()
    for package in {path.parent.name for path in (ROOT/"lrat").glob("*/*.py")}: assert (site/"reference"/f"{package}.html").is_file()


def test_no_directive_shows(site):
    for page in site.rglob("*.html"):
        text = re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8"))
        assert not re.search(r"^#\|\s*(export|hide|default_exp)", text, re.MULTILINE), page


def test_every_internal_link_and_anchor_of_the_site_is_there(site):
    ids = {}
    for page in site.rglob("*.html"): ids[page.resolve()] = set(re.findall(r"\bid=\"([^\"]+)\"", page.read_text(encoding="utf-8")))
    for page in ids:
        for link in re.findall(r"<a [^>]*href=\"([^\"]+)\"", page.read_text(encoding="utf-8")):
            if re.match(r"[a-z]+:", link): continue
            target, _, anchor = link.partition("#")
            there = (page.parent/target).resolve() if target else page
            assert there.is_file(), f"{page}: {link}"
            if anchor and there in ids: assert anchor in ids[there], f"{page}: {link}"


def test_nothing_is_loaded_from_elsewhere(site):
    for page in site.rglob("*.html"):
        assert not re.search(r"<(script|link|img)[^>]+(src|href)=\"https?://", page.read_text(encoding="utf-8")), page
