"Agents by name, over each protocol: what is sent, what is recorded, and what a model may get wrong"
import json
import pytest
pytest.importorskip("aiohttp", reason="the agents extra is not installed")
from lrat.agents.actions import Budget
from lrat.agents.presets import PRESETS, preset_for
from lrat.agents.registry import CHAT_AGENTS, agent_named, open_agent
from lrat.agents.tools import LONGEST
from lrat.testing.server import completion, response, stand_in
from lrat.agents.chat import SPENT
from lrat.agents.collect import collect, collect_command
from lrat.paper.estimates import MODELS
from lrat.trajectories.trajectory import read_trajectory
from lrat.core.settings import PROFILES, LratError
from small_agents import QUESTIONS, Words, first_words

def text(reply, name, arguments):
    body = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return completion(f'<think>{reply}</think><tool_call>{{"name": "{name}", "arguments": {body}}}</tool_call>')

AGENTS = {agent.name: agent for agent in CHAT_AGENTS}

SAY = { # One message with one call, in each protocol
    "text": text,
    "chat": lambda thought, name, arguments: completion(None, [(name, arguments)], reasoning_content=thought),
    "responses": lambda thought, name, arguments: response("", [(name, arguments)], thought)}
END = {"text": completion("<think>Done.</think><answer>Town 00</answer>"), "chat": completion("Town 00", reasoning="Done."),
       "responses": response("Town 00", reasoning="Done.")}
ONE_EACH = ["tongyi", "minimax", "gpt-oss"] # One agent for each protocol

def says(agent, thought, tool, *values, arguments=None):
    "A call of the agent's search or opening tool"
    dialect = AGENTS[agent].dialect
    name, argument = (dialect.search_tool, dialect.query_arguments[0]) if tool == "search" else (dialect.browse_tools[0], "docid")
    return SAY[AGENTS[agent].protocol.name](thought, name, arguments if arguments is not None else {argument: values[0]})

def end(agent): return END[AGENTS[agent].protocol.name]

def ask(agent, script, out, rounds=6, **options):
    script = iter(script)
    with stand_in(lambda request: next(script)) as server:
        collect(QUESTIONS[:1], Words(), open_agent(agent, server.url, "small", **options), out, Budget(rounds=rounds, k=3), first_words)
    return read_trajectory(out/"run_q00.json"), server

def told(server):
    "What the last request holds, as text"
    return json.dumps(server.requests[-1].get("messages") or server.requests[-1]["input"])

@pytest.mark.parametrize("agent", AGENTS)
def test_what_is_recorded_is_what_was_sent(agent, tmp_path):
    run, server = ask(agent, [says(agent, "First.", "search", "0 mills"), says(agent, "d00 fits.", "open", "d00"), end(agent)], tmp_path)
    assert (run.status, run.final_answer) == ("completed", "Town 00")
    ours = {"policy", "rounds", "k", "snippet_max_tokens", "browse_max_tokens", "tokenizer", "searcher_type", "index", "code_version",
            "usage", "seconds", "agent", "protocol", "prompt_sha256", "context_tokens", "turn_tokens", "answer_tokens"}
    for request, path in zip(server.requests, server.paths):
        sent = {name: value for name, value in request.items() if name not in ("messages", "input", "tools")}
        assert sent == {name: value for name, value in run.metadata.items() if name not in ours}
        assert path.endswith("/responses") == (agent == "gpt-oss")
    assert [browse.reasoning for browse in run.browses()] == ["Done."] and len(run.searches()) == 1
    assert run.steps[0].output == "First."

@pytest.mark.parametrize("agent", ONE_EACH)
def test_limits_of_the_reference_are_sent_turn_by_turn(agent, tmp_path):
    preset = preset_for("reference", AGENTS[agent])
    script = [says(agent, "", "search", f"{n} mills") for n in range(3)] + [end(agent)]
    run, server = ask(agent, script, tmp_path, rounds=3, preset=preset)
    limit = AGENTS[agent].protocol.limit
    assert [request[limit] for request in server.requests] == {
        "tongyi": [4096, 2048, 1024, 10_000], "minimax": [1024]*4, "gpt-oss": [10_000]*4}[agent]
    assert run.status == "budget" and SPENT in told(server)
    assert all(step.output.splitlines()[-1] in json.loads(json.dumps(told(server))).replace('\\"', '"') for step in run.steps if step.tool_name)

