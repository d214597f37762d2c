"The chat policy against a real server on a loopback socket"
import json, socket, threading, time
import pytest
pytest.importorskip("aiohttp", reason="the agents extra is not installed")
from lrat.agents.actions import Budget
from lrat.agents.chat import SPENT, ChatPolicy
from lrat.agents.collect import collect
from lrat.llm.client import ChatModel
from lrat.testing.server import completion, stand_in
from lrat.llm.http import ModelFailure
from lrat.trajectories.trajectory import read_trajectory
from lrat.core.settings import LratError
from small_agents import QUESTIONS, Words, first_words

SAMPLING = {"temperature": .85, "top_p": .95, "presence_penalty": 1.1, "seed": 2025}

def policy_for(server, attempts=3, timeout=10, **options):
    return ChatPolicy(ChatModel(server.url, "tiny", SAMPLING, timeout=timeout, attempts=attempts, backoff=.01), **options)

def ask(server, out, questions=1, rounds=6, **options):
    policy = policy_for(server, **options)
    done = collect(QUESTIONS[:questions], Words(), policy, out, Budget(rounds=rounds, k=3), first_words)
    return done, read_trajectory(out/"run_q00.json")

def by_turn(*turns):
    "Answer according to how many messages of the model are in the conversation"
    def answer(request):
        turn = sum(m["role"] == "assistant" for m in request["messages"])
        return turns[min(turn, len(turns) - 1)]
    return answer

WELL = (completion("Which town? I search.", [("search", {"query": "Which town has 0 mills"})]),
        completion(None, [("get_document", {"docid": "d00"})], reasoning_content="d00 looks right."),
        completion("<think>It has 0 mills.</think>Town 00\nSee d00."))

def test_whole_run_with_tool_calls(tmp_path):
    with stand_in(by_turn(*WELL)) as server: done, run = ask(server, tmp_path)
    assert (run.status, run.final_answer) == ("completed", "Town 00\nSee d00.")
    assert run.tool_call_counts == run.tool_call_counts_all == {"search": 1, "get_document": 1}
    thoughts = [step.output for step in run.steps if step.type == "reasoning"]
    assert thoughts == ["Which town? I search.", "d00 looks right.", "It has 0 mills."]
    assert run.metadata["usage"] == {"prompt_tokens": 30, "completion_tokens": 15, "requests": 3}

def test_metadata_is_what_was_sent(tmp_path):
    with stand_in(by_turn(*WELL)) as server: _, run = ask(server, tmp_path)
    for request in server.requests:
        for name in ("model", *SAMPLING): assert request[name] == run.metadata[name]
        assert [tool["function"]["name"] for tool in request["tools"]] == ["search", "get_document"]
    assert len(run.metadata["prompt_sha256"]) == 64
    said = json.dumps(server.requests)
    assert "Town 00" in said and QUESTIONS[0].text in said # What it read, and what it was asked
    assert [r["messages"] for r in server.requests[:1]][0][1] == {"role": "user", "content": QUESTIONS[0].text}

def test_prompt_changes_the_hash():
    model = ChatModel("http://127.0.0.1:1/v1", "tiny")
    assert ChatPolicy(model).identity()["prompt_sha256"] != ChatPolicy(model, prompt="Answer.").identity()["prompt_sha256"]

def test_malformed_call_gets_one_corrective_turn(tmp_path):
    with stand_in(by_turn(completion(None, [("search", '{"query": ')]), *WELL)) as server: _, run = ask(server, tmp_path)
    assert run.status == "completed"
    assert run.tool_call_counts == {"search": 1, "get_document": 1}
    assert run.tool_call_counts_all == {"search": 2, "get_document": 1}
    answered = server.requests[1]["messages"][-1]
    assert answered["role"] == "tool" and "not valid JSON" in answered["content"]

