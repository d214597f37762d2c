"A judge behind a server: whatever the server does, only a verdict becomes one, replies are kept, and nothing is asked twice."
import json, os, signal, subprocess, sys, threading, time
from pathlib import Path

import pytest

from lrat.evaluation.costs import verdict_costs
from lrat.judging.ensemble import Ensemble
from lrat.judging.llm import LLMJudge
from lrat.judging.command import judge_command, make_judge
from lrat.judging.judge import judge_trajectories
from lrat.llm.client import ChatModel
from lrat.testing.server import completion, stand_in
from lrat.core.settings import InputError, LratError
from small_trajectories import rows, write_runs


@pytest.fixture
def runs(tmp_path): return write_runs(tmp_path/"runs", 28)


def judge(url, concurrency=4, timeout=30, **options):
    return LLMJudge(ChatModel(url, "small", {"temperature": 0}, attempts=1, timeout=timeout), concurrency, **options)


def slow(request):
    time.sleep(.5)
    return completion("yes")


@pytest.mark.parametrize("answer,why", [
    (lambda request: completion("RELEVANT"), "unreadable reply: 'RELEVANT'"),
    (lambda request: completion(""), "unreadable reply: ''"),
    (lambda request: completion("<think>yes\nno wait"), "unreadable reply: ''"),
    (lambda request: (200, "<html>yes</html>"), "the answer is not a chat completion"),
    (lambda request: (200, '{"error": "overloaded"}'), "overloaded"),
    (lambda request: (503, "busy"), "status 503: busy"),
    (slow, "no reply within 0.2 seconds")])
def test_a_failing_server_makes_no_label(runs, tmp_path, answer, why):
    with stand_in(answer) as server, pytest.raises(LratError, match=f"opened documents have no usable reply .*{why}"):
        judge_trajectories(runs, judge(server.url, timeout=.2 if answer is slow else 30), tmp_path/"v.jsonl")
    assert not (tmp_path/"v.jsonl").exists() and len(server.requests) < 28
    assert {row["verdict"] for row in rows(tmp_path/".v.jsonl.so-far")} <= {"failed", "undecided"}


def test_as_many_requests_are_concurrent_as_asked_and_no_more(runs, tmp_path):
    four, now, most = threading.Barrier(4, timeout=20), [], []
    def answer(request):
        now.append(1)
        most.append(len(now))
        four.wait() # Until four requests are here
        now.pop()
        return completion("yes")
    with stand_in(answer) as server:
        patient = LLMJudge(ChatModel(server.url, "small", attempts=1, timeout=30), 4)
        assert judge_trajectories(runs, patient, tmp_path/"v.jsonl")["yes"] == 28
    assert max(most) == 4


def test_a_slow_reply_holds_up_no_verdict(tmp_path):
    runs, side, written = write_runs(tmp_path/"runs", 8), tmp_path/".v.jsonl.so-far", []
    def answer(request):
        if "thought 0" in request["messages"][0]["content"]: # Waits until all others are in the file
            end = time.monotonic() + 20
            while time.monotonic() < end and not (side.exists() and side.read_text().count("\n") == 7): time.sleep(.01)
            written.append(side.read_text().count("\n"))
        return completion("no")
    with stand_in(answer) as server:
        judge_trajectories(runs, LLMJudge(ChatModel(server.url, "small", timeout=30), 2), tmp_path/"v.jsonl")
    assert written == [7] and [row["run"] for row in rows(tmp_path/"v.jsonl")] == [f"run_{n:02}" for n in range(8)]


def test_the_whole_reply_is_kept(runs, tmp_path):
    with stand_in(lambda request: completion("<think>yes\nor no?</think>\n**no**", reasoning_content="It helps\nyes")) as server:
        judge_trajectories(runs, judge(server.url), tmp_path/"v.jsonl")
    row = rows(tmp_path/"v.jsonl")[0]
    assert (row["verdict"], row["reply"], row["thinking"]) == ("no", "<think>yes\nor no?</think>\n**no**", "It helps\nyes")
    assert row["model"] == "small" and row["prompt"] in row["judge"] and row["form"] == "text"
    assert row["usage"] == {"prompt_tokens": 10, "completion_tokens": 5}


