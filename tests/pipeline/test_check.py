"`lrat run --check` names each planted misconfiguration, and finds nothing where there is none."
import contextlib, dataclasses, time

import pytest

from lrat.core.settings import LratError, load_settings
from lrat.data.corpus import open_corpus
from lrat.paper.runner import run_command
from lrat.pipeline.check import check_models
from lrat.testing.museum import write_museum
from lrat.testing.scripted_models import VLLM, Said, reply_to, scripted_models, serve_scripts
from lrat.testing.server import stand_in


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    return scripted_models(open_corpus(write_museum(tmp_path_factory.mktemp("museum"))[0]), agents=["m"])


@contextlib.contextmanager
def changed(scripts, change):
    "The scripted server, each reply changed"
    def answer(body):
        reply = reply_to(scripts, body)
        return change(reply, body) if isinstance(reply, dict) else reply
    with stand_in(answer, [{"id": name} for name in scripts]) as server: yield server


def as_text(reply, body):
    message = reply["choices"][0]["message"]
    if calls := message.pop("tool_calls", None): message["content"] = f"<tool_call>{calls[0]['function']}</tool_call>"
    return reply


def hidden_thoughts(reply, body):
    message = reply["choices"][0]["message"]
    message["inner_monologue"] = message.pop("reasoning", None) or message.pop("reasoning_content", "hm")
    return reply


def bare(reply, body):
    for name in ("reasoning", "reasoning_content"): reply["choices"][0]["message"].pop(name, None)
    return reply


def uncounted(reply, body): return {name: value for name, value in reply.items() if name != "usage"}
def cut(reply, body): return reply | {"usage": {"prompt_tokens": min(60, reply["usage"]["prompt_tokens"]), "completion_tokens": 5}}


def sleepy(reply, body):
    time.sleep(.3)
    return reply


def parted(reply, body): return (400, '{"error": {"message": "\\"auto\\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set"}}') if body.get("tools") else reply


def found(tmp_path, url, more="", slow=30., **settings):
    (tmp_path/"models.yaml").write_text(f"m: {{endpoint: '{url}'{more}}}\nj: {{endpoint: '{url}'{more}}}\n")
    settings = load_settings("smoke", **({"agent__policies": ["m"], "agent__models": str(tmp_path/"models.yaml")} | settings))
    return [finding for checked in check_models(settings, 20, slow) for finding in checked.findings]


def one(findings, *words):
    assert len(findings) == 1 and all(word in findings[0] for word in words) and "\n" not in findings[0], findings


def test_a_model_that_works_has_no_finding(tmp_path, scripts):
    for thinking in ("reasoning_content", "reasoning", "inline"):
        with serve_scripts(scripts | {"m": dataclasses.replace(scripts["m"], thinking=thinking)}) as server: assert found(tmp_path, server.url) == []


def test_every_agent_and_judge_of_the_papers_profile_passes(tmp_path, scripts):
    judge = load_settings("paper").mining.judge_model
    with serve_scripts(scripts | {judge: scripts["judge"]}) as server:
        checked = list(check_models(load_settings("paper", agent__endpoint=server.url), 20))
    assert len(checked) == 8 and [one.findings for one in checked] == [()] * 8


def test_an_address_where_nothing_listens(tmp_path): one(found(tmp_path, "http://127.0.0.1:9/v1"), "address not reachable", "http://127.0.0.1:9/v1")


def test_a_model_id_that_the_server_does_not_have(tmp_path, scripts):
    with serve_scripts({"small-8b": scripts["m"]}) as server: one(found(tmp_path, server.url, ", model: smal-8b"), "model id unknown", "'smal-8b'", "it has: small-8b")