def test_after_a_second_malformed_call_only_the_answer_is_asked_for(tmp_path):
    with stand_in(by_turn(completion(None, [("search", "{")]))) as server: done, run = ask(server, tmp_path/"never")
    assert run.status.startswith("stopped: two tool calls in a row could not be read; then the model keeps calling") and run.final_answer is None
    assert (run.tool_call_counts["search"], run.tool_call_counts_all["search"], len(server.requests)) == (0, 2, 4)
    def answers_when_told(request): return completion("Town 00") if request.get("tool_choice") == "none" else completion(None, [("search", "{")])
    with stand_in(answers_when_told) as server: done, run = ask(server, tmp_path/"told")
    assert (run.status, run.final_answer, len(server.requests)) == ("budget", "Town 00", 3)

def test_several_calls_in_one_message_are_all_answered(tmp_path):
    both = completion("Two at once.", [("search", {"query": "river 1"}), ("search", {"query": "river 2"})])
    with stand_in(by_turn(both, completion("none"))) as server: _, run = ask(server, tmp_path)
    assert run.tool_call_counts["search"] == 2
    assert [m["tool_call_id"] for m in server.requests[-1]["messages"] if m["role"] == "tool"] == ["call_0", "call_1"]
    with stand_in(by_turn(both, completion("none"))) as server: _, run = ask(server, tmp_path/"one", rounds=1)
    told = {m["tool_call_id"]: m["content"] for m in server.requests[-1]["messages"] if m["role"] == "tool"}
    assert told["call_1"] == "Error: no calls are left." and run.tool_call_counts_all["search"] == 1

def test_brief_server_errors_are_retried(tmp_path):
    turns, bad = by_turn(*WELL), iter([500, 503, 429])
    def answer(request):
        status = next(bad, None)
        return (status, "try later") if status else turns(request)
    with stand_in(answer) as server: _, run = ask(server, tmp_path, attempts=4)
    assert run.status == "completed" and len(server.requests) == 6

def test_lasting_server_errors_are_failed_and_retried_on_resume(tmp_path):
    with stand_in(lambda request: (500, "out of memory")) as server: done, run = ask(server, tmp_path)
    assert run.status == "failed: status 500: out of memory (3 attempts)" and run.final_answer is None
    assert (done["failed"], len(server.requests)) == (1, 3)
    with stand_in(by_turn(*WELL)) as server: done, run = ask(server, tmp_path)
    assert (done["retried"], done["failed"], run.status) == (1, 0, "completed")

def test_failure_late_in_a_run_keeps_its_steps(tmp_path):
    with stand_in(by_turn(WELL[0], (400, "the tool choice is not to my liking"))) as server: _, run = ask(server, tmp_path)
    assert run.status == "failed: status 400: the tool choice is not to my liking" and run.final_answer is None
    assert run.tool_call_counts["search"] == 1 and len(server.requests) == 2 # A bad request is not repeated

def test_time_out(tmp_path):
    def slow(request):
        time.sleep(.5)
        return WELL[2]
    with stand_in(slow) as server: _, run = ask(server, tmp_path, attempts=2, timeout=.1)
    assert run.status == "failed: no reply within 0.1 seconds (2 attempts)"

def test_deadline_ends_retries():
    with stand_in(lambda request: (503, "busy")) as server:
        model, start = ChatModel(server.url, "tiny", attempts=1000, backoff=.05, deadline=.3), time.monotonic()
        with pytest.raises(ModelFailure, match=r"status 503: busy \(\d attempts\)"): model.reply([])
    assert time.monotonic() - start < 3 and 1 < len(server.requests) < 10

@pytest.mark.parametrize("page", ["<html><h1>Sign in</h1></html>", '{"error": "overloaded"}', '{"choices": []}', "{", ""])
def test_what_is_not_a_completion_is_a_failure(tmp_path, page):
    with stand_in(lambda request: (200, page)) as server: _, run = ask(server, tmp_path)
    assert run.status.startswith("failed: the answer is not a chat completion") and run.final_answer is None
    assert "\n" not in run.status and "<" not in run.status

