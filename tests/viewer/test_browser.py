"The page in a real browser: what it shows, its keys, two folders, a phone, and logs that try to run something."
import contextlib, dataclasses, json, os, signal, subprocess, sys
from pathlib import Path

import pytest
from browser import open_browser, press, shape, text_of, until, visible
from lrat.core.files import read_json, to_json, write_json, write_jsonl
from lrat.core.settings import load_settings
from lrat.evaluation.agreement import agree_command
from lrat.paper.report import build_report
from lrat.paper.results import make_artefact, results_folder
from lrat.pipeline.pipeline import Pipeline
from lrat.testing.invented_scores import invent_scores
from lrat.testing.museum import QUESTIONS, TRAJECTORY
from lrat.trajectories.trajectory import Step, Trajectory, write_trajectory
from lrat.viewer.folder import TrajectoryFolder
from lrat.viewer.page import packed, page_parts, page_settings, write_page

LRAT = Path(sys.executable).parent/"lrat"
ATTACKS = ["</script><script>window.hacked=1</script>", "<img src=x onerror='window.hacked=2'>", "<svg/onload=window.hacked=3>", "javascript:window.hacked=4",
           "{{constructor.constructor('window.hacked=5')()}}", "${window.hacked=6}", "<!--<script>", "]]>", "\"'><iframe srcdoc='<script>parent.hacked=7</script>'>"]


@pytest.fixture(scope="module")
def browser():
    with open_browser() as found: yield found


def open_page(browser, address, key="", **form):
    "Show a page from the beginning"
    shape(browser, **form)
    browser.get("about:blank")
    browser.get_log("browser") # Forgets what was said so far
    browser.get(f"{address}#{key}")
    until(browser, "return /^[\\d,]+ (traj|quest)/.test(document.querySelector('.reads')?.textContent)")


def reads(browser): return text_of(browser, ".reads")[0]


@pytest.fixture(scope="module")
def museum(tmp_path_factory):
    "Six trajectories, with verdicts and a pair, in one file"
    folder = tmp_path_factory.mktemp("museum")
    for question in QUESTIONS:
        steps = TRAJECTORY.steps if question.query_id == "q1" else [*TRAJECTORY.steps[:4], Step("output_text", output=f"Perhaps {question.query_id}")]
        write_trajectory(folder/"runs", Trajectory(question.query_id, question.text, "budget" if question.query_id == "q2" else "completed", steps, question.answer))
    write_jsonl(folder/"verdicts.jsonl", [{"run": "run_q1", "step": 2, "verdict": "no", "judge": "rule"},
                                          {"run": "run_q1", "step": 5, "verdict": "yes", "judge": "rule", "reply": "It names the lamp."}])
    write_jsonl(folder/"pairs.jsonl", [{"query": "lamp of cut glass with a lens", "pos": ["Lantern of Orrin\nA lamp."], "neg": ["Ilse Harrow\nA maker.", "Cole Pender\nAn astronomer."],
        "pos_id": ["m07"], "neg_id": ["m08", "m10"], "satisfied": True, "trajectory": "run_q1", "step": 5, "reasoning_len": 43, "reweight_rate": 1.25}])
    write_page(folder/"page.html", [TrajectoryFolder(folder/"runs", folder/"verdicts.jsonl", folder/"pairs.jsonl", qrels={"q1": {"m07": 1}})])
    return (folder/"page.html").as_uri()


def test_a_timeline_shows_lists_what_was_opened_verdicts_and_pairs(browser, museum):
    open_page(browser, museum, "q1")
    until(browser, "return document.querySelector('.event')")
    assert text_of(browser, ".event .kind") == ["Thought", "Search", "Opened", "Reasoning after step 2", "Search", "Opened", "Reasoning after step 5", "Answer"]
    assert text_of(browser, ".results .title") == ["Cole Pender", "Telescope of Cole Pender", "Ilse Harrow", "Dunmere", "Telescope of Cole Pender", "Lantern of Orrin", "Ilse Harrow"]
    assert text_of(browser, ".results > .opened .docid") == ["m10", "m07"]
    assert text_of(browser, ".results > .opened .chip") == ["opened, step 2", "not useful", "evidence", "opened, step 5", "useful"]
    assert text_of(browser, ".pair .weight") == ["weight 1.25"] and text_of(browser, ".pair .members .docid") == ["m07", "m08", "m10"]
    assert text_of(browser, ".event.open .pair .query") == ["lamp of cut glass with a lens"]
    assert text_of(browser, ".origin")[1] == "rank 3 of the search in step 4"
    assert "evidence: 1 of 1 found, 1 opened" in text_of(browser, ".facts")[0] and "Gold answer Lantern of Orrin" in text_of(browser, ".event.answer")[0]