@pytest.mark.parametrize("agent", ONE_EACH)
@pytest.mark.parametrize("bad, why", [("[1, 2]", "missing or not text"), ('"fjords"', "write {"), ("{}", "missing or not text"),
                                      ('{"query": {"a": 1}}', "missing or not text"), ('{"query": "' + "a"*1_000_000 + '"}', "characters long"),
                                      ('{"query": []}', "missing or not text")])
def test_bad_arguments_get_one_corrective_turn(agent, bad, why, tmp_path):
    run, server = ask(agent, [says(agent, "", "search", arguments=bad), says(agent, "", "search", "0 mills"), end(agent)], tmp_path)
    assert run.status == "completed" and run.metadata["usage"]["malformed"] == 1
    calls = [step for step in run.steps if step.type == "tool_call"]
    assert why in calls[0].output and len(calls[0].arguments) >= len(bad) - 20 # Nothing that the model wrote is lost
    assert run.tool_call_counts["search"] == 1 and sum(run.tool_call_counts_all.values()) == 2
    assert len(told(server)) < LONGEST # A megabyte does not go back
    assert sum(bool(search.docids) for search in run.searches()) == 1

@pytest.mark.parametrize("agent", ONE_EACH)
def test_half_a_call_gets_one_corrective_turn(agent, tmp_path):
    half = {"text": completion('<tool_call>{"name": "search", "argum'), "chat": completion(None, [("search", '{"user_qu')]),
            "responses": response("", [("local_knowledge_base_retrieval", '{"user_qu')], cut=True)}[AGENTS[agent].protocol.name]
    if "choices" in half: half["choices"][0]["finish_reason"] = "length"
    run, server = ask(agent, [half, says(agent, "", "search", "0 mills"), end(agent)], tmp_path/"once")
    assert run.status == "completed" and run.metadata["usage"].get("malformed", 0) + run.metadata["usage"].get("cut_off", 0) == 1
    run, server = ask(agent, [half]*4, tmp_path/"again")
    assert run.status.startswith("stopped: two ") and len(server.requests) == 4 and run.final_answer is None
    run, server = ask(agent, [half, half, end(agent)], tmp_path/"told")
    assert (run.status, run.final_answer) == ("budget", "Town 00")

@pytest.mark.parametrize("agent", ONE_EACH)
def test_tools_and_docids_that_do_not_exist(agent, tmp_path):
    say = SAY[AGENTS[agent].protocol.name]
    script = [say("", "google", {"q": "mills"}), says(agent, "", "open", "d00"), says(agent, "", "search", "0 mills"),
              says(agent, "", "open", "d99"), end(agent)]
    run, server = ask(agent, script, tmp_path)
    outputs = [step.output for step in run.steps if step.type == "tool_call"]
    assert f"the tools are {AGENTS[agent].dialect.search_tool} and get_document" in outputs[0]
    assert "no search of yours returned a document 'd00'" in outputs[1] and "'d99'" in outputs[3]
    assert run.tool_call_counts == {"search": 1, "get_document": 0}
    assert run.tool_call_counts_all == {"search": 1, "get_document": 2, "google": 1}

def test_a_tool_name_of_a_megabyte_is_kept_but_not_counted_as_a_name(tmp_path):
    run, _ = ask("minimax", [SAY["chat"]("", "g"*1_000_000, {}), end("minimax")], tmp_path)
    assert run.tool_call_counts_all == {"search": 0, "get_document": 0, "unnamed": 1}
    assert len(run.steps[0].arguments) > 1_000_000

@pytest.mark.parametrize("agent", ONE_EACH)
def test_of_lists_the_first_is_run_and_the_rest_is_recorded(agent, tmp_path):
    script = [says(agent, "", "search", ["0 mills", "1 mills"]), says(agent, "", "open", ["collection:d00", "d01"]), end(agent)]
    run, _ = ask(agent, script, tmp_path)
    assert [search.query for search in run.searches()] == ["0 mills"] and [browse.docid for browse in run.browses()] == ["d00"]
    assert [json.loads(step.arguments).get("not_run") for step in run.steps if step.type == "tool_call"] == [["1 mills"], ["d01"]]

