"""Every request of every agent and judge, held against the published types of the API that it is for: OpenAI's, as its own package has them,
with the fields that the servers of those models document beside them"""
import functools, json
from collections.abc import Iterator
from typing import Literal
import pytest
pytest.importorskip("aiohttp", reason="the agents extra is not installed")
openai, pydantic = (pytest.importorskip(name, reason="the published types come with the packages openai and pydantic") for name in ("openai", "pydantic"))
from typing_extensions import TypedDict
from lrat.agents.actions import Budget
from lrat.agents.loop import run_agents
from lrat.agents.presets import PRESETS, preset_for
from lrat.agents.registry import CHAT_AGENTS, open_agent
from lrat.data.questions import Question
from lrat.judging.answers import JUDGE_SAMPLING, AnswerJudge
from lrat.judging.command import make_judge
from lrat.judging.judge import JudgedBrowse
from lrat.judging.llm import REPLY_FORMATS
from lrat.llm.client import ChatModel
from lrat.testing.server import completion, response, stand_in
from small_agents import QUESTIONS, Words, first_words

AGENTS = {agent.name: agent for agent in CHAT_AGENTS}


class Vllm(TypedDict, total=False):
    "Beside OpenAI's fields, vLLM and SGLang take these in a chat completion"
    top_k: int
    min_p: float
    chat_template_kwargs: dict[str, bool | str | int]
    structured_outputs: dict[Literal["choice"], list[str]]

class MiniMax(TypedDict, total=False):
    "MiniMax: thinking in a field of its own"
    reasoning_split: bool

class Thinking(TypedDict, total=False):
    type: Literal["enabled", "disabled"]
    clear_thinking: bool

class Zai(TypedDict, total=False):
    "Z.ai: whether GLM thinks"
    thinking: Thinking

class Unpublished(TypedDict, total=False):
    """The paper's presence penalty: no published type of a Responses request has it. vLLM takes no notice of it; a strict server refuses it, and
    `--presence_penalty none` leaves it out. It is the one field that is sent beyond what is published"""
    presence_penalty: float

OWN = {"tongyi": Vllm, "webexplorer": Vllm, "agentcpm": Vllm, "minimax": MiniMax, "glm": Zai, "gpt-oss": Unpublished}


def whole(value):
    "What a lazy validator gives, read to its end: only then is it checked"
    if isinstance(value, dict): return {name: whole(one) for name, one in value.items()}
    return [whole(one) for one in value] if isinstance(value, (list, tuple, Iterator)) else value


@functools.cache
def published(path):
    "The type of a request to that path, and its fields"
    from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming as Chat
    from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming as Responses
    kind = {"/v1/chat/completions": Chat, "/v1/responses": Responses}[path]
    return pydantic.TypeAdapter(kind), {name for base in (kind, *getattr(kind, "__orig_bases__", ())) for name in getattr(base, "__annotations__", {})}


def hold(request, path, own=None):
    "Raises where a field is unknown or its value is not of the published type"
    kind, fields = published(path)
    theirs = set(own.__annotations__) if own else set()
    assert request.keys() <= fields | theirs, f"{path} knows no {sorted(request.keys() - fields - theirs)}"
    whole(kind.validate_python({name: value for name, value in request.items() if name not in theirs}))
    if own: pydantic.TypeAdapter(own).validate_python({name: value for name, value in request.items() if name in theirs})


def say(agent, tool, value, broken=False):
    "One call in the agent's own protocol, with its thought"
    dialect = agent.dialect
    name, argument = (dialect.search_tool, dialect.query_arguments[0]) if tool == "search" else (dialect.browse_tools[0], dialect.docid_arguments[0])
    arguments = "[1, 2" if broken else {argument: value}
    if agent.protocol.name == "responses": return response("", [(name, arguments)], "I look.")
    if agent.protocol.name == "chat": return completion(None, [(name, arguments)], reasoning_content="I look.")
    return completion(f'<think>I look.</think><tool_call>{{"name": "{name}", "arguments": {arguments if broken else json.dumps(arguments)}}}</tool_call>')


@pytest.mark.parametrize("agent", AGENTS)
def test_every_request_of_a_trajectory_under_every_preset(agent):
    "A search, a page, a call that cannot be read, and the answer that is asked for when the calls are spent"
    one = AGENTS[agent]
    end = response("Town 00") if one.protocol.name == "responses" else completion("<think>Done.</think>Town 00")
    for preset in PRESETS:
        script = iter([say(one, "search", "0 mills"), say(one, "open", "d00"), say(one, "search", "", broken=True), say(one, "search", "1 mills"), *[end] * 9])
        with stand_in(lambda request: next(script)) as server:
            policy = open_agent(agent, server.url, "small", preset=preset_for(preset, one))
            run, = run_agents(QUESTIONS[:1], Words(), policy, Budget(rounds=4, k=3), first_words)
        assert len(server.requests) >= 5 and run.tool_call_counts_all["search"] >= 2, run.status
        for request, path in zip(server.requests, server.paths, strict=True): hold(request, path, OWN.get(agent))


def test_every_request_of_the_judges():
    with stand_in(lambda request: completion("correct: yes")) as server:
        for sampling in JUDGE_SAMPLING.values(): AnswerJudge(ChatModel(server.url, "small", sampling)).decide(Question("1", "q", "a"), "a")
    browse = JudgedBrowse("run_1", 1, "d00", "Which town?", "0 mills", "This document fits.")
    with stand_in(lambda request: completion("yes")) as judging:
        for form in REPLY_FORMATS: make_judge("llm", judging.url, "small", reply_format=form).decide(browse)
    assert len(server.requests) == len(JUDGE_SAMPLING) and len(judging.requests) >= len(REPLY_FORMATS)
    assert any("response_format" in request for request in judging.requests) and any("structured_outputs" in request for request in judging.requests)
    for one in (server, judging):
        for request, path in zip(one.requests, one.paths, strict=True): hold(request, path, Vllm)


@pytest.mark.parametrize("path, request_", [
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "q"}]}),  # No model
    ("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "q"}], "max_output_tokens": 5}),  # A field of the other API
    ("/v1/chat/completions", {"model": "m", "messages": [{"role": "tool", "content": "q"}]}),  # Of no call
    ("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "q"}], "temperature": "hot"}),
    ("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "q"}], "tools": [{"type": "function"}]}),
    ("/v1/responses", {"model": "m", "input": [{"type": "function_call", "name": "search"}]}),
    ("/v1/responses", {"model": "m", "input": "q", "messages": []})])
def test_the_check_finds_what_is_wrong(path, request_):
    with pytest.raises((pydantic.ValidationError, AssertionError)): hold(request_, path)