def test_keys(browser, museum):
    open_page(browser, museum)
    question = "return document.querySelector('.reader h1')?.textContent === arguments[0]"
    press(browser, "j")
    until(browser, question, QUESTIONS[0].text)
    press(browser, "j", "j", "k")
    until(browser, question, QUESTIONS[1].text)
    press(browser, "k", "ENTER")
    until(browser, "return document.querySelectorAll('.event').length === 8")
    press(browser, "j", "j")
    assert browser.switch_to.active_element.get_attribute("data-step") == "1"
    press(browser, "ENTER")
    assert browser.execute_script("return [...document.activeElement.querySelectorAll('details')].every(one => one.open)")
    press(browser, "n")
    until(browser, question, QUESTIONS[1].text)
    press(browser, "ESCAPE", "j")
    until(browser, question, QUESTIONS[2].text)
    press(browser, "?")
    until(browser, "return document.querySelector('dialog kbd')?.getClientRects().length")
    press(browser, "ESCAPE")
    until(browser, "return !document.querySelector('dialog')")
    press(browser, "/", *"comet")
    assert browser.switch_to.active_element.get_attribute("id") == "search" and reads(browser) == "0 of 6"
    press(browser, "ESCAPE")
    until(browser, "return document.querySelector('#search').value === ''")
    assert reads(browser) == "6 trajectories"
    press(browser, *"telescope", "ENTER")
    until(browser, question, QUESTIONS[3].text)


def choose(browser, label, value):
    browser.execute_script("""const one = [...document.querySelectorAll('.choices label, .choices .range')].find(one => one.textContent.startsWith(arguments[0])).querySelector('select, input');
        one.value = arguments[1]; one.dispatchEvent(new Event('change', {bubbles: true})); one.dispatchEvent(new Event('input', {bubbles: true}));""", label, value)
    browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")


@pytest.mark.parametrize("label,value,left", [("Status", "budget", 1), ("Answer", "right", 1), ("Answer", "wrong", 5), ("Judged", "yes", 1), ("Judged", "none", 5),
                                              ("Pairs", "some", 1), ("Searches", "2", 1), ("Opened", "3", 0)])
def test_filters(browser, museum, label, value, left):
    open_page(browser, museum)
    choose(browser, label, value)
    assert reads(browser) == f"{left} of 6"
    assert len(text_of(browser, ".rows li")) == left and visible(browser, ".nothing") == (left == 0)


def test_dark_and_light_follow_the_system_and_a_button(browser, museum):
    def paper(): return browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    open_page(browser, museum)
    light = paper()
    open_page(browser, museum, dark=True)
    assert light == "rgb(255, 255, 255)" and paper() != light
    press(browser, "t")
    assert paper() == light


def test_a_phone_shows_the_list_or_one_trajectory(browser, museum):
    open_page(browser, museum, width=400, height=860)
    assert visible(browser, ".rows") and not visible(browser, ".reader")
    browser.execute_script("document.querySelector('.rows li').click()")
    until(browser, "return document.querySelectorAll('.event').length === 8")
    assert not visible(browser, ".rows") and visible(browser, ".back")
    assert browser.execute_script("return document.documentElement.scrollWidth") == 400
    browser.back()
    until(browser, "return document.querySelector('.rows').getClientRects().length > 0")


