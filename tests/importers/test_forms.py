"Other agents' logs: each form gives its searches, opened documents and reasoning, and a part that nobody knows is reported."
import gzip, json, re, subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from small_logs import chat_messages, genai, openinference, small, views

from lrat.core.files import write_jsonl
from lrat.core.settings import LratError
from lrat.importers.command import import_command, import_trajectories
from lrat.importers.formats import recognise
from lrat.importers.tools import read_tools
from lrat.trajectories.trajectory import iterate_trajectories
from paths import RECORDED

CASES = RECORDED.parent/"cases"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not beside this checkout")
SEARCH, OPENED = ("oldest university Scandinavia", ("7", "9")), ["9"]


def imported(source, out, form=None, tools=None):
    "The trajectories of a log and its notes; the form is recognised where it is not named"
    manifest = import_trajectories(source, out, form, read_tools(tools))
    return list(iterate_trajectories(out)), manifest["notes"]


def short(run): return [(s.query, s.docids) for s in run.searches()], [b.docid for b in run.browses()], run.final_answer


# Compressed files

@needs_cases
def test_case_23_compressed(tmp_path):
    (run,), notes = imported(CASES/"logs_23_compressed"/"log.jsonl.gz", tmp_path)
    assert len(run.searches()) == len(run.browses()) == 2 and not notes


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_compressed_logs(suffix, tmp_path):
    plain = json.dumps({"id": "q1", "messages": chat_messages(small())}, indent=1).encode()
    if suffix == ".gz": packed = gzip.compress(plain)
    else: packed = pytest.importorskip("pyarrow").compress(plain, "zstd", asbytes=True)
    (tmp_path/"logs").mkdir()
    (tmp_path/"logs"/f"a.json{suffix}").write_bytes(packed)
    (tmp_path/"logs"/f"b.json{suffix}").write_bytes(packed[:-12])
    (run,), notes = imported(tmp_path/"logs", tmp_path/"runs")
    assert views(run) == views(small()) and "is compressed, but cannot be read to its end" in notes["a file that cannot be read"]["first"][0]


# Trajectory files under any name

@needs_cases
def test_case_18_files_by_other_names(tmp_path, capsys):
    case = CASES/"logs_18_run_files_by_other_names"
    for source in (case/"refdir", case/"refdir"/"0.json"):
        (run,), notes = imported(source, tmp_path/source.stem)
        assert short(run) == ([("oldest university", ("7", "9"))], ["9"], "Uppsala") and run.browses()[0].reasoning == "1477 settles it." and not notes
    for n, (source, form) in enumerate(((case/"bcp"/"run_20260317T174221Z_759.json", "browsecomp"), (case/"bcp", "runs"), (case/"bcp", None))):
        with pytest.raises(LratError, match="none of the 1 trajectories holds a tool call, only what the agent said"): imported(source, tmp_path/f"bcp{n}", form)
        run, = iterate_trajectories(tmp_path/f"bcp{n}")
        assert run.final_answer.startswith("Explanation: ...\nExact Answer: Uppsala") and run.retrieved_docids == ["7", "9"]


def test_a_folder_of_trajectories_beside_other_files(tmp_path):
    row = {"query_id": "1", "query": "Which?", "status": "completed", "result": [
        {"type": "tool_call", "tool_name": "search", "arguments": '{"query": "owl"}', "output": "DocID:7"}, {"type": "output_text", "output": "Owl"}]}
    (tmp_path/"log"/"deep").mkdir(parents=True)
    (tmp_path/"log"/"0.json").write_text(json.dumps(row, indent=1))
    (tmp_path/"log"/"deep"/"all.json").write_text(json.dumps([row | {"query_id": "2"}, row | {"query_id": "3", "result": [{"type": "song"}]}]))
    (tmp_path/"log"/"config.json").write_text('{"k": 5}')
    runs, notes = imported(tmp_path/"log", tmp_path/"runs", "runs")
    assert [run.query_id for run in runs] == ["1", "2"]
    assert list(notes) == ["a trajectory that cannot be read", "a value that is not a trajectory, left out"]
    assert notes["a trajectory that cannot be read"]["first"][0].startswith("deep/all.json:1: result[0]: type is 'song'")


