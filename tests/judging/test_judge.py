"A judge that dies, errs or cannot tell never makes a label, and never decides twice."
import os, signal, subprocess, sys, time

import pytest

from lrat.judging.judge import AcceptAll, Decision, Judge, RuleJudge, judge_trajectories, judged_browses
from lrat.judging.llm import LLMJudge, read_verdict
from lrat.judging.command import make_judge
from lrat.judging.verdicts import read_verdicts
from lrat.judging.answers import same_answer
from lrat.llm.http import ModelFailure
from lrat.trajectories.trajectory import Trajectory, Step, iterate_trajectories, write_trajectory
from lrat.core.settings import InputError, LratError
from paths import TESTS
from small_trajectories import rows, write_runs


@pytest.fixture
def runs(tmp_path): return write_runs(tmp_path/"runs", 30)


class Counting(Judge):
    "Says yes to all, and can be interrupted"
    name = "counting"
    def __init__(self, stop_at=None, delay=0): self.calls, self.stop_at, self.delay = [], stop_at, delay
    def decide(self, browse):
        if len(self.calls) == self.stop_at: raise KeyboardInterrupt
        time.sleep(self.delay)
        self.calls.append(browse.run)
        return Decision("yes")


def test_an_interrupted_judge_resumes(runs, tmp_path):
    judge_trajectories(runs, Counting(), tmp_path/"whole.jsonl")
    first, second = Counting(stop_at=12), Counting()
    with pytest.raises(KeyboardInterrupt): judge_trajectories(runs, first, tmp_path/"v.jsonl")
    assert not (tmp_path/"v.jsonl").exists()
    assert judge_trajectories(runs, second, tmp_path/"v.jsonl") == {"yes": 30, "no": 0, "undecided": 0, "failed": 0, "kept": 12}
    assert len(first.calls) + len(second.calls) == 30
    assert (tmp_path/"v.jsonl").read_bytes() == (tmp_path/"whole.jsonl").read_bytes()
    assert not list(tmp_path.glob(".v.jsonl*"))
    judge_trajectories(runs, Counting(stop_at=0), tmp_path/"v.jsonl") # Nothing is left to judge