def test_two_folders_stand_side_by_side(browser, tmp_path):
    wrong = dataclasses.replace(TRAJECTORY, steps=[*TRAJECTORY.steps[:4], Step("output_text", output="Bell")])
    write_trajectory(tmp_path/"base", wrong)
    write_trajectory(tmp_path/"trained", TRAJECTORY)
    for query_id, folder in (("q2", "base"), ("q3", "trained")): write_trajectory(tmp_path/folder, dataclasses.replace(TRAJECTORY, query_id=query_id))
    write_page(tmp_path/"page.html", [TrajectoryFolder(tmp_path/name) for name in ("base", "trained")])
    open_page(browser, (tmp_path/"page.html").as_uri(), "q1")
    until(browser, "return document.querySelectorAll('.event').length === 5 + 8")
    assert text_of(browser, ".trajectory .label") == ["base", "trained"] and text_of(browser, ".facts .mark") == ["✗", "✓"]
    assert text_of(browser, ".compared dt") == ["Opened by both", "Only trained"] and text_of(browser, ".compared dd") == ["Cole Pender", "Lantern of Orrin"]
    choose(browser, "Answer", "gained")
    assert reads(browser) == "1 of 3"
    press(browser, "l", "j")
    assert browser.execute_script("return document.activeElement.closest('.trajectory').dataset.column") == "1"
    open_page(browser, (tmp_path/"page.html").as_uri(), "q3", width=400)
    until(browser, "return document.querySelector('.sides')")
    assert "No trajectory for this question here." in text_of(browser, ".trajectory")[0]


# ---------------------------------------------------------------- logs of strangers

def write_hostile(folder, attack):
    "A folder in which every text that a log may hold is an attack"
    docid = attack.replace(" ", "_")
    results = to_json([{"docid": docid, "title": attack, "snippet": attack, "score": 1}])
    steps = [Step("reasoning", output=attack, reasoning_content=attack), Step("tool_call", "search", {"query": attack}, results),
             Step("tool_call", "get_document", {"docid": docid}, attack), Step("reasoning", output=attack), Step("tool_call", attack, attack, attack),
             Step("output_text", output=attack)]
    run = Trajectory(attack, attack, attack, steps, attack, {attack: attack}, {attack: 0}, {attack: 2}, name="run_hostile")
    path = write_trajectory(folder/"runs", run).rename(folder/"runs"/"run_hostile.json")
    write_jsonl(folder/"verdicts.jsonl", [{"run": "run_hostile", "step": 2, "verdict": "yes", "judge": attack, "reply": attack, "thinking": attack, "error": attack}])
    write_jsonl(folder/"pairs.jsonl", [{"query": attack, "pos": [attack], "neg": [attack], "pos_id": [docid], "neg_id": [attack], "neg_tiers": [attack], "trajectory": "run_hostile",
                                        "step": step, "reweight_rate": 1.} for step in (2, 99)])
    (folder/"runs"/"run_broken.json").write_text(to_json({"query_id": "broken", "result": [{"type": attack}]}))
    return path.parent


@contextlib.contextmanager
def served(*words, **environment):
    "The address of `lrat view` in a process of its own"
    server = subprocess.Popen([LRAT, "view", *map(str, words), "--port", "0"], stdout=subprocess.PIPE, text=True, env=os.environ | environment)
    try: yield server.stdout.readline().partition(": ")[0]
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=60)
    assert server.returncode == 0


def check_inert(browser, address, attack):
    open_page(browser, address)
    browser.execute_script("document.querySelector('.rows li').click()")
    until(browser, "return document.querySelectorAll('.event').length === 8")
    press(browser, "e")
    browser.execute_script("document.querySelectorAll('button.more').forEach(one => one.click())")
    assert until(browser, "return document.querySelector('h1').textContent") == attack
    assert repr(attack) in text_of(browser, ".note")[0], "the file that cannot be read is quoted"
    assert sum(attack in text for text in text_of(browser, ".event")) == 8
    assert browser.execute_script("return [window.hacked, document.querySelectorAll('img, svg, iframe, a, script:not([type])').length]") == [None, 2]
    assert not browser.get_log("browser"), "neither an error nor a violation of the policy"


