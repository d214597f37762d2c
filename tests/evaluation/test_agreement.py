"Two verdict files, compared: against a second implementation, with files that do not fit, and with what strangers wrote on the page."
import json, re
from html.parser import HTMLParser

import numpy as np
import pytest

from lrat.evaluation.agreement import ANSWERS, VerdictPair, agree_command, kappa, pair_verdicts
from lrat.core.settings import InputError, LratError
from lrat.judging.judge import RuleJudge, judge_trajectories, judged_browses
from lrat.trajectories.trajectory import iterate_trajectories
from program import lrat
from small_trajectories import write_runs


def write(path, said, **more):
    lines = ({"run": run, "step": step, "docid": "7", "verdict": verdict} | more for (run, step), verdict in said.items())
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def random_pairs(count, seed):
    rng = np.random.default_rng(seed)
    first = rng.choice(ANSWERS, count, p=[.6, .3, .1])
    second = np.where(np.repeat(rng.random(count // 4) < .6, 4), first, rng.choice(ANSWERS, count)) # Whole trajectories are alike
    return [VerdictPair(f"run_{n // 4}", n, "7", *map(str, both)) for n, both in enumerate(zip(first, second))]


@pytest.mark.parametrize("answers", [ANSWERS, ANSWERS[:2]])
def test_kappa_is_that_of_scikit_learn(answers):
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn comes with the dense extra")
    for seed in range(5):
        pairs = random_pairs(200, seed)
        both = [(p.first, p.second) for p in pairs if p.first in answers and p.second in answers]
        assert kappa(pairs, answers, 10).value == pytest.approx(metrics.cohen_kappa_score(*zip(*both)), abs=1e-12)


def test_the_interval_is_that_of_trajectories_drawn_one_by_one():
    pairs, rng, drawn = random_pairs(120, 1), np.random.default_rng(3), []
    by_run = [[p for p in pairs if p.run == run] for run in sorted({p.run for p in pairs})]
    for _ in range(400): drawn.append(kappa([p for n in rng.integers(len(by_run), size=len(by_run)) for p in by_run[n]], ANSWERS, 2).value)
    found = kappa(pairs, ANSWERS, 4000)
    assert np.quantile(drawn, [.025, .975]) == pytest.approx([found.low, found.high], abs=.04)
    assert found == kappa(pairs, ANSWERS, 4000)


def test_files_with_no_browse_in_common(tmp_path):
    a, b = (write(tmp_path/f"{name}.jsonl", {(f"run_{name}", 1): "yes"}) for name in "ab")
    with pytest.raises(LratError, match="a.jsonl and .*b.jsonl have no opened document in common .the first begins with run_a, step 1"): agree_command(a, b)
    c = write(tmp_path/"c.jsonl", {("run_a", 1): "no"})
    runs = write_runs(tmp_path/"runs", 2)
    with pytest.raises(LratError, match="in common that is in .*runs"): agree_command(a, c, trajectories=str(runs))
    (tmp_path/"empty.jsonl").write_text("")
    with pytest.raises(LratError, match="the second with nothing"): agree_command(a, str(tmp_path/"empty.jsonl"))


def test_failed_and_missing_are_counted_and_are_not_answers(tmp_path, capsys):
    a = write(tmp_path/"a.jsonl", {("run_1", 1): "yes", ("run_1", 3): "failed", ("run_2", 1): "no", ("run_3", 1): "yes"})
    b = write(tmp_path/"b.jsonl", {("run_1", 1): "yes", ("run_1", 3): "yes", ("run_2", 1): "undecided"})
    agree_command(a, b)
    said = capsys.readouterr().out
    assert "4 opened documents of 3 trajectories" in said and "failed\t1\t0\t0" in said and "yes\t1\t0\t1" in said
    assert re.search(r"same verdict, yes or no\t1.000 .*n = 1\n", said) and re.search(r"same verdict, with undecided\t0.500 .*n = 2\n", said)
    assert "Cohen's kappa, yes or no\t- (n = 1)" in said


@pytest.mark.parametrize("line,says", [('{"run": "run_1", "step": 1, "verdict": "maybe"}', "b.jsonl:1: verdict is 'maybe'"), ("{", "b.jsonl:1: is not valid JSON")])
def test_a_bad_line_is_named(tmp_path, line, says):
    a = write(tmp_path/"a.jsonl", {("run_1", 1): "yes"})
    (tmp_path/"b.jsonl").write_text(line + "\n")
    with pytest.raises(InputError, match=says): agree_command(a, str(tmp_path/"b.jsonl"))


def test_a_verdict_on_other_notes_is_stale(tmp_path):
    runs = write_runs(tmp_path/"runs", 3)
    judge_trajectories(runs, RuleJudge(), tmp_path/"a.jsonl")
    write_runs(runs, 2) # The same again
    path = runs/"run_01.json"
    path.write_text(json.dumps(json.loads(path.read_text().replace("thought 1", "another thought")))) # As another tool writes it
    pairs = pair_verdicts(tmp_path/"a.jsonl", tmp_path/"a.jsonl", runs)
    assert [p.first for p in pairs] == ["undecided", "stale", "undecided"]


class Page(HTMLParser):
    "Tags of a page, where its links go, and whether each tag is closed"
    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.links = [], [], []
        self.feed(text)
    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("href", "src")]
        assert not any(name.startswith("on") for name, _ in attributes)
        if tag != "meta": self.open.append(tag)
    def handle_endtag(self, tag): assert self.open.pop() == tag


def test_the_page_runs_nothing_and_asks_nobody(tmp_path):
    runs = write_runs(tmp_path/"runs", 30)
    evil = '</div><img src=x onerror=alert(1)><script src="https://example.org/x.js"></script> {{ 7 * 7 }}'
    for path in runs.glob("*.json"):
        run = json.loads(path.read_text())
        run["query"], run["result"][2]["output"] = evil, evil
        path.write_text(json.dumps(run))
    keys = [(c.run, c.step) for run in iterate_trajectories(runs) for c in judged_browses(run)]
    a = write(tmp_path/"a.jsonl", dict.fromkeys(keys, "yes"), judge=evil, reply=evil, thinking=evil)
    b = write(tmp_path/"b.jsonl", dict.fromkeys(keys, "no"), agreement=.5, votes=[{"verdict": "no", "judge": evil, "reply": evil}])
    for name in ("one.html", "two.html"): agree_command(a, b, trajectories=str(runs), page=str(tmp_path/name), limit=20, resamples=100)
    text = (tmp_path/"one.html").read_text()
    page = Page(text)
    assert not page.open and {"script", "img", "link", "iframe"}.isdisjoint(page.tags) and all(link.startswith("#") for link in page.links)
    assert page.tags.count("article") == 20 and "20 of 30 disagreements are shown, drawn with the seed 2025" in text and "49" not in text
    assert text.count("&lt;script src=") == 20 * 7 # Question, notes; judge, reply, thinking; judge and reply of a vote
    assert 'name="viewport"' in text and "overflow-wrap: anywhere" in text and (tmp_path/"two.html").read_text() == text


def test_both_halves_of_the_command_line_are_named_alike(tmp_path):
    runs = write_runs(tmp_path/"runs", 3)
    a, b = (write(tmp_path/f"{name}.jsonl", {(f"run_{n:02}", 1): verdict for n in range(3)}) for name, verdict in (("a", "yes"), ("b", "no")))
    done = lrat("agree", a, b, "--trajectories", runs, "--limit", "2", "--page", tmp_path/"page.html")
    assert done.returncode == 0 and done.stdout.endswith("page.html: 2 disagreements\n"), done.stderr
    assert (tmp_path/"page.html").read_text().startswith("<!doctype html>")


def test_a_mistake_is_one_line(tmp_path):
    a = write(tmp_path/"a.jsonl", {("run_1", 1): "yes"})
    for words, says in (([a, "none.jsonl"], "none.jsonl: there is no such file"), ([a, a, "--qrels", "q.txt"], "--qrels needs --trajectories"),
                        ([a, a, "--trajectories", "none"], "none: holds no trajectory files"), ([a, a, "--limit", "0"], "--limit is 0"), ([a], "second")):
        done = lrat("agree", *words, cwd=tmp_path)
        assert done.returncode == 2 and says in done.stderr.strip().splitlines()[-1] and "Traceback" not in done.stderr