# Chat messages under other names

TWO_PAIRS = ([SEARCH, ("oldest university Norway", ("11", "12"))], ["9", "11"], "Uppsala, 1477.")


@needs_cases
@pytest.mark.parametrize("name", ["chat_history", "conversation", "conversations", "history", "traj", "trajectory"])
def test_case_14_other_names_of_messages(name, tmp_path):
    for form in ("chat", None):
        (run,), notes = imported(CASES/"logs_14_other_names_of_messages"/f"{name}.json", tmp_path/str(form), form)
        assert short(run) == TWO_PAIRS and list(notes) == ["a session without an id, named after its position"]


@needs_cases
def test_case_14_sharegpt(tmp_path):
    (run,), notes = imported(CASES/"logs_14_other_names_of_messages"/"sharegpt.json", tmp_path)
    assert short(run) == ([("oldest university", ("7", "9"))], [], "Uppsala") and run.query_id == "x" and not notes


def test_an_unknown_speaker_is_reported(tmp_path):
    talk = [{"from": "human", "value": "Which?"}, {"from": "function_call", "value": '{"name": "search", "arguments": {"query": "owl"}}'},
            {"from": "observation", "value": "DocID:7"}, {"from": "narrator", "value": "Once"}, {"from": "function_call", "value": "search"}, {"from": "gpt", "value": "Owl"}]
    write_jsonl(tmp_path/"log.jsonl", [{"id": "q", "conversations": talk}])
    (run,), notes = imported(tmp_path/"log.jsonl", tmp_path/"runs")
    assert short(run) == ([("owl", ("7",))], [], "Owl")
    assert list(notes) == ["a call without a tool name", "a message with an unknown role"]


# Calls in the text of chat messages

@needs_cases
def test_case_01_calls_in_text(tmp_path):
    for form in ("chat", None):
        (run,), notes = imported(CASES/"logs_01_tool_calls_in_text"/"log.jsonl", tmp_path/str(form), form)
        assert short(run) == ([SEARCH], ["9"], "Uppsala") and run.browses()[0].search and not run.browses()[0].reasoning.startswith("I should")
        assert run.browses()[0].reasoning == "The document says 1477, which settles it." and run.status == "completed" and len(notes) == 1


def hermes(name, **arguments): return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def answered(text): return {"role": "user", "content": f"<tool_response>\n{text}\n</tool_response>"}


def test_a_call_in_text_that_cannot_be_read_gives_its_result_to_no_other(tmp_path):
    def said(text): return {"role": "assistant", "content": text}
    log = [{"role": "user", "content": "Which?"}, said(hermes("search", query="owl")), answered("DocID:7"), said("<tool_call>{'name': search}</tool_call>"), answered("DocID:8"),
           said(hermes("search", query="a") + hermes("search", query="b")), answered("DocID:9"), said("<answer>Owl")]
    write_jsonl(tmp_path/"log.jsonl", [{"question": "Which?", "messages": log, "termination": "exceed available llm calls"}])
    (run,), notes = imported(tmp_path/"log.jsonl", tmp_path/"runs")
    assert short(run) == ([("owl", ("7",)), ("a", ()), ("b", ())], [], "Owl") and run.status == "exceed available llm calls"
    assert notes["a result in the text that belongs to no call, or to one of several"]["count"] == 2
    assert {"a call in the text that cannot be read", "a tag that is not closed", "a call without a result"} < set(notes)


# Anthropic's messages

@needs_cases
@pytest.mark.parametrize("name", ["log", "request_response"])
def test_case_02_anthropic(name, tmp_path):
    for form in ("chat", None):
        (run,), notes = imported(CASES/"logs_02_anthropic_messages"/f"{name}.jsonl", tmp_path/str(form), form)
        assert short(run) == ([SEARCH], ["9"], "Uppsala.") and set(notes) <= {"a session without an id, named after its position"}
        assert run.browses()[0].reasoning == "The document says 1477, which settles it."
        assert run.steps[0].output == "I should search."