@pytest.mark.parametrize("attack", ATTACKS, ids=range(len(ATTACKS)))
def test_what_a_log_holds_is_text(browser, tmp_path, attack):
    runs = write_hostile(tmp_path, attack)
    write_page(tmp_path/"page.html", [TrajectoryFolder(runs, tmp_path/"verdicts.jsonl", tmp_path/"pairs.jsonl")])
    assert attack not in (tmp_path/"page.html").read_text(encoding="utf-8")
    check_inert(browser, (tmp_path/"page.html").as_uri(), attack)


def test_the_served_page_is_as_inert(browser, tmp_path):
    attack = "".join(ATTACKS[:3])
    with served(write_hostile(tmp_path, attack), "--verdicts", tmp_path/"verdicts.jsonl", "--pairs", tmp_path/"pairs.jsonl") as address: check_inert(browser, address, attack)


def check_no_element(browser, address, attack, shown):
    "A page that shows the attack as text, and made nothing of it"
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get(address)
    until(browser, "return document.readyState === 'complete'")
    assert browser.execute_script("return document.body.textContent").count(attack) >= shown
    assert browser.execute_script("""return [window.hacked, [...document.querySelectorAll('img, iframe, script, [onload], [onerror], [srcdoc]')].filter(one => !one.closest('svg[role=img]')).length,
        [...document.querySelectorAll('[href], [src]')].filter(one => /^(?:javascript|data|https?):/i.test(one.getAttribute('href') || one.getAttribute('src') || '')).length]""") == [None, 0, 0]
    assert not browser.get_log("browser")


def test_the_page_of_disagreements_is_as_inert(browser, tmp_path):
    for n, attack in enumerate(ATTACKS):
        runs = write_hostile(tmp_path/str(n), attack)
        for name, verdict in (("a", "yes"), ("b", "no")):
            write_jsonl(tmp_path/str(n)/f"{name}.jsonl", [{"run": "run_hostile", "step": 2, "verdict": verdict, "judge": attack, "reply": attack, "thinking": attack, "error": attack, "votes": [{"verdict": "no", "judge": attack, "reply": attack}]}])
        (runs/"run_broken.json").unlink()
        agree_command(str(tmp_path/str(n)/"a.jsonl"), str(tmp_path/str(n)/"b.jsonl"), trajectories=str(runs), page=str(tmp_path/str(n)/"agree.html"), resamples=10)
        check_no_element(browser, (tmp_path/str(n)/"agree.html").as_uri(), attack, 6)


def test_the_report_is_as_inert(browser, empty_project):
    attack, settings = "".join(ATTACKS[:8]), load_settings("smoke") # The last holds quotes, which the report shows as JSON does
    make_artefact("table2", settings, invent_scores(Pipeline(settings)))
    path = results_folder("smoke")/"table2.json"
    def hostile(value): # Names that users give: models, systems, questions
        if isinstance(value, dict): return {name: hostile(one) for name, one in value.items()}
        if isinstance(value, list): return [hostile(one) for one in value]
        return attack if value in ("all-MiniLM-L6-v2", "wikipedia-leads", "hasty") else value
    found = read_json(path)
    write_json(path, found | {"settings": hostile(found["settings"])})
    check_no_element(browser, build_report("smoke").as_uri(), attack, 1)


def test_the_policy_stops_a_script_that_got_in(browser, museum):
    open_page(browser, museum)
    browser.execute_script("""const script = document.createElement('script'); script.textContent = 'window.hacked = 1'; document.body.append(script);
        document.body.insertAdjacentHTML('beforeend', '<img src="x" onerror="window.hacked = 2">');""")
    assert len([line for line in browser.get_log("browser") if "Content Security Policy" in line["message"]]) >= 2
    assert browser.execute_script("return window.hacked") is None


def test_a_server_with_a_token_asks_for_it(browser, tmp_path):
    write_trajectory(tmp_path/"runs", TRAJECTORY)
    with served(tmp_path/"runs", LRAT_SERVE_TOKEN="a token of some length") as address:
        browser.get(address)
        until(browser, "return document.querySelector('.token input')")
        for given, left in (("wrong", True), ("a token of some length", False)):
            browser.find_element("css selector", ".token input").clear()
            browser.find_element("css selector", ".token input").send_keys(given)
            browser.find_element("css selector", ".token button").click()
            until(browser, "return Boolean(document.querySelector('.token')) === arguments[0]", left)
        until(browser, "return document.querySelector('.reads').textContent === '1 trajectory'")


