"What a server receives: every agent under every preset, and what may be left out, renamed, or has to come back as it came"
import json
import pytest
pytest.importorskip("aiohttp", reason="the agents extra is not installed")
from lrat.agents.actions import Budget
from lrat.agents.collect import collect, collect_command
from lrat.agents.presets import PRESETS, preset_for
from lrat.agents.registry import CHAT_AGENTS, open_agent
from lrat.core.settings import LratError
from lrat.data.questions import Question
from lrat.judging.answers import JUDGE_SAMPLING, AnswerJudge
from lrat.judging.command import judge_command, make_judge
from lrat.llm.client import ChatModel, read_wire
from lrat.testing.server import completion, response, stand_in
from lrat.trajectories.trajectory import read_trajectory
from small_agents import QUESTIONS, Words, first_words

PAPER = {"temperature": .85, "top_p": .95, "presence_penalty": 1.1, "seed": 2025}
REFERENCE = {"text": {"temperature": .6, "top_p": .95, "presence_penalty": 1.1, "seed": 2026, "max_tokens": 4096},
             "chat": {"temperature": 1.0, "max_tokens": 1024}, "responses": {"max_output_tokens": 10_000}}
STOP = {"stop": ["<tool_response>", "\n<tool_response>"], "chat_template_kwargs": {"enable_thinking": True}}
OWN = {"tongyi": STOP, "webexplorer": STOP, "agentcpm": STOP, "chat": {}, "minimax": {"reasoning_split": True},
       "glm": {"thinking": {"type": "enabled", "clear_thinking": False}}, "gpt-oss": {"reasoning": {"effort": "high", "summary": "detailed"}}}
AGENTS = {agent.name: agent for agent in CHAT_AGENTS}

def first_request(agent, preset, **options):
    end = response("Town 00") if agent == "gpt-oss" else completion("Town 00")
    with stand_in(lambda request: end) as server:
        policy = open_agent(agent, server.url, "small", preset=preset_for(preset, AGENTS[agent], **options.pop("given", {})), **options)
        from lrat.agents.loop import run_agents
        list(run_agents(QUESTIONS[:1], Words(), policy, Budget(), first_words))
    request = server.requests[0]
    return {name: value for name, value in request.items() if name not in ("messages", "input", "tools")}, request

@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("agent", AGENTS)
def test_every_agent_under_every_preset_sends_exactly_this(agent, preset):
    protocol = AGENTS[agent].protocol.name
    sampling = {"paper": {"text": PAPER, "chat": PAPER, "responses": {name: PAPER[name] for name in ("temperature", "top_p", "presence_penalty")}},
                "reference": REFERENCE}[preset][protocol]
    sent, request = first_request(agent, preset)
    assert sent == {"model": "small", **sampling, **OWN[agent]}
    assert bool(request.get("tools")) == (protocol != "text") and ("input" in request) == (protocol == "responses")

def test_no_preset_is_missing_here(): assert set(OWN) == set(AGENTS) and set(PRESETS) == {"paper", "reference"}

@pytest.mark.parametrize("name, sent", [("lrat", {"temperature": 0, "max_tokens": 8192}),
                                        ("browsecomp-plus", {"temperature": .7, "top_p": .8, "max_tokens": 4096, "top_k": 20,
                                                             "chat_template_kwargs": {"enable_thinking": False}})])
def test_every_preset_of_the_answer_judge_sends_exactly_this(name, sent):
    with stand_in(lambda body: completion("correct: yes")) as server:
        judge = AnswerJudge(ChatModel(server.url, "small", JUDGE_SAMPLING[name]))
        judge.decide(Question("1", "q", "a"), "a")
    assert {k: v for k, v in server.requests[0].items() if k != "messages"} == {"model": "small", **sent} and "extra_body" not in judge.name
    assert set(JUDGE_SAMPLING) == {"lrat", "browsecomp-plus"}