def test_tools_that_the_server_runs(tmp_path):
    url = "https://a.example/owl"
    said = [{"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "owl"}},
            {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"type": "web_search_result", "url": url, "title": "Owl", "encrypted_content": "x"}]},
            {"type": "server_tool_use", "id": "s2", "name": "web_fetch", "input": {"url": url}},
            {"type": "web_fetch_tool_result", "tool_use_id": "s2", "content": {"type": "web_fetch_result", "url": url, "content": {
                "type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "An owl."}, "title": "Owl"}}},
            {"type": "hologram", "data": "x"}, {"type": "thinking", "thinking": "It flies."},
            {"type": "text", "text": "Owl", "citations": [{"type": "web_search_result_location", "url": url, "title": "Owl", "cited_text": "An"}]}]
    log = {"request": {"system": "Search.", "messages": [{"role": "user", "content": "Which?"}]}, "response": {"type": "message", "role": "assistant", "content": said}}
    write_jsonl(tmp_path/"log.jsonl", [log])
    (run,), notes = imported(tmp_path/"log.jsonl", tmp_path/"runs")
    assert [(s.query, s.docids) for s in run.searches()] == [("owl", (url,))] and run.final_answer == "Owl"
    opened = next(step for step in run.steps if step.output == "Owl\nAn owl.")
    assert url in str(opened.arguments) and run.steps[-2].output == "It flies."
    assert run.metadata["citations"] == [{"cited": url, "title": "Owl"}] and run.metadata["system"] == ["Search."]
    assert notes["a content part of unknown type 'hologram'"]["count"] == 1


# History sent again

@needs_cases
@pytest.mark.parametrize("name", ["once", "proxy", "proxy_with_session", "proxy_without_ids"])
def test_case_08_history_sent_again(name, tmp_path):
    (run,), notes = imported(CASES/"logs_08_history_sent_again"/f"{name}.jsonl", tmp_path)
    assert short(run) == TWO_PAIRS and set(notes) <= {"a session without an id, named after its position"}
    assert [b.reasoning for b in run.browses()] == ["Uppsala is from 1477, which is old. Is Oslo older?", "Oslo is from 1811, so it is younger."]


def requests_of(run, **fields):
    "Requests with their replies, as a proxy logs them; the client leaves out the thinking that came before"
    messages = chat_messages(run)
    for n, message in enumerate(messages):
        if message["role"] != "assistant": continue
        before = [{k: v for k, v in m.items() if k != "reasoning_content"} for m in messages[:n]]
        yield {"request": {"model": "m", "messages": before}, "response": {"id": f"chatcmpl-{n}", "choices": [{"message": message}]}, **fields}


@pytest.mark.parametrize("order", ["one after the other", "interleaved", "last first"])
def test_requests_of_several_conversations(order, tmp_path):
    runs = [small(f"q{n}", f"Answer {n}") for n in range(3)]
    runs[1].steps[1] = replace(runs[1].steps[1], arguments='{"query": "bird at night"}') # The second asks the same, but searches otherwise
    runs[2].query = "Which bird sings?"
    lines = [list(requests_of(run)) for run in runs]
    if order == "last first": lines = [one[::-1] for one in lines]
    made = [one for group in zip(*lines) for one in group] if order == "interleaved" else [one for group in lines for one in group]
    write_jsonl(tmp_path/"log.jsonl", made)
    found, notes = imported(tmp_path/"log.jsonl", tmp_path/"runs")
    assert sorted(map(views, found), key=str) == sorted(map(views, runs), key=str) # With the thinking of each reply
    assert {run.metadata["requests"] for run in found} == {5} and list(notes) == ["a session without an id, named after its position"]


def test_a_conversation_that_forks(tmp_path):
    runs = [small("q1"), small("q2", "The oak")] # Only the answers differ
    write_jsonl(tmp_path/"log.jsonl", [one for run in runs for one in requests_of(run)])
    found, notes = imported(tmp_path/"log.jsonl", tmp_path/"runs")
    assert [run.final_answer for run in found] == ["The owl", "The oak"] and views(found[0]) == views(small())
    assert notes["a session that begins as an earlier one and goes on otherwise"]["count"] == 1


def test_a_log_of_requests_that_grew_adds_only_what_is_new(tmp_path):
    lines = list(requests_of(small()))
    write_jsonl(tmp_path/"log.jsonl", lines[:3])
    imported(tmp_path/"log.jsonl", tmp_path/"runs")
    write_jsonl(tmp_path/"log.jsonl", lines)
    (run,), notes = imported(tmp_path/"log.jsonl", tmp_path/"runs")
    assert views(run)[:2] == views(small())[:2] and run.metadata["requests"] == len(lines)


# Transcripts and lists of actions

@needs_cases
@pytest.mark.parametrize("name,form,expected", [
    ("search_r1", "transcripts", ([("oldest university Scandinavia", ())], [], "Uppsala")),
    ("search_o1", "transcripts", ([("oldest university Scandinavia", ())], [], "Uppsala")),
    ("skim_episode", "react", ([("oldest university", ("d9",))], ["d9"], "Uppsala"))])
def test_case_16_text_transcripts(name, form, expected, tmp_path):
    source = CASES/"logs_16_text_transcripts"/f"{name}.jsonl"
    (run,), notes = imported(source, tmp_path)
    assert recognise(source).name == form and short(run) == expected and run.query == "Which city has the oldest university of Scandinavia?"
    assert set(notes) <= {"a session without an id, named after its position", "a search that returned results in which no docid can be read"}


def test_a_transcript_with_a_call_that_cannot_be_read(tmp_path):
    text = "<think>Hm.</think><search>owl</search><information>DocID:7</information><tool_call>{oops</tool_call><information>DocID:8</information><answer>Owl</answer>"
    write_jsonl(tmp_path/"log.jsonl", [{"id": "a", "question": "Which?", "response": text}, {"id": "b", "question": "Which?", "response": "Owl"}])
    (run,), notes = imported(tmp_path/"log.jsonl", tmp_path/"runs")
    assert short(run) == ([("owl", ("7",))], [], "Owl")
    assert list(notes) == ["a call in the text that cannot be read", "a result in the text that belongs to no call, or to one of several",
                           "a value without a text that holds calls"]


def test_an_entry_that_is_no_action_is_reported(tmp_path):
    actions = [{"action": "search", "args": {"query": "owl"}, "observation": "2 hits"}, {"action": "fetch", "args": {"doc": "d9"}, "observation": "An owl."}, {"note": "x"}]
    write_jsonl(tmp_path/"rows.jsonl", [{"id": "a", "question": "Which?", "final_answer": "Owl", "trajectory": actions, "hit_ids": [["d7", "d9"]], "read_ids": ["d9", "d7"]},
                                        {"id": "b", "question": "Which?", "trajectory": actions[:2], "hit_ids": [["d7"], ["d9"]]}])
    runs, notes = imported(tmp_path/"rows.jsonl", tmp_path/"runs")
    assert [short(run) for run in runs] == [([("owl", ("d7", "d9"))], ["d9"], "Owl"), ([("owl", ())], ["d9"], None)]
    assert {"a document that was read, but that no action opens", "an entry that is not an action", "ids of hits that belong to no single search, left out"} <= set(notes)


# Claude Code

@needs_cases
def test_case_06_claude_code(tmp_path):
    case = CASES/"logs_06_claude_code_session"
    (run,), notes = imported(case/"session.jsonl", tmp_path, tools=case/"tools.yaml")
    assert recognise(case/"session.jsonl").name == "claude-code" and run.query_id == "cc1" and not notes
    assert short(run) == ([SEARCH], ["9"], "It was founded in 1477: Uppsala.") and run.query == "Which city has the oldest university of Scandinavia?"


def test_lines_of_claude_code_that_nobody_knows(tmp_path):
    def line(n, kind, content, **more):
        return {"type": kind, "sessionId": "s", "uuid": f"u{n}", "parentUuid": n and f"u{n - 1}", "message": {"role": kind, "content": content}} | more
    call = [{"type": "tool_use", "id": "a", "name": "search", "input": {"query": "owl"}}]
    result = [{"type": "tool_result", "tool_use_id": "a", "content": "DocID:7", "is_error": True}]
    lines = [line(0, "user", "Which?"), line(1, "assistant", call), line(2, "user", result), line(3, "hologram", "x"), line(4, "assistant", [{"type": "text", "text": "Owl"}]),
             line(1, "assistant", call), line(8, "user", "Look", isSidechain=True, parentUuid=None), line(9, "assistant", call, isSidechain=True, parentUuid="u8")]
    write_jsonl(tmp_path/"s.jsonl", lines)
    runs, notes = imported(tmp_path/"s.jsonl", tmp_path/"runs")
    assert [(run.query_id, run.query) for run in runs] == [("s-u8", "Look"), ("s", "Which?")] and short(runs[1]) == ([("owl", ("7",))], [], "Owl")
    assert runs[1].tool_call_counts == {} and runs[1].tool_call_counts_all == {"search": 1}
    assert list(notes) == ["a call without a result", "a line of unknown type 'hologram'", "a line that was logged twice"]


# LangSmith

@needs_cases
def test_case_19_langsmith_children(tmp_path):
    case = CASES/"logs_19_langsmith_children"
    for name in ("flat", "nested"):
        (run,), notes = imported(case/f"{name}.jsonl", tmp_path/name)
        assert short(run) == ([SEARCH], ["9"], "Uppsala") and run.query_id == "r0" and not notes


def test_a_child_that_nobody_knows_is_reported(tmp_path):
    child = {"id": "2", "run_type": "chain", "name": "step", "child_runs": [ # Two levels down, and without the ids of trace and parent
        {"id": "3", "run_type": "tool", "name": "search", "inputs": {"query": "owl"}, "outputs": {"output": "DocID:7"}, "start_time": "2026-07-09T00:00:01"}]}
    root = {"id": "1", "run_type": "chain", "name": "agent", "inputs": {"question": "Which?"}, "outputs": {}, "child_runs": [child, {"hologram": 1}]}
    (tmp_path/"log.json").write_text(json.dumps([root], indent=1))
    (run,), notes = imported(tmp_path/"log.json", tmp_path/"runs")
    assert short(run) == ([("owl", ("7",))], [], None) and list(notes) == ["a child that is not a LangSmith run"]


# The web search of the Responses API

@needs_cases
def test_case_13_responses_web_search(tmp_path):
    (run,), notes = imported(CASES/"logs_13_responses_web_search"/"log.jsonl", tmp_path)
    *searches, opened, found = (step for step in run.steps if step.type == "tool_call")
    queries = [query for step in searches for query in step.argument(["query"])] # In one call, or in one for each query
    assert run.searches() and queries == ["oldest university Scandinavia", "Uppsala university founded"]
    assert opened.tool_name == "get_document" and json.loads(opened.arguments) == {"docid": "https://a.example/uppsala"}
    assert found.tool_name == "find_in_page" and len(run.browses()) == 1 and run.final_answer == "Uppsala."
    assert run.metadata["citations"] == [{"cited": "https://a.example/uppsala", "title": "Uppsala"}]


def test_sources_of_a_web_search_and_an_unknown_item(tmp_path):
    url = "https://a.example/owl"
    items = [{"type": "web_search_call", "id": "w1", "status": "completed", "action": {"type": "search", "query": "owl", "sources": [{"type": "url", "url": url}]}},
             {"type": "hologram_call", "id": "h1"}, {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Owl"}]}]
    before = [{"role": "user", "content": "Which?"}]
    write_jsonl(tmp_path/"log.jsonl", [{"id": "resp_1", "input": before, "output": items[:1]}, {"id": "resp_2", "input": [*before, items[0]], "output": items[1:]}])
    (run,), notes = imported(tmp_path/"log.jsonl", tmp_path/"runs") # The second request has the first again
    assert short(run) == ([("owl", (url,))], [], "Owl") and run.metadata["requests"] == 2
    assert list(notes) == ["an item of unknown type 'hologram_call'"]


# Spans as backends export them

@needs_cases
@pytest.mark.parametrize("name", ["jaeger.json", "otel_console_exporter.json", "otlp_ok.json", "spans.json", "spans.jsonl", "spans_dataframe.jsonl",
                                  "tempo_v1_batches.json", "tempo_v2_trace.json"])
def test_case_04_spans(name, tmp_path):
    source = CASES/"logs_04_phoenix_spans"/name
    (run,), notes = imported(source, tmp_path)
    assert recognise(source).name == "spans" and short(run) == ([SEARCH], ["9"], "Uppsala") and not notes
    assert run.query == "Which city has the oldest university of Scandinavia?"


def exported(lines, backend):
    "OTLP lines as another backend would export them"
    spans = [span for line in lines for span in line["resourceSpans"][0]["scopeSpans"][0]["spans"]]
    def attributes(span): return {row["key"]: row["value"]["stringValue"] for row in span["attributes"]}
    def date(nanoseconds): return f"2026-07-09T00:00:{int(nanoseconds) / 1e3:09.6f}Z"
    for span in spans:
        if backend == "jaeger":
            tags = [{"key": k, "type": "string", "value": v} for k, v in attributes(span).items()]
            parent = [{"refType": "CHILD_OF", "traceID": span["traceId"], "spanID": span["parentSpanId"]}] if span["parentSpanId"] else []
            yield {"data": [{"traceID": span["traceId"], "spans": [{"traceID": span["traceId"], "spanID": span["spanId"], "operationName": span["name"], "references": parent,
                                                                   "startTime": int(span["startTimeUnixNano"]), "duration": 1, "tags": tags}]}]}
            continue
        row = {"name": span["name"], "parent_id": span["parentSpanId"] or None, "start_time": date(span["startTimeUnixNano"]), "end_time": date(span["endTimeUnixNano"])}
        ids = {"trace_id": span["traceId"], "span_id": span["spanId"]}
        if backend == "phoenix": yield {**row, "context": ids, "attributes": attributes(span), "events": []}
        else: yield {**row, **{f"context.{k}": v for k, v in ids.items()}, **{f"attributes.{k}": v for k, v in attributes(span).items()}}


@pytest.mark.parametrize("backend", ["phoenix", "table", "jaeger"])
@pytest.mark.parametrize("convention", [genai, openinference])
def test_spans_of_every_backend_and_convention(backend, convention, tmp_path):
    lines = list(exported(convention(small("t1")), backend))
    write_jsonl(tmp_path/"log.jsonl", [*lines, {"hologram": 1}])
    (run,), notes = imported(tmp_path/"log.jsonl", tmp_path/"runs")
    assert views(run) == views(small("t1")) and list(notes) == ["a value that is not OTLP"]


def test_attributes_that_are_nested_objects(tmp_path):
    messages = [{"message": {"role": "user", "content": "Which?"}}]
    reply = [{"message": {"role": "assistant", "tool_calls": [{"tool_call": {"id": "a", "function": {"name": "search", "arguments": '{"query": "owl"}'}}}]}}]
    def span(n, kind, **attributes):
        return {"name": kind, "context": {"trace_id": "t", "span_id": f"s{n}"}, "span_kind": kind, "parent_id": None, "start_time": f"2026-07-09T00:00:0{n}+00:00",
                "end_time": f"2026-07-09T00:00:0{n}+00:00", "status_code": "OK", "attributes": attributes}
    model = span(1, "LLM", llm={"input_messages": messages, "output_messages": reply, "model_name": "m"})
    tool = span(2, "TOOL", tool={"name": "search"}, input={"value": '{"query": "owl"}'}, output={"value": "DocID:7"})
    (tmp_path/"log.json").write_text(json.dumps({"data": [model, tool, 7], "next_cursor": None}))
    (run,), notes = imported(tmp_path/"log.json", tmp_path/"runs")
    assert short(run) == ([("owl", ("7",))], [], None) and run.metadata["model"] == "m" and list(notes) == ["an entry that is not a span"]


# Other clients' messages

ASKED = {"query": "owl"}
CLIENTS = {
    "Bedrock": {"request": {"messages": [
        {"role": "user", "content": [{"text": "Which?"}]},
        {"role": "assistant", "content": [{"reasoningContent": {"reasoningText": {"text": "Hm."}}}, {"toolUse": {"toolUseId": "a", "name": "search", "input": ASKED}}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "a", "content": [{"text": "DocID:7"}]}}]}]},
        "response": {"output": {"message": {"role": "assistant", "content": [{"text": "Owl"}]}}}},
    "Gemini": {"request": {"contents": [
        {"role": "user", "parts": [{"text": "Which?"}]},
        {"role": "model", "parts": [{"text": "Hm.", "thought": True}, {"functionCall": {"name": "search", "args": ASKED}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "search", "response": {"result": "DocID:7"}}}]}]},
        "response": {"candidates": [{"content": {"role": "model", "parts": [{"text": "Owl"}]}}]}},
    "Vercel": {"messages": [
        {"role": "user", "content": "Which?"},
        {"role": "assistant", "content": [{"type": "reasoning", "text": "Hm."}, {"type": "tool-call", "toolCallId": "a", "toolName": "search", "input": ASKED}]},
        {"role": "tool", "content": [{"type": "tool-result", "toolCallId": "a", "toolName": "search", "output": {"type": "text", "value": "DocID:7"}}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Owl"}]}]},
    "LangGraph": {"messages": [
        {"type": "human", "content": "Which?"}, {"type": "ai", "content": "Hm.", "tool_calls": [{"name": "search", "args": ASKED, "id": "a", "type": "tool_call"}]},
        {"type": "tool", "content": "DocID:7", "tool_call_id": "a", "name": "search"}, {"type": "ai", "content": "Owl", "tool_calls": []}]},
    "MCP of Anthropic": {"messages": [
        {"role": "user", "content": "Which?"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "mcp_tool_use", "id": "a", "name": "search", "server_name": "kb", "input": ASKED},
                                          {"type": "mcp_tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "DocID:7"}]}, {"type": "text", "text": "Owl"}]}]}}


@pytest.mark.parametrize("name", CLIENTS)
def test_messages_of_other_clients(name, tmp_path):
    write_jsonl(tmp_path/"log.jsonl", [CLIENTS[name]])
    (run,), notes = imported(tmp_path/"log.jsonl", tmp_path/"runs")
    assert recognise(tmp_path/"log.jsonl").name == "chat" and short(run) == ([("owl", ("7",))], [], "Owl") and run.query == "Which?"
    assert run.steps[0].output == "Hm." and list(notes) == ["a session without an id, named after its position"]


@pytest.mark.parametrize("name", CLIENTS)
def test_an_unknown_part_of_other_clients_is_reported(name, tmp_path):
    log = json.loads(json.dumps(CLIENTS[name]))
    talk = log.get("messages") or log["request"].get("messages") or log["request"]["contents"]
    content = talk[1].get("content", talk[1].get("parts"))
    if isinstance(content, str): talk[1]["content"] = [{"type": "text", "text": content}, {"type": "hologram"}]
    else: content.append({"type": "hologram"})
    write_jsonl(tmp_path/"log.jsonl", [log])
    (run,), notes = imported(tmp_path/"log.jsonl", tmp_path/"runs")
    assert short(run)[2] == "Owl" and notes["a content part of unknown type 'hologram'"]["count"] == 1
