"An outage is left out and asked again; what the agent does wrong counts as wrong and is not: every kind of either, counted"
import json, socket
import pytest
pytest.importorskip("aiohttp", reason="the agents extra is not installed")
from lrat.agents.actions import Budget
from lrat.agents.chat import DROPPED, ChatPolicy
from lrat.agents.collect import collect
from lrat.evaluation.scores import score_trajectories
from lrat.llm.client import ChatModel
from lrat.testing.server import completion, stand_in
from lrat.trajectories.trajectory import read_trajectory
from small_agents import QUESTIONS, Words, first_words

ASKED = QUESTIONS[:6]
SEARCH = completion("First.", [("search", {"query": "river 1"})])

def number(body): return int(next(m["content"] for m in body["messages"] if m["role"] == "user").split()[3])
def results(body): return [m["content"] for m in body["messages"] if m["role"] == "tool"]
def cut(content):
    body = completion(content)
    body["choices"][0]["finish_reason"] = "length"
    return body

def gather(server, out, rounds=3, **options):
    policy = ChatPolicy(ChatModel(server.url, "tiny", attempts=1, backoff=.001), **options)
    return collect(ASKED, Words(), policy, out, Budget(rounds=rounds, k=3), first_words)

LONG = ["This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.", "the request exceeds the available context size",
        "prompt is too long: 210000 tokens > 200000 maximum", "Input length (5000 tokens) exceeds the maximum allowed length (4096 tokens).",
        "Please reduce the length of the messages or completion.", "The input token count (9) exceeds the maximum number of tokens allowed (8)."]

AGENTS_FAILURES = { # What the server says after the first search, to every request
    **{f"too long {n}": (400, json.dumps({"error": {"message": text}})) for n, text in enumerate(LONG)},
    "too large": (413, "<html>Request Entity Too Large</html>"), "too long, as a failure of the server": (500, "context length exceeded"),
    "too long, in a reply": (200, '{"error": {"message": "context_length_exceeded", "code": 400}}'),
    "empty": completion(""), "only thought": completion("<think>on and on"), "cut off": cut("<think>on and on"), "no answer at the end": SEARCH,
    "garbled": completion(None, [("search", '{"query": ')]), "no such tool": completion(None, [("google", {"q": "x"})]),
    "the call left in the text": completion('<tool_call>{"name": "search"}</tool_call>'),
    "a call that the server cannot read": (400, '{"error": {"code": "tool_use_failed", "failed_generation": "<function"}}'),
    "a call that the server fails on": (500, "error parsing tool call: raw='{' err=unexpected end of JSON input")}

@pytest.mark.parametrize("said", AGENTS_FAILURES.values(), ids=AGENTS_FAILURES)
def test_what_the_agent_does_wrong_counts_as_wrong_and_is_not_tried_again(tmp_path, said):
    def answer(body):
        if number(body) % 2 == 0: return completion(f"Town {number(body):02}")
        return said if results(body) else SEARCH
    with stand_in(answer) as server:
        done = gather(server, tmp_path)
        asked = len(server.requests)
        again = gather(server, tmp_path)
    table = score_trajectories(tmp_path, ASKED)
    assert table.column("success").tolist() == [1, 0]*3 and "left out" not in table.note
    assert (done["completed"], done["stopped"], done["failed"]) == (3, 3, 0) and sum(done["stops"].values()) == 3
    assert (again["kept"], again["retried"], len(server.requests)) == (6, 0, asked)
    run = read_trajectory(tmp_path/"run_q01.json")
    assert run.status.startswith("stopped: ") and "\n" not in run.status and run.tool_call_counts["search"] >= 1

@pytest.mark.parametrize("name", AGENTS_FAILURES)
def test_it_may_still_answer_from_what_it_has(tmp_path, name):
    def fits(body): return not name.startswith("too") or DROPPED in results(body)
    def answer(body):
        if body.get("tool_choice") == "none" and fits(body): return completion(f"Town {number(body):02}")
        return AGENTS_FAILURES[name] if results(body) else SEARCH
    with stand_in(answer) as server: done = gather(server, tmp_path, rounds=6)
    assert (done["budget"], done["stopped"], done["failed"]) == (6, 0, 0)
    assert score_trajectories(tmp_path, ASKED).column("success").tolist() == [1]*6

def test_the_oldest_results_are_dropped_and_no_more_than_needed(tmp_path):
    def answer(body):
        if len([one for one in results(body) if one != DROPPED]) > 2: return (400, LONG[0])
        return completion("Town 00") if body.get("tool_choice") == "none" else SEARCH
    with stand_in(answer) as server: gather(server, tmp_path, rounds=9)
    run = read_trajectory(tmp_path/"run_q00.json")
    assert (run.status, run.final_answer, run.tool_call_counts["search"], run.metadata["usage"]["dropped_results"]) == ("budget", "Town 00", 3, 2)
    last = results([r for r in server.requests if number(r) == 0][-1])
    assert [one == DROPPED for one in last] == [True, True, False]
    assert all(step.output != DROPPED for step in run.steps) # What the agent was shown stays on record

OUTAGES = {"a failing server": (500, "out of memory"), "a busy one": (429, "rate limit: 30000 tokens per minute"), "a web page": (200, "<html>Sign in</html>"),
           "no message": {"choices": []}, "a gateway": (502, "<h1>Bad Gateway</h1>"), "a field it does not take": (400, "Unsupported parameter: 'seed'")}

@pytest.mark.parametrize("said", OUTAGES.values(), ids=OUTAGES)
def test_an_outage_is_left_out_with_its_count_and_asked_again(tmp_path, said):
    up = []
    def answer(body):
        if number(body) % 2 and results(body) and not up: return said
        return completion(f"Town {number(body):02}") if results(body) else SEARCH
    with stand_in(answer) as server:
        done = gather(server, tmp_path)
        table = score_trajectories(tmp_path, ASKED)
        up.append(True)
        again = gather(server, tmp_path)
    assert (done["completed"], done["stopped"], done["failed"]) == (3, 0, 3) and "3 failed (left out; collect again to retry them)" in table.note
    assert (again["retried"], again["completed"], again["failed"]) == (3, 6, 0)
    assert score_trajectories(tmp_path, ASKED).column("success").tolist() == [1]*6

@pytest.mark.parametrize("said", [(400, LONG[0]), completion('<tool_call>{"name": "search"}</tool_call>'), (500, "error parsing tool call")])
def test_a_server_that_never_works_is_no_agents_failure(tmp_path, said):
    "A context that is too small for the question, and a parser that reads no call, are how the server was started"
    with stand_in(lambda body: said) as server: done = gather(server, tmp_path)
    assert (done["stopped"], done["failed"]) == (0, 6)

def test_a_quota_that_is_used_up_stops_at_once_and_keeps_what_is_finished(tmp_path):
    from lrat.core.settings import LratError
    def answer(body): return completion("Town 00") if number(body) < 3 else (429, '{"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}}')
    with stand_in(answer) as server:
        with pytest.raises(LratError, match="the quota of this key is used up") as caught: gather(server, tmp_path, concurrency=1)
    assert "\n" not in str(caught.value) and len(list(tmp_path.glob("run_*.json"))) == 3 and len(server.requests) == 4