@pytest.mark.parametrize("agent", ["tongyi", "chat", "gpt-oss"])
@pytest.mark.parametrize("preset", PRESETS)
def test_extra_body_is_merged_for_agents_too(agent, preset):
    given = {} if agent == "gpt-oss" else {"given": {"extra_body": {"top_k": 20, "min_p": 0}}}
    sent, _ = first_request(agent, preset, **given)
    assert "extra_body" not in sent and (agent == "gpt-oss" or (sent["top_k"], sent["min_p"]) == (20, 0))

@pytest.mark.parametrize("field", ["seed", "presence_penalty", "temperature", "top_p"])
def test_a_sampling_value_of_none_is_not_sent(field):
    assert field not in first_request("chat", "paper", given={field: "none"})[0]

@pytest.mark.parametrize("agent, field", [("tongyi", "max_tokens"), ("chat", "max_tokens"), ("gpt-oss", "max_output_tokens")])
def test_a_field_is_renamed_or_left_out_and_the_record_says_so(agent, field, tmp_path):
    end = response("Town 00") if agent == "gpt-oss" else completion("Town 00")
    for wire, present in ((read_wire(rename=[f"{field}=max_completion_tokens"]), ("max_completion_tokens",)), (read_wire([field]), ())):
        with stand_in(lambda request: end) as server:
            policy = open_agent(agent, server.url, "small", preset=preset_for("reference", AGENTS[agent]), wire=wire)
            collect(QUESTIONS[:1], Words(), policy, tmp_path/str(len(present)), Budget(), first_words)
        assert field not in server.requests[0] and all(name in server.requests[0] for name in present)
    wire = read_wire(["temperature"], ["seed=random_seed"])
    assert open_agent("chat", "http://127.0.0.1:1/v1", "small", wire=wire).identity().keys() >= {"top_p", "random_seed"}
    assert not {"temperature", "seed"} & open_agent("chat", "http://127.0.0.1:1/v1", "small", wire=wire).identity().keys()

def test_the_commands_leave_out_and_rename(tmp_path, monkeypatch):
    (tmp_path/"questions.tsv").write_text("q00\tWhich town has 0 mills?\tTown 00\n")
    (tmp_path/"headers").write_text("X-Key: planted-secret\n?api-version=1\n")
    monkeypatch.setattr("lrat.agents.collect.open_index", lambda folder, **second: Words())
    with stand_in(lambda request: completion("Town 00")) as server:
        collect_command(str(tmp_path/"questions.tsv"), "index", str(tmp_path/"runs"), agent="small", endpoint=server.url, preset="reference", seed="none",
                        temperature="none", rename=["max_tokens=max_completion_tokens"], leave_out=["presence_penalty"], headers=str(tmp_path/"headers"))
    sent = {name for name in server.requests[0]} - {"messages", "tools", "model"}
    assert sent == {"max_completion_tokens"} and server.paths == ["/v1/chat/completions?api-version=1"]
    assert not any("planted" in path.read_text() for path in tmp_path.rglob("*") if path.is_file() and path.name != "headers")

def test_judges_leave_out_too(tmp_path):
    from lrat.testing.museum import TRAJECTORY
    from lrat.trajectories.trajectory import write_trajectory
    write_trajectory(tmp_path/"runs", TRAJECTORY)
    with stand_in(lambda request: completion("yes")) as server:
        judge_command(str(tmp_path/"runs"), "llm", str(tmp_path/"v.jsonl"), endpoint=server.url, model="small", seed="none", temperature="none")
        judge_command(str(tmp_path/"runs"), "llm", str(tmp_path/"w.jsonl"), endpoint=server.url, model="small", leave_out=["temperature"], rename=["seed=random_seed"])
    assert [sorted(request) for request in server.requests] == [["messages", "model"]]*2 + [["messages", "model", "random_seed"]]*2

# ---------------------------------------------------------------------------------------------------- what has to come back