def words_only(request): return (400, '{"error": "response_format is not supported"}') if "response_format" in request else completion("yes")


def test_a_refused_schema_is_attempted_once_and_reported_once(runs, tmp_path, capsys):
    with stand_in(words_only) as server:
        assert judge_trajectories(runs, judge(server.url, reply_format="auto"), tmp_path/"v.jsonl")["yes"] == 28
    assert 1 <= sum("response_format" in request for request in server.requests) <= 4 # Those in flight before the first refusal
    assert capsys.readouterr().err.count("the server takes no schema") == 1
    assert {row["form"] for row in rows(tmp_path/"v.jsonl")} == {"text"}


def test_a_server_that_takes_the_schema_is_asked_with_it(runs, tmp_path, capsys):
    with stand_in(lambda request: completion(json.dumps({"verdict": "no"}, indent=1))) as server:
        assert judge_trajectories(runs, judge(server.url, reply_format="auto"), tmp_path/"v.jsonl")["no"] == 28
    assert all(request["response_format"]["json_schema"]["strict"] for request in server.requests) and len(server.requests) == 28
    assert "takes no schema" not in capsys.readouterr().err


def test_a_server_that_ignores_the_format_can_be_read(runs, tmp_path):
    with stand_in(lambda request: completion("The notes quote it.\nVerdict: yes")) as server:
        assert judge_trajectories(runs, judge(server.url, reply_format="choice"), tmp_path/"v.jsonl")["yes"] == 28
    assert server.requests[0]["structured_outputs"] == {"choice": ["yes", "no", "undecided"]}


def test_notes_that_are_too_long_do_not_settle_the_format(runs, tmp_path):
    def answer(request):
        return (400, "too many tokens") if "thought 0\n" in request["messages"][0]["content"] else completion('{"verdict": "yes"}')
    with stand_in(answer) as server: counts = judge_trajectories(runs, judge(server.url, 1, reply_format="auto"), tmp_path/"v.jsonl")
    assert (counts["yes"], counts["failed"]) == (27, 1)
    assert [row["form"] for row in rows(tmp_path/"v.jsonl") if row["verdict"] == "yes"] == ["schema"] * 27


def test_a_format_asked_for_by_name_is_not_changed(runs, tmp_path):
    with stand_in(words_only) as server, pytest.raises(LratError, match="status 400: .*response_format is not supported"):
        judge_trajectories(runs, judge(server.url, reply_format="schema"), tmp_path/"v.jsonl")
    assert all("response_format" in request for request in server.requests)