def test_a_killed_process_loses_no_verdict(runs, tmp_path):
    out = tmp_path/"v.jsonl"
    side = tmp_path/".v.jsonl.so-far"
    program = f"from test_judge import *; judge_trajectories({str(runs)!r}, Counting(delay=.1), {str(out)!r})"
    process = subprocess.Popen([sys.executable, "-c", program], cwd=TESTS/"judging", env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])}, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (side.exists() and side.read_text().count("\n") >= 3): time.sleep(.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not out.exists()
    again = Counting()
    assert judge_trajectories(runs, again, out)["kept"] >= 3 and len(again.calls) <= 27
    assert [r["run"] for r in rows(out)] == [f"run_{n:02}" for n in range(30)]


def test_a_torn_last_line_is_judged_again(runs, tmp_path):
    judge_trajectories(runs, Counting(), tmp_path/"v.jsonl")
    whole = (tmp_path/"v.jsonl").read_bytes()
    (tmp_path/".v.jsonl.so-far").write_bytes(whole[:-20])
    (tmp_path/"v.jsonl").unlink()
    again = Counting()
    judge_trajectories(runs, again, tmp_path/"v.jsonl")
    assert again.calls == ["run_29"] and (tmp_path/"v.jsonl").read_bytes() == whole


def test_a_changed_run_is_judged_again(runs, tmp_path):
    judge_trajectories(runs, Counting(), tmp_path/"v.jsonl")
    run = next(iterate_trajectories(runs))
    run.steps[2] = Step("reasoning", output="another thought")
    write_trajectory(runs, run)
    again = Counting()
    judge_trajectories(runs, again, tmp_path/"v.jsonl")
    assert again.calls == ["run_00"] and len(rows(tmp_path/"v.jsonl")) == 30


def test_verdicts_of_another_judge_are_not_mixed(runs, tmp_path):
    judge_trajectories(runs, AcceptAll(), tmp_path/"v.jsonl")
    before = (tmp_path/"v.jsonl").read_bytes()
    with pytest.raises(LratError, match="another judge"): judge_trajectories(runs, RuleJudge(), tmp_path/"v.jsonl")
    assert (tmp_path/"v.jsonl").read_bytes() == before


class Model:
    "A model that says one thing, or fails at the given calls"
    def __init__(self, says="yes", fails=lambda n: False): self.says, self.fails, self.calls = says, fails, 0
    def identity(self): return {"model": "stand-in"}
    def reply(self, messages):
        self.calls += 1
        if self.fails(self.calls): raise ModelFailure("no connection")
        return type("Reply", (), {"content": self.says})


@pytest.mark.parametrize("model,why", [(Model(fails=lambda n: True), "no connection"), (Model("RELEVANT"), "unreadable reply: 'RELEVANT'")])
def test_a_judge_that_keeps_failing_stops_early_and_writes_nothing(runs, tmp_path, model, why):
    with pytest.raises(LratError, match=f"have no usable reply .{why}"): judge_trajectories(runs, LLMJudge(model, 1), tmp_path/"v.jsonl")
    assert model.calls < 30 and not (tmp_path/"v.jsonl").exists()
    with pytest.raises(LratError, match="no usable reply"): judge_trajectories(runs, LLMJudge(model, 1), tmp_path/"v.jsonl")


def test_a_few_failures_are_not_labels_and_are_asked_again(runs, tmp_path):
    counts = judge_trajectories(runs, LLMJudge(Model(fails=lambda n: n % 15 == 0), 1), tmp_path/"v.jsonl")
    assert (counts["yes"], counts["failed"], counts["no"]) == (28, 2, 0)
    said, (first, *_) = read_verdicts(tmp_path/"v.jsonl"), [r for r in rows(tmp_path/"v.jsonl") if r["verdict"] == "failed"]
    run = next(r for r in iterate_trajectories(runs) if r.name == first["run"])
    assert said(run, run.browses()[0]) == "failed"
    fixed = LLMJudge(Model(), 1)
    assert judge_trajectories(runs, fixed, tmp_path/"v.jsonl")["yes"] == 30 and fixed.model.calls == 2


def test_threads_do_not_change_the_file(runs, tmp_path):
    for threads in (1, 8): judge_trajectories(runs, LLMJudge(Model(), threads), tmp_path/f"{threads}.jsonl")
    assert (tmp_path/"1.jsonl").read_bytes() == (tmp_path/"8.jsonl").read_bytes()


@pytest.mark.parametrize("reply", ["RELEVANT", "", "{}", "<html>", "yes or no?", "yes\nno", "not relevant", "Yes, but see below."])
def test_a_reply_that_is_not_a_verdict_is_undecided(runs, reply):
    assert read_verdict(reply) is None
    assert LLMJudge(Model(reply)).decide(next(judged_browses(next(iterate_trajectories(runs))))).verdict == "undecided"


def test_nothing_written_means_nothing_asked(tmp_path):
    write_trajectory(tmp_path, Trajectory("a", "?", "completed", [Step("tool_call", "get_document", '{"docid": "7"}', "text")]))
    model = Model()
    assert judge_trajectories(tmp_path, LLMJudge(model), tmp_path/"v.jsonl")["undecided"] == 1 and model.calls == 0


@pytest.mark.parametrize("line,says", [
    ('{"run": "run_1", "step": 3}', "v.jsonl:1: has no field 'verdict'"),
    ('{"run": "run_1", "step": "3", "verdict": "yes"}', "v.jsonl:1: field 'step' is str"),
    ('{"run": "run_1", "step": 3, "verdict": "good"}', "v.jsonl:1: verdict is 'good'"),
    ('{"run": "run_1", "step": 3, "verdict": "yes"}\n{"run": "run_1", "step": 3, "verdict": "no"}', "v.jsonl:2: contradicts"),
    ('{"run": "run_1", "step": 3, "verd', "v.jsonl:1: is no(t valid)? JSON")])
def test_bad_labels_name_the_line(tmp_path, line, says):
    (tmp_path/"v.jsonl").write_text(line + "\n")
    with pytest.raises(InputError, match=says): make_judge(f"labels:{tmp_path/'v.jsonl'}")


def test_labels_say_nothing_of_what_they_leave_out(runs, tmp_path):
    (tmp_path/"labels.jsonl").write_text('{"run": "run_03", "step": 1, "verdict": "No"}\n')
    counts = judge_trajectories(runs, make_judge(f"labels:{tmp_path/'labels.jsonl'}"), tmp_path/"v.jsonl")
    assert (counts["no"], counts["undecided"]) == (1, 29)


@pytest.mark.parametrize("predicted,expected,right", [
    ("Oslo", "oslo", True), ("The Beatles", "Beatles", True), ("It is **$2 million**, paid in 2019.\nMore", "$2 million", True),
    ("", "Oslo", False), ("Oslo Airport", "Oslo", False), ("Oslo or Bergen", "Oslo", False), ("2 million", "20 million", False),
    ("It is not known to me.", "Oslo", False), ("東京", "東京", True), ("京都", "東京", False), ("!!!", "!!!", True), ("", "", False)])
def test_answers(predicted, expected, right): assert same_answer(predicted, expected) is right


def test_a_mistake_leaves_nothing_behind(tmp_path):
    with pytest.raises(InputError, match="holds no trajectory files"): judge_trajectories(tmp_path/"none", RuleJudge(), tmp_path/"v.jsonl")
    assert list(tmp_path.iterdir()) == []