def test_a_key_whose_variable_is_not_set(tmp_path, scripts, monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with serve_scripts(scripts) as server: one(found(tmp_path, server.url, ", key: NO_SUCH_KEY"), "NO_SUCH_KEY is not set")


@pytest.mark.parametrize("key,said", [("sk-wrong-one", "the key in MY_KEY is refused"), ("", "no key was sent")])
def test_a_key_that_is_refused(tmp_path, scripts, monkeypatch, key, said):
    for name in ("LRAT_API_KEY", "OPENAI_API_KEY"): monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MY_KEY", key)
    with serve_scripts(scripts, lambda number: (401, f"invalid api key {key}")) as server: findings = found(tmp_path, server.url, ", key: MY_KEY" if key else "")
    one(findings, said)
    assert not key or key not in findings[0]


@pytest.mark.parametrize("change", [as_text, parted])
def test_no_tool_parser(tmp_path, scripts, change):
    with changed(scripts, change) as server: one(found(tmp_path, server.url), "no tool parser", "--tool-call-parser")


def test_thinking_in_a_field_that_nobody_reads(tmp_path, scripts):
    with changed(scripts, hidden_thoughts) as server: one(found(tmp_path, server.url), "thinking in a field that nobody reads", "inner_monologue")


@pytest.mark.parametrize("more", ["", ", agent: chat, thinking: 'on'"])
def test_thinking_that_is_missing(tmp_path, scripts, more):
    with changed(scripts, bare) as server: one(found(tmp_path, server.url, more), "thinking missing", "reasoning parser")


def test_fields_that_are_refused_are_all_named_with_both_fixes(tmp_path, scripts):
    with serve_scripts(scripts | {"m": dataclasses.replace(scripts["m"], fields=VLLM - {"chat_template_kwargs", "top_k"})}) as server:
        first, second = sorted(found(tmp_path, server.url, ", thinking: 'on', sampling: {top_k: 20}"))
        assert "unknown field refused: chat_template_kwargs" in first and "leave_out: [chat_template_kwargs]" in first and "--rename" in first
        assert "unknown field refused: top_k" in second and "--leave_out top_k" in second
        assert found(tmp_path, server.url, ", thinking: 'on', sampling: {top_k: none}, leave_out: [chat_template_kwargs]") == []


def test_a_context_that_is_smaller_than_needed(tmp_path, scripts):
    with serve_scripts(scripts | {"m": dataclasses.replace(scripts["m"], context_length=300)}) as server:
        findings = found(tmp_path, server.url)
        assert len(findings) == 2 and all("context length" in finding for finding in findings)
    with serve_scripts(scripts | {"m": dataclasses.replace(scripts["m"], context_length=9000)}) as server:
        one(found(tmp_path, server.url), "context length", "write context_length: 9000")
        one(found(tmp_path, server.url, ", context_length: 32768"), "the file says 32,768", "reads 9,000")
        assert found(tmp_path, server.url, ", context_length: 9000") == []
    with changed(scripts, cut) as server: one(found(tmp_path, server.url), "context length", "cut the rest", "OLLAMA_CONTEXT_LENGTH")


def test_no_usage(tmp_path, scripts):
    with changed(scripts, uncounted) as server: one(found(tmp_path, server.url), "no usage")


def test_slow_replies(tmp_path, scripts):
    with changed(scripts, sleepy) as server: one(found(tmp_path, server.url, slow=.2), "slow: 0.")


def test_a_judge_without_a_verdict(tmp_path, scripts):
    chatty = {"j": dataclasses.replace(scripts["judge"], script=lambda request: Said("It depends on what you mean."))}
    with serve_scripts(scripts | chatty) as server:
        for role in ({"mining__judge": "llm", "mining__judge_model": "j"}, {"evaluation__answer_judge": "j"}):
            one(found(tmp_path, server.url, agent__policies=["hasty"], **role), "no verdict", "It depends")


def test_a_text_agent_behind_a_tool_parser(tmp_path, scripts):
    def parsed(reply, body):
        reply["choices"][0]["message"] = {"role": "assistant", "content": "", "tool_calls": [{"id": "0", "type": "function", "function": {"name": "search", "arguments": "{}"}}]}
        return reply
    with changed(scripts | {"m": scripts["WebExplorer-8B"]}, parsed) as server:
        one(found(tmp_path, server.url, ", agent: webexplorer"), "tool parser", "without a tool-call parser")


def test_the_command_ends_with_a_mistake_where_a_model_will_not_do(tmp_path, scripts, capsys):
    with serve_scripts(scripts) as server:
        (tmp_path/"models.yaml").write_text(f"m: {{endpoint: '{server.url}'}}")
        given = dict(profile="smoke", models=str(tmp_path/"models.yaml"), check=True)
        run_command(["52"], set=["agent.policies=m"], **given)
        assert "m (agent): works" in capsys.readouterr().out
        with pytest.raises(LratError, match="1 of 2 models will not do: lost"): run_command(["52"], set=["agent.policies=m,lost"], **given)
        assert "lost (agent): no address in" in capsys.readouterr().out
    run_command([], profile="smoke", check=True)
    assert "no model is asked" in capsys.readouterr().out