def test_messages_and_calls_come_back_as_they_came(tmp_path):
    extra = {"google": {"thought_signature": "abc"}}
    def answer(body):
        for message in body["messages"]:
            for call in message.get("tool_calls", ()):
                if call.get("extra_content") != extra: return (400, "Function call is missing a thought_signature")
            if message["role"] == "assistant" and message.get("reasoning_details") != [{"type": "reasoning.encrypted", "data": "gA==", "id": "r1"}]: return (400, "reasoning is missing")
            if message["role"] == "assistant" and message.get("provider_field") != {"a": [1]}: return (400, "a field is missing")
        if sum(m["role"] == "tool" for m in body["messages"]) == 2: return completion("Town 00")
        turn = sum(m["role"] == "tool" for m in body["messages"])
        reply = completion(None, [("search", {"user_query": "0 mills"})] if turn == 0 else [("get_document", {"docid": "d00"})],
                           reasoning_details=[{"type": "reasoning.encrypted", "data": "gA==", "id": "r1"}], provider_field={"a": [1]}, audio=None)
        reply["choices"][0]["message"]["tool_calls"][0]["extra_content"] = extra
        return reply
    with stand_in(answer) as server: collect(QUESTIONS[:1], Words(), open_agent("chat", server.url, "m"), tmp_path, Budget(), first_words)
    assert read_trajectory(tmp_path/"run_q00.json").status == "completed"
    assert not any(value is None for message in server.requests[-1]["messages"] for name, value in message.items() if name != "content")

THOUGHT = "This document helps."
FORMS = {"reasoning_content": {"reasoning_content": THOUGHT}, "reasoning": {"reasoning": THOUGHT}, "both": {"reasoning": THOUGHT, "reasoning_content": THOUGHT},
         "details": {"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": THOUGHT}]},
         "summaries": {"reasoning_details": [{"type": "reasoning.summary", "summary": THOUGHT}]},
         "blocks": {"thinking_blocks": [{"type": "thinking", "thinking": THOUGHT, "signature": "x"}]}, "thinking": {"thinking": THOUGHT},
         "parts": {"content": [{"type": "thinking", "thinking": THOUGHT}, {"type": "text", "text": "Town 00"}]},
         "parts of lists": {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]}, {"type": "text", "text": "Town 00"}]},
         "tags": {"content": f"<think>{THOUGHT}</think>Town 00"}, "a tag opened before": {"content": f"{THOUGHT}</think>Town 00"}}