@pytest.mark.parametrize("status, told", [(404, "check --model"), (401, "set OPENAI_API_KEY"), (403, "check OPENAI_API_KEY")])
def test_mistakes_of_the_user_stop_at_once(tmp_path, status, told):
    with stand_in(lambda request: (status, '{"error": {"message": "The model `tiny` does not exist"}}')) as server:
        with pytest.raises(LratError, match=told) as caught: ask(server, tmp_path)
    assert "\n" not in str(caught.value) and len(server.requests) == 1 and not list(tmp_path.glob("run_*"))

def test_key_comes_from_the_environment_and_stays_out_of_errors(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-key")
    with stand_in(lambda request: (401, "wrong key sk-secret-key")) as server:
        with pytest.raises(LratError) as caught: ChatModel(server.url, "tiny").reply([])
    assert "sk-secret" not in str(caught.value) and "***" in str(caught.value)

def test_nobody_listens(tmp_path):
    with socket.socket() as taken: # A port that is ours and does not listen
        taken.bind(("127.0.0.1", 0))
        model = ChatModel(f"http://127.0.0.1:{taken.getsockname()[1]}/v1", "tiny", attempts=2, backoff=.01)
        done = collect(QUESTIONS[:1], Words(), ChatPolicy(model), tmp_path, Budget(), first_words)
    assert next(iter(done["failures"])).startswith("failed: no connection (")

def test_forced_answer_sees_all_evidence(tmp_path):
    def answer(request):
        if request.get("tool_choice") == "none": return completion("Town 00")
        return WELL[0]
    with stand_in(answer) as server: _, run = ask(server, tmp_path, rounds=3)
    assert (run.status, run.final_answer, run.tool_call_counts["search"]) == ("budget", "Town 00", 3)
    messages = server.requests[-1]["messages"]
    assert messages[-1]["content"] == SPENT
    assert [m["content"] for m in messages if m["role"] == "tool"] == [s.output for s in run.steps if s.type == "tool_call"]

def test_full_context_asks_for_the_answer(tmp_path):
    def answer(request): return completion("Town 00") if request.get("tool_choice") == "none" else WELL[0]
    with stand_in(answer) as server: _, run = ask(server, tmp_path, context_tokens=40)
    assert (run.status, run.final_answer, run.tool_call_counts["search"]) == ("budget", "Town 00", 1)

def test_empty_messages_are_asked_for_again_once(tmp_path):
    with stand_in(by_turn(completion(""), *WELL)) as server: _, run = ask(server, tmp_path/"once")
    assert run.status == "completed"
    with stand_in(lambda request: completion("<think>on and on")) as server: _, run = ask(server, tmp_path/"always")
    assert run.status == "stopped: the model sent two empty messages in a row" and len(server.requests) == 4 # Two more for its answer
    assert [step.output for step in run.steps] == ["on and on\n" * 3 + "on and on"] # What it thought is kept

def test_tool_calls_left_in_the_text_are_not_an_answer(tmp_path):
    unread = completion('<tool_call>{"name": "search"}</tool_call>')
    with stand_in(lambda request: unread) as server: _, run = ask(server, tmp_path)
    assert "tool-call parser" in run.status and run.final_answer is None

def test_requests_of_one_round_run_concurrently(tmp_path):
    together, live, lock = [], [0], threading.Lock()
    turns = by_turn(*WELL)
    def answer(request):
        with lock:
            live[0] += 1
            together.append(live[0])
        time.sleep(.05)
        with lock: live[0] -= 1
        return turns(request)
    with stand_in(answer) as server: done, _ = ask(server, tmp_path/"four", questions=8, concurrency=4)
    assert max(together) in (3, 4) and done["completed"] == 8
    together.clear()
    with stand_in(answer) as server: ask(server, tmp_path/"one", questions=3, concurrency=1)
    assert max(together) == 1