def test_a_killed_judge_resumes(tmp_path):
    runs, out, side = write_runs(tmp_path/"runs", 28), tmp_path/"v.jsonl", tmp_path/".v.jsonl.so-far"
    with stand_in(lambda request: (time.sleep(.1), completion("yes"))[1]) as server:
        judge_trajectories(runs, make_judge("llm", server.url, "small", concurrency=16), tmp_path/"whole.jsonl")
        server.requests.clear()
        program = f"from lrat.judging.command import make_judge; from lrat.judging.judge import judge_trajectories; judge_trajectories({str(runs)!r}, make_judge('llm', {server.url!r}, 'small', concurrency=2), {str(out)!r})"
        process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
        while process.poll() is None and not (side.exists() and side.read_text().count("\n") >= 4): time.sleep(.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kept = side.read_bytes().count(b"\n")
        assert not out.exists() and 4 <= kept < 28
        time.sleep(.2) # Requests in flight reach the server
        server.requests.clear()
        assert judge_trajectories(runs, make_judge("llm", server.url, "small", concurrency=16), out)["kept"] == kept
    assert len(server.requests) == 28 - kept and out.read_bytes() == (tmp_path/"whole.jsonl").read_bytes()


def test_a_prompt_of_the_user(runs, tmp_path):
    prompt = tmp_path/"mine.txt"
    prompt.write_text('Notes: {reasoning}. Reply like {"verdict": "yes"}. {Other} braces stay.\n')
    with stand_in(lambda request: completion("yes")) as server:
        ours, mine = (make_judge("llm", server.url, "small", prompt=name) for name in ("judge", str(prompt)))
        judge_trajectories(runs, mine, tmp_path/"v.jsonl")
        assert ours.name != mine.name
        with pytest.raises(LratError, match="verdicts of another judge"): judge_trajectories(runs, ours, tmp_path/"v.jsonl")
    asked = {request["messages"][0]["content"] for request in server.requests}
    assert 'Notes: thought 3. Reply like {"verdict": "yes"}. {Other} braces stay.' in asked and len(asked) == 28
    prompt.write_text("Is it of use?")
    with pytest.raises(InputError, match="mine.txt: lacks {reasoning}"): make_judge("llm", server.url, "small", prompt=str(prompt))
    with pytest.raises(InputError, match="absent.txt: there is no such file"): make_judge("llm", server.url, "small", prompt="absent.txt")


def three(request):
    if request["model"] == "c": return (500, "down")
    return completion("no" if request["model"] == "b" and "thought 3\n" in request["messages"][0]["content"] else "yes")


def test_no_label_depends_on_a_judge_that_is_down(runs, tmp_path):
    with stand_in(three) as server:
        models = [LLMJudge(ChatModel(server.url, name, attempts=1), 4) for name in "abc"]
        counts = judge_trajectories(runs, Ensemble(models), tmp_path/"v.jsonl")
    assert counts == {"yes": 27, "no": 0, "undecided": 0, "failed": 1, "kept": 0}
    unsettled, = [row for row in rows(tmp_path/"v.jsonl") if row["verdict"] == "failed"]
    assert unsettled["run"] == "run_03" and "1 of 3 judges gave no verdict (status 500: down" in unsettled["error"]
    assert [vote["verdict"] for vote in unsettled["votes"]] == ["yes", "no", "failed"] and unsettled["agreement"] == .3333
    costs = verdict_costs(tmp_path/"v.jsonl")
    assert costs.known("read_tokens").sum() == 10 * 2 * 28 and set(costs.models) == {"a", "b", "c"}


def test_an_ensemble_asks_each_server_for_its_model(runs, tmp_path):
    with stand_in(lambda request: completion("yes")) as one, stand_in(lambda request: completion("no")) as two:
        counts = judge_trajectories(runs, make_judge("llm", f"{one.url},{two.url}", "a,b"), tmp_path/"v.jsonl")
    assert counts["undecided"] == 28 and {r["model"] for r in one.requests} == {"a"} and {r["model"] for r in two.requests} == {"b"}
    assert {row["agreement"] for row in rows(tmp_path/"v.jsonl")} == {.5}
    with pytest.raises(LratError, match="one judge twice"): make_judge("llm", one.url, "a,a")


def labels(path, verdict, count, first=0):
    path.write_text("".join(json.dumps({"run": f"run_{n:02}", "step": 1, "verdict": verdict}) + "\n" for n in range(first, first + count)))
    return path


def test_verdict_files_are_merged(runs, tmp_path):
    a, b, c = (labels(tmp_path/name, *said) for name, *said in (("a", "yes", 28), ("b", "yes", 20), ("c", "no", 28)))
    for out in ("v.jsonl", "again.jsonl"): judge_command(str(runs), judge=f"ensemble:{a},{b},{c}", out=str(tmp_path/out))
    assert (tmp_path/"v.jsonl").read_bytes() == (tmp_path/"again.jsonl").read_bytes()
    assert [row["verdict"] for row in rows(tmp_path/"v.jsonl")] == ["yes"] * 20 + ["undecided"] * 8


@pytest.mark.parametrize("form", ["labels:{b}", "ensemble:{a},{b}"])
def test_verdicts_on_other_trajectories_are_one_line(runs, tmp_path, form):
    a, b = labels(tmp_path/"a", "yes", 28), labels(tmp_path/"b", "yes", 28, first=50)
    done = subprocess.run([Path(sys.executable).parent/"lrat", "judge", runs, "--judge", form.format(a=a, b=b), "--out", tmp_path/"v.jsonl"], capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 2 and "Traceback" not in done.stderr and not list(tmp_path.glob("*v.jsonl*"))
    assert f"{b}: was made from other trajectories: it holds no verdict on any of the 28 documents" in last
