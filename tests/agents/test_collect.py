"Collection under kills, broken files, a full disk and changed settings"
import json, os, random, signal, subprocess, sys, time
import pytest
from lrat.agents.loop import run_agents
from lrat.agents.actions import Answer, BrowseCall, Budget, Malformed, SearchCall
from lrat.agents.collect import collect
from lrat.llm.http import ModelFailure
from lrat.data.questions import Question
from lrat.trajectories.trajectory import read_trajectory
from lrat.core.settings import LratError
from small_agents import QUESTIONS, Patient, Plain, Words, first_words
from paths import TESTS

BUDGET = Budget(rounds=6, k=3)

def contents(folder): return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if not p.name.startswith(".")}

def gather(out, policy=None, questions=QUESTIONS, budget=BUDGET, **options):
    return collect(questions, Words(), policy or Plain(), out, budget, first_words, **options)

@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    "A collection that nothing disturbed"
    out = tmp_path_factory.mktemp("whole")/"runs"
    gather(out)
    return contents(out)

def test_same_bytes_twice_and_whatever_the_batch(tmp_path, whole):
    gather(tmp_path/"runs", batch_size=3)
    assert contents(tmp_path/"runs") == whole
    assert len(whole) == len(QUESTIONS) + 1 # and the summary

def test_searches_of_a_round_go_together():
    retriever = Words()
    list(run_agents(QUESTIONS[:8], retriever, Plain(), BUDGET, first_words, batch_size=5))
    assert retriever.batches[0] == 5 and sum(retriever.batches) == 8