def test_thinking_is_off_in_the_turn_after_a_message_that_was_cut(tmp_path):
    cut = completion("<think>on and on")
    cut["choices"][0]["finish_reason"] = "length"
    run, server = ask("tongyi", [cut, says("tongyi", "So.", "search", "0 mills"), end("tongyi")], tmp_path)
    assert [request["chat_template_kwargs"]["enable_thinking"] for request in server.requests] == [True, False, True]
    assert run.steps[0].output == "on and on\nSo." and run.metadata["usage"]["cut_off"] == 1

def test_a_result_that_the_model_made_up_is_dropped(tmp_path):
    made_up = completion(says("tongyi", "", "search", "0 mills")["choices"][0]["message"]["content"] +
                         "\n<tool_response>\nDocID:d77\n</tool_response>\n<answer>Town 77</answer>")
    run, server = ask("tongyi", [made_up, end("tongyi")], tmp_path)
    assert run.final_answer == "Town 00" and "d77" not in told(server) and "Town 77" not in told(server)

def test_calls_after_the_last_one_are_not_an_answer(tmp_path):
    more = says("tongyi", "", "search", "1 mills")
    run, _ = ask("tongyi", [more, more, more], tmp_path, rounds=1)
    assert run.status == "stopped: the model keeps calling tools although no calls are left" and run.final_answer is None

@pytest.mark.parametrize("body", [{"output": None}, {"status": "failed", "error": {"message": "busy"}, "output": []}, {"choices": []}])
def test_what_is_not_a_response_is_a_failure(body, tmp_path, monkeypatch):
    with stand_in(lambda request: body) as server:
        policy = open_agent("gpt-oss", server.url, "small")
        policy.model._server.attempts = 1
        collect(QUESTIONS[:1], Words(), policy, tmp_path, Budget(), first_words)
    assert read_trajectory(tmp_path/"run_q00.json").status.startswith("failed: the answer is not a response (")

def test_every_model_of_the_paper_has_its_agent():
    for name in PROFILES["paper"].agent.policies:
        assert agent_named(name) is agent_named(MODELS[name].hub) and agent_named(name).name != "chat"
    assert all(set(presets) == {"text", "chat", "responses"} for presets in PRESETS.values())

def test_the_command_names_what_it_does_not_know(tmp_path, monkeypatch):
    (tmp_path/"questions.tsv").write_text("q00\tWhich town has 0 mills?\tTown 00\n")
    monkeypatch.setattr("lrat.agents.collect.open_index", lambda folder, **second: Words())
    def run(**options): collect_command(str(tmp_path/"questions.tsv"), "index", str(tmp_path/"runs"), **options)
    url = "http://127.0.0.1:1/v1"
    for options, why in [({"agent": "tongi", "model": "M", "endpoint": url}, "there is no agent 'tongi'"),
                         ({"preset": "papr"}, "choose one of: paper, reference"), ({"prompt": "x.txt"}, "is a script"),
                         ({"agent": "gpt-oss", "endpoint": url, "seed": 5}, "cannot be sent a value of seed"),
                         ({"agent": "glm", "endpoint": url, "prompt": "absent.txt"}, "absent.txt: the prompt cannot be read"),
                         ({"agent": "glm", "endpoint": url, "thinking": "maybe"}, "choose one of: on, off")]:
        with pytest.raises(LratError, match=why) as caught: run(**options)
        assert "\n" not in str(caught.value)
    replies = iter([says("glm", "", "search", "0 mills"), end("glm")])
    with stand_in(lambda request: next(replies)) as server:
        run(agent="glm", endpoint=server.url, model="small", preset="reference", evaluation=True, k=2, temperature=.1)
    metadata = read_trajectory(tmp_path/"runs"/"run_q00.json").metadata
    assert {name: metadata[name] for name in ("rounds", "k", "temperature", "turn_tokens")} == {
        "rounds": 10, "k": 2, "temperature": .1, "turn_tokens": [1024]} and "seed" not in metadata