def test_values_of_other_types_than_expected_are_shown_or_named(browser, tmp_path):
    results = [{"docid": 7, "score": "best", "title": {"a": 1}, "snippet": ["x"]}, {"docid": "", "score": True}]
    odd = {"query_id": 5, "query": {"text": "?"}, "answer": ["a", "b"], "status": 3, "metadata": {"x": [1e300]}, "tool_call_counts_all": {"search": "many"}, "result": [
        {"type": "tool_call", "tool_name": "search", "arguments": {"query": {"q": 1}}, "output": results}, {"type": "tool_call", "tool_name": "get_document", "arguments": {"docid": [7, {}]}, "output": 3},
        {"type": "reasoning", "output": ["no", {"text": "text"}]}, {"type": "output_text", "output": None}]}
    (tmp_path/"run_5.json").write_text(json.dumps(odd))
    write_jsonl(tmp_path/"verdicts.jsonl", [{"run": "run_5", "step": 1, "verdict": "YES ", "judge": {"a": 1}, "reply": [1], "error": {"b": 2}}])
    write_jsonl(tmp_path/"pairs.jsonl", [{"query": "?", "pos": [{"a": 1}], "neg": [None], "trajectory": "run_5", "step": 1, "reweight_rate": "1", "neg_tiers": [{}], "neg_weights": ["x"]}])
    write_page(tmp_path/"page.html", [TrajectoryFolder(tmp_path, tmp_path/"verdicts.jsonl", tmp_path/"pairs.jsonl")])
    open_page(browser, (tmp_path/"page.html").as_uri(), "5")
    until(browser, "return document.querySelector('.event.answer')")
    assert text_of(browser, ".results .docid")[0] == "7" and text_of(browser, ".judgement .chip") and not text_of(browser, ".error")
    assert not browser.get_log("browser")


# ---------------------------------------------------------------- many trajectories

def test_of_five_thousand_trajectories_only_those_in_view_are_drawn(browser, museum, tmp_path):
    rows = [{"name": f"run_{n}", "id": f"{n}", "question": f"Question number {n}", "status": "completed", "correct": n % 2 == 0, "searches": n % 9, "opens": n % 4,
             "verdicts": {}, "pairs": 0, "words": f"question number {n}"} for n in range(5000)]
    write_trajectory(tmp_path/"runs", TRAJECTORY)
    settings = page_settings([TrajectoryFolder(tmp_path/"runs")], served=False)
    parts = page_parts(settings, [("rows-0", packed({"rows": rows, "total": 5000, "done": True, "notes": []}))], [])
    (tmp_path/"page.html").write_text("".join(parts))
    open_page(browser, (tmp_path/"page.html").as_uri())
    assert reads(browser) == "5,000 trajectories" and 5 < len(text_of(browser, ".rows li")) < 40
    press(browser, "/", *"4999")
    until(browser, "return document.querySelector('.reads').textContent === '1 of 5,000'")
    assert text_of(browser, ".rows .question") == ["Question number 4999"]


@pytest.mark.slow
def test_five_thousand_trajectories_open_within_two_seconds(browser, tmp_path):
    for n in range(5000): write_trajectory(tmp_path/"runs", dataclasses.replace(TRAJECTORY, query_id=f"{n:04}"))
    write_page(tmp_path/"page.html", [TrajectoryFolder(tmp_path/"runs")])
    open_page(browser, (tmp_path/"page.html").as_uri())
    assert browser.execute_script("return performance.now()") < 2000
    with served(tmp_path/"runs") as address:
        browser.get(address)
        until(browser, "return document.querySelector('.rows li')")
        assert browser.execute_script("return performance.now()") < 2000
        until(browser, "return document.querySelector('.reads').textContent === '5,000 trajectories'")