def test_kill_in_the_middle_loses_and_repeats_nothing(tmp_path, whole):
    out, program = tmp_path/"runs", TESTS/"small_agents.py"
    process = subprocess.Popen([sys.executable, str(program), str(out), "0.02"], stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while len(list(out.glob("run_*.json"))) < 5 and time.monotonic() < until and process.poll() is None: time.sleep(.01)
    finally: process.send_signal(signal.SIGKILL)
    process.wait()
    survivors = {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in out.glob("run_*.json")}
    assert 5 <= len(survivors) < len(QUESTIONS)
    (out/".run_q39.json.abc.part").write_text("{") # What a kill in the middle of a write leaves
    done = gather(out)
    assert (done["kept"], done["collected"], done["set_aside"]) == (len(survivors), len(QUESTIONS) - len(survivors), [])
    assert all((p.stat().st_mtime_ns, p.stat().st_ino) == before for p, before in survivors.items())
    assert contents(out) == whole and not list(out.glob(".*.part"))

def kill_at_random(out, kills, seed):
    "Collect in a process that is killed again and again; the finished runs, each of which stayed as it was"
    chance, program, kept = random.Random(seed), TESTS/"small_agents.py", {}
    for kill in range(kills):
        process = subprocess.Popen([sys.executable, str(program), str(out), "0.03", "Patient"], stderr=subprocess.DEVNULL)
        until, more = time.monotonic() + 60, len(kept) + chance.randint(1, max(1, (len(QUESTIONS) - len(kept))//(kills - kill) - 1))
        while len(list(out.glob("run_*.json"))) < more and time.monotonic() < until: time.sleep(.001)
        time.sleep(chance.uniform(0, .03)) # Anywhere in a turn or in a write
        assert process.poll() is None, "it was done before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
        now = {p.name: (p.stat().st_mtime_ns, p.stat().st_ino, p.read_bytes()) for p in out.glob("run_*.json")}
        assert kept.items() <= now.items(), f"kill {kill} lost or repeated a finished run"
        assert all(read_trajectory(out/name).status == "completed" for name in now), f"kill {kill} left half a run"
        kept = now
    return kept

@pytest.mark.parametrize("kills, seed", [(3, 1), pytest.param(20, 2, marks=pytest.mark.slow)])
def test_kills_at_random_moments_lose_and_repeat_nothing(tmp_path, kills, seed):
    out = tmp_path/"runs"
    kept = kill_at_random(out, kills, seed)
    done = gather(out, Patient())
    assert (done["kept"], done["collected"], done["set_aside"]) == (len(kept), len(QUESTIONS) - len(kept), [])
    assert all((out/name).stat().st_ino == inode for name, (_, inode, _) in kept.items())
    gather(tmp_path/"whole", Patient())
    assert contents(out) == contents(tmp_path/"whole") and not list(out.glob(".*.part"))

@pytest.mark.parametrize("damage", [b"", b'{"query_id": "q03", "res', b"\x00\xff\xfe", b"[1, 2]", b'{"query_id": "q03"}'])
def test_broken_file_is_set_aside_and_collected_again(tmp_path, whole, damage):
    out = tmp_path/"runs"
    gather(out)
    (out/"run_q03.json").write_bytes(damage)
    done = gather(out)
    assert (done["set_aside"], done["collected"]) == (["run_q03.json"], 1)
    assert (out/"run_q03.json.broken").read_bytes() == damage
    (out/"run_q03.json.broken").unlink()
    assert contents(out) == whole

def test_full_disk_is_one_line_and_resumes(tmp_path, whole, monkeypatch):
    out, replace, written = tmp_path/"runs", os.replace, []
    def full_after_six(source, target):
        if len(written) == 6: raise OSError(28, "No space left on device")
        written.append(target)
        return replace(source, target)
    monkeypatch.setattr(os, "replace", full_after_six)
    with pytest.raises(LratError, match="No space left on device") as caught: gather(out)
    assert "\n" not in str(caught.value)
    assert len(list(out.glob("run_*.json"))) == 6 and not list(out.glob(".*.part"))
    monkeypatch.setattr(os, "replace", replace)
    assert gather(out)["kept"] == 6
    assert contents(out) == whole

def test_changed_settings_are_refused_by_name(tmp_path):
    out = tmp_path/"runs"
    gather(out, questions=QUESTIONS[:2])
    with pytest.raises(LratError, match="run_q00.json: was made with rounds = 6, but now rounds = 7"):
        gather(out, questions=QUESTIONS[:2], budget=Budget(rounds=7, k=3))
    with pytest.raises(LratError, match="query = 'Which town has 0 mills"):
        gather(out, questions=[Question("q00", "Another question")])
    with pytest.raises(LratError, match="'q00' stands for 2 questions"): gather(out, questions=QUESTIONS[:1]*2)

def test_two_collections_do_not_share_a_folder(tmp_path):
    from filelock import FileLock
    (tmp_path/"runs").mkdir()
    with FileLock(tmp_path/"runs"/".lock"):
        with pytest.raises(LratError, match=r"another collection( \(process \d+\))? is writing"): gather(tmp_path/"runs")

class Flaky(Plain):
    "Its model is out of reach for some questions"
    def __init__(self, broken): super().__init__(); self.broken = broken
    def act(self, state, observation, remaining):
        if observation is not None and self.broken(state): raise ModelFailure("no connection")
        return super().act(state, observation, remaining)

def test_failed_runs_are_no_answers_and_are_retried(tmp_path, whole):
    out = tmp_path/"runs"
    done = gather(out, Flaky(lambda question: " 7 " in question))
    assert (done["failed"], done["failures"]) == (1, {"failed: no connection": 1})
    run = read_trajectory(out/"run_q07.json")
    assert run.status == "failed: no connection" and run.final_answer is None and run.tool_call_counts["search"] == 1
    again = gather(out)
    assert (again["kept"], again["retried"], again["collected"], again["failed"]) == (39, 1, 1, 0)
    assert contents(out) == whole

def test_an_outage_stops_the_collection(tmp_path):
    with pytest.raises(LratError, match="16 trajectories in a row failed: no connection"):
        gather(tmp_path/"runs", Flaky(lambda question: True))

def test_a_defect_of_the_policy_is_not_hidden(tmp_path):
    class Defective(Plain):
        def act(self, state, observation, remaining): return 1/0
    with pytest.raises(ZeroDivisionError): gather(tmp_path/"runs", Defective())

class Scripted(Plain):
    "Goes through a list of actions, then answers"
    def __init__(self, *actions): super().__init__(); self.actions, self.seen = actions, []
    def start(self, question): return iter(self.actions)
    def act(self, state, observation, remaining):
        self.seen.append((observation, remaining))
        return next(state, Answer("done"))

def only_run(policy, budget=BUDGET): return next(run_agents(QUESTIONS[:1], Words(), policy, budget, first_words))

def test_refused_calls_are_told_and_only_tried():
    policy = Scripted(BrowseCall("d00"), SearchCall(" "), SearchCall("river"), BrowseCall("nowhere"), Malformed("google", "{", "there is no tool"))
    run = only_run(policy)
    assert run.tool_call_counts == {"search": 1, "get_document": 0}
    assert run.tool_call_counts_all == {"search": 2, "get_document": 2, "google": 1}
    refused = [step.output for step in run.steps if step.type == "tool_call" and step.output.startswith("Error:")]
    assert len(refused) == 4 and "'d00'" in refused[0] and "empty" in refused[1]
    assert [remaining for _, remaining in policy.seen] == [6, 5, 4, 3, 2, 1]

def test_a_returned_document_that_is_missing_is_refused():
    class Leaky(Words):
        gone = False
        def document(self, docid):
            if self.gone: raise KeyError(docid)
            return super().document(docid)
    class Late(Plain):
        def act(self, state, observation, remaining):
            retriever.gone = hasattr(observation, "results")
            return Answer("none") if observation and not retriever.gone else super().act(state, observation, remaining)
    retriever = Leaky()
    run = next(run_agents(QUESTIONS[:1], retriever, Late(), BUDGET, first_words))
    assert run.tool_call_counts == {"search": 1, "get_document": 0} and "is missing" in run.steps[-2].output

def test_forced_answer_keeps_the_evidence():
    policy = Scripted(SearchCall("river 1"), BrowseCall("d00"), Answer("from what I have", "Nothing more to spend."))
    run = only_run(policy, Budget(rounds=2, k=40))
    assert (run.status, run.final_answer, policy.seen[-1][1]) == ("budget", "from what I have", 0)
    outputs = [step.output for step in run.steps if step.type == "tool_call"]
    assert len(outputs) == 2 and "mills" in outputs[1] and policy.seen[-1][0].text == outputs[1]
    stubborn = only_run(Scripted(SearchCall("a"), SearchCall("b"), SearchCall("c")), Budget(rounds=2, k=1))
    assert (stubborn.status, stubborn.final_answer, stubborn.tool_call_counts["search"]) == ("budget", None, 2)

def test_no_answer_reaches_a_policy_or_its_observations():
    seen = []
    class Curious(Plain):
        def start(self, question): seen.append(question); return question
    list(run_agents(QUESTIONS[:2], Words(), Curious(), BUDGET, first_words))
    assert seen == [q.text for q in QUESTIONS[:2]]

def test_metadata_has_no_time_and_names_what_ran(tmp_path):
    gather(tmp_path/"runs", questions=QUESTIONS[:1])
    metadata = json.loads((tmp_path/"runs"/"run_q00.json").read_text())["metadata"]
    assert {"model", "k", "snippet_max_tokens", "searcher_type", "index", "code_version"} <= set(metadata)
    assert not [name for name in metadata if "time" in name or "date" in name]

def test_more_requests_than_questions_are_refused(tmp_path):
    policy = Patient()
    policy.concurrency = 9
    with pytest.raises(LratError, match="9 concurrent requests need as many questions in progress, not 8"): gather(tmp_path/"runs", policy, batch_size=8)