@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_thinking_in_every_form_is_recorded_live_and_by_the_importer_and_goes_back(form, tmp_path):
    from lrat.importers.command import import_trajectories
    from lrat.trajectories.trajectory import iterate_trajectories
    answer_message = {"role": "assistant", "content": "Town 00", **form}
    call = lambda n, name, given: {"role": "assistant", "content": None, "tool_calls": [{"id": n, "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}]}
    turns = [call("a", "search", {"user_query": "0 mills"}), call("b", "get_document", {"docid": "d00"}), answer_message]
    def serve(body): return {"choices": [{"finish_reason": "stop", "message": turns[sum(m["role"] == "assistant" for m in body["messages"])]}]}
    with stand_in(serve) as server: collect(QUESTIONS[:1], Words(), open_agent("chat", server.url, "m"), tmp_path/"live", Budget(k=3), first_words)
    live = read_trajectory(tmp_path/"live"/"run_q00.json")
    assert (live.status, live.final_answer, [b.reasoning for b in live.browses()]) == ("completed", "Town 00", [THOUGHT])
    log = [*server.requests[-1]["messages"], answer_message]
    (tmp_path/"log.json").write_text(json.dumps({"id": "q00", "messages": log}))
    import_trajectories(tmp_path/"log.json", tmp_path/"imported", "chat")
    imported, = iterate_trajectories(tmp_path/"imported")
    assert [b.reasoning for b in imported.browses()] == [THOUGHT] and imported.final_answer == "Town 00"
    thinks_first = [{**turns[0], **{name: value for name, value in form.items() if name != "content"}}, *turns[1:]]
    def serve(body): return {"choices": [{"finish_reason": "stop", "message": thinks_first[sum(m["role"] == "assistant" for m in body["messages"])]}]}
    with stand_in(serve) as server: collect(QUESTIONS[:1], Words(), open_agent("chat", server.url, "m"), tmp_path/"back", Budget(k=3), first_words)
    assert [m for m in server.requests[-1]["messages"] if m["role"] == "assistant"] == thinks_first[:2]

# -------------------------------------------------------------------------------------------------- calls written as text

CALL = '{"name": "search", "arguments": {"query": ["0 mills"]}}'
WRITTEN = {"after thinking that never ends": f"<think>I search <tool_call>{CALL}</tool_call>", "inside of thinking": f"<think>I search <tool_call>{CALL}</tool_call></think>",
           "single quotes": "<tool_call>{'name': 'search', 'arguments': {'query': ['0 mills']}}</tool_call>", "a comma": '<tool_call>{"name": "search", "arguments": {"query": ["0 mills",],}}</tool_call>',
           "a fence": f"<tool_call>\n```json\n{CALL}\n```\n</tool_call>", "a missing brace": f"<tool_call>{CALL[:-1]}</tool_call>", "a brace too many": f"<tool_call>{CALL}}}</tool_call>",
           "no closing tag": f"<think>So.</think><tool_call>{CALL}", "names without quotes": '<tool_call>{name: "search", arguments: {query: ["0 mills"]}}</tool_call>',
           "a comment": '<tool_call>{"name": "search", /* the first */ "arguments": {"query": ["0 mills"]}}</tool_call>', "a list": f"<tool_call>[{CALL}]</tool_call>",
           "parameters": '<tool_call>{"name": "search", "parameters": {"query": ["0 mills"]}}</tool_call>', "words around": f"<tool_call>Here it is: {CALL} as asked</tool_call>",
           "arguments as text": '<tool_call>{"name": "search", "arguments": "{\'query\': [\'0 mills\']}"}</tool_call>', "no closing tag of the first": f"<tool_call>{CALL}<tool_call>{CALL}</tool_call>",
           "only the closing tag of thinking": f"I search</think>\n<tool_call>{CALL}</tool_call>", "a line break in a text": '<tool_call>{"name": "search", "arguments": {"query": ["0 mills"], "why": "a\nb"}}</tool_call>'}

@pytest.mark.parametrize("agent", ["tongyi", "webexplorer", "agentcpm"])
@pytest.mark.parametrize("said", WRITTEN.values(), ids=WRITTEN)
def test_calls_that_the_agents_own_clients_run_are_run(agent, said, tmp_path):
    def answer(body): return completion(said) if len(body["messages"]) == 2 else completion("<answer>Town 00</answer>")
    with stand_in(answer) as server: collect(QUESTIONS[:1], Words(), open_agent(agent, server.url, "m"), tmp_path, Budget(k=3), first_words)
    run = read_trajectory(tmp_path/"run_q00.json")
    assert (run.status, run.final_answer, {search.query for search in run.searches()}) == ("completed", "Town 00", {"0 mills"})
    assert "malformed" not in run.metadata["usage"] and all(search.docids for search in run.searches())

@pytest.mark.parametrize("arguments", ["{'user_query': '0 mills'}", '{"user_query": "0 mills",}', '```json\n{"user_query": "0 mills"}\n```', '{"user_query": "0 mills"'])
def test_arguments_in_a_field_are_read_as_tolerantly_and_go_back_as_json(arguments, tmp_path):
    def answer(body): return completion(None, [("search", arguments)]) if len(body["messages"]) == 2 else completion("Town 00")
    with stand_in(answer) as server: collect(QUESTIONS[:1], Words(), open_agent("chat", server.url, "m"), tmp_path, Budget(k=3), first_words)
    run = read_trajectory(tmp_path/"run_q00.json")
    assert [search.query for search in run.searches()] == ["0 mills"]
    assert json.loads(server.requests[-1]["messages"][2]["tool_calls"][0]["function"]["arguments"]) == {"user_query": "0 mills"}

def test_bad_options_are_one_line():
    for options, why in [({"rename": ["max_tokens"]}, "write it like max_tokens=max_completion_tokens"), ({"leave_out": ["messages"]}, "can do without")]:
        with pytest.raises(LratError, match=why): read_wire(**options)
    with pytest.raises(LratError, match="absent: there is no such file"): make_judge("llm", "http://127.0.0.1:1/v1", "m", headers="absent")
