"Logs of particular clients, in the variants that their schemas allow."
import csv, json, zipfile

import pytest
from small_forms import anthropic, codex, dataframe, inspect, langfuse, openai
from small_logs import LISTED, small, views

from lrat.core.files import write_jsonl
from lrat.core.settings import LratError
from lrat.importers.command import import_trajectories
from lrat.importers.formats import recognise
from lrat.importers.tools import read_tools
from lrat.trajectories.trajectory import iterate_trajectories

URL = "https://a.example/owl"
UNNAMED = {"a session without an id, named after its position"}


def imported(tmp_path, rows, name="log.jsonl", form=None, expected=None):
    source = tmp_path/name
    if name.endswith("l"): write_jsonl(source, rows)
    else: source.write_text(json.dumps(rows, indent=1))
    if expected: assert recognise(source).name == expected
    manifest = import_trajectories(source, tmp_path/"runs", form)
    return list(iterate_trajectories(tmp_path/"runs")), manifest["notes"]


def short(run): return [(s.query, s.docids) for s in run.searches()], [(b.docid, b.reasoning) for b in run.browses()], run.final_answer


# Parallel calls of one id, thinking in lists, parts of Anthropic in a chat log

def call(call_id, name, **arguments): return {"id": call_id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
def result(call_id, content): return {"role": "tool", "tool_call_id": call_id, "content": content}


def test_two_calls_of_one_message_under_one_id(tmp_path):
    log = {"id": "q", "messages": [{"role": "user", "content": "Which?"}, {"role": "assistant", "tool_calls": [call("search:0", "search", query=q) for q in "ab"]},
                                   *(result("search:0", json.dumps([{"docid": d}])) for d in ("a1", "b1")), {"role": "assistant", "content": "x"}]}
    (run,), notes = imported(tmp_path, log, "log.json")
    assert short(run)[0] == [("a", ("a1",)), ("b", ("b1",))] and not notes


@pytest.mark.parametrize("thinking", [[{"type": "text", "text": "This document helps"}], "This document helps", [{"text": "This document"}, " helps"]])
def test_thinking_whose_text_is_a_list(thinking, tmp_path):
    parts = [{"type": "thinking", "thinking": thinking}, {"type": "text", "text": "Uppsala"}]
    log = {"id": "q", "messages": [{"role": "user", "content": "Which?"}, {"role": "assistant", "tool_calls": [call("1", "search", query="a")]}, result("1", '[{"docid": "9"}]'),
                                   {"role": "assistant", "tool_calls": [call("2", "get_document", docid="9")]}, result("2", "text"), {"role": "assistant", "content": parts}]}
    (run,), notes = imported(tmp_path, log, "log.json")
    assert " ".join(run.browses()[0].reasoning.split()) == "This document helps" and run.final_answer == "Uppsala" and not notes


def test_encrypted_thinking_and_thinking_of_nothing(tmp_path):
    content = [{"type": "redacted_thinking", "data": "x"}, {"type": "thinking", "thinking": "", "signature": "x"}, {"type": "reasoning", "summary": []}, {"type": "text", "text": ""},
               {"type": "tool_use", "id": "a", "name": "search", "input": {"query": "owl"}}]
    log = {"id": "q", "messages": [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": content},
                                   {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": LISTED}]}, {"role": "assistant", "content": "Owl"}]}
    (run,), notes = imported(tmp_path, [log])
    assert short(run) == ([("owl", ("7", "9"))], [], "Owl")
    assert {name: note["count"] for name, note in notes.items()} == {"thinking without a text, perhaps encrypted": 2}


# Anthropic

def sse(*events): return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)


def test_a_reply_of_anthropic_that_was_kept_as_a_stream(tmp_path):
    def block(n, start, *deltas): return [{"type": "content_block_start", "index": n, "content_block": start}, *({"type": "content_block_delta", "index": n, "delta": d} for d in deltas), {"type": "content_block_stop", "index": n}]
    cited = {"type": "web_search_result_location", "url": URL, "title": "Owl", "cited_text": "An"}
    found = [{"type": "web_search_result", "url": URL, "title": "Owl", "encrypted_content": "x"}]
    events = [{"type": "message_start", "message": {"role": "assistant", "content": []}},
              *block(0, {"type": "thinking", "thinking": ""}, {"type": "thinking_delta", "thinking": "I sea"}, {"type": "thinking_delta", "thinking": "rch."}, {"type": "signature_delta", "signature": "x"}),
              *block(1, {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}, {"type": "input_json_delta", "partial_json": '{"que'}, {"type": "input_json_delta", "partial_json": 'ry": "owl"}'}),
              *block(2, {"type": "web_search_tool_result", "tool_use_id": "s", "content": found}), *block(3, {"type": "text", "text": ""}, {"type": "text_delta", "text": "The "}),
              *block(4, {"type": "text", "text": "", "citations": []}, {"type": "citations_delta", "citation": cited}, {"type": "text_delta", "text": "owl"}), {"type": "message_stop"}]
    request = {"model": "m", "messages": [{"role": "user", "content": "Which?"}]}
    for response in (sse(*events), events, {"status_code": 200, "body_raw": sse(*events)}):
        (run,), notes = imported(tmp_path, [{"session_id": "q", "request": {"body": request}, "response": response}])
        assert short(run) == ([("owl", (URL,))], [], "The owl") and run.steps[0].output == "I search." and not notes
        assert run.metadata["citations"] == [{"cited": URL, "title": "Owl"}]


def test_a_tool_of_the_server_that_failed(tmp_path):
    content = [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "owl"}},
               {"type": "web_search_tool_result", "tool_use_id": "s", "content": {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}},
               {"type": "mcp_tool_use", "id": "m", "name": "search", "server_name": "kb", "input": {"query": "oak"}},
               {"type": "mcp_tool_result", "tool_use_id": "m", "is_error": False, "content": [{"type": "text", "text": "DocID:9"}]}, {"type": "text", "text": "Oak"}]
    (run,), notes = imported(tmp_path, [{"id": "q", "messages": [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": content}]}])
    assert short(run)[0] == [("owl", ()), ("oak", ("9",))] and run.tool_call_counts == {"search": 1} and not notes


# The Responses API

def test_everything_that_a_web_search_does(tmp_path):
    other = "https://b.example/oak"
    items = [{"type": "web_search_call", "id": "w1", "status": "completed", "action": {"type": "search", "queries": ["owl"], "sources": [{"type": "url", "url": URL}, {"type": "url", "url": other}]}},
             {"type": "web_search_call", "id": "w2", "status": "completed", "action": {"type": "open_page", "url": URL}},
             {"type": "reasoning", "summary": [{"type": "summary_text", "text": "The page settles it."}], "encrypted_content": "x"},
             {"type": "web_search_call", "id": "w3", "status": "completed", "action": {"type": "find_in_page", "url": URL, "pattern": "night"}},
             {"type": "web_search_call", "id": "w4", "status": "completed", "action": {"type": "search", "query": "a", "queries": ["a", "b"], "sources": [{"type": "url", "url": other}]}},
             {"type": "reasoning", "summary": [], "encrypted_content": "x"},
             {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Owl", "annotations": [
                 {"type": "url_citation", "url": URL, "title": "Owl", "start_index": 0, "end_index": 3}, {"type": "song"}]}, {"type": "hologram"}]}]
    (run,), notes = imported(tmp_path, [{"id": "q", "input": "Which?", "output": items}], expected="responses")
    searches, browses, answer = short(run)
    assert searches == [("owl", (URL, other)), ("a", ()), ("b", ())] and browses == [(URL, "The page settles it.")] and answer == "Owl"
    assert run.metadata["citations"] == [{"cited": URL, "title": "Owl"}]
    assert set(notes) == {"results of several queries that are not separated, given to none of them", "thinking without a text, perhaps encrypted",
                          "a citation that names no document", "a content part of unknown type 'hologram'"}


def test_files_and_tools_of_other_servers(tmp_path):
    items = [{"type": "file_search_call", "id": "f1", "queries": ["owl"], "results": [{"file_id": "file-7", "filename": "owl.txt", "score": .9, "text": "An owl."}]},
             {"type": "file_search_call", "id": "f2", "queries": ["oak"], "results": None}, {"type": "mcp_list_tools", "id": "l", "tools": []},
             {"type": "mcp_call", "id": "m1", "server_label": "kb", "name": "search", "arguments": '{"query": "elm"}', "output": "DocID:9"},
             {"type": "mcp_call", "id": "m2", "server_label": "kb", "name": "search", "arguments": '{"query": "ash"}', "output": None, "error": "down"},
             {"type": "code_interpreter_call", "id": "i", "code": "1", "outputs": []}, {"type": "message", "role": "assistant", "content": "Owl"}]
    (run,), notes = imported(tmp_path, [{"id": "q", "input": "Which?", "output": items}])
    assert short(run)[0] == [("owl", ("file-7",)), ("oak", ()), ("elm", ("9",)), ("ash", ())]
    assert run.tool_call_counts["search"] == 2 and set(notes) == {"a call without a result"} and notes["a call without a result"]["first"] == ["log.jsonl:1: file_search"]


# Codex

def line(kind, **payload): return {"timestamp": "2026-07-09T10:00:00Z", "type": kind, "payload": payload}
def item(kind, **fields): return line("response_item", type=kind, **fields)
def event(kind, **fields): return line("event_msg", type=kind, **fields)
def said(text): return item("message", role="assistant", content=[{"type": "output_text", "text": text}])
def typed(text): return [item("message", role="user", content=[{"type": "input_text", "text": text}]), event("user_message", message=text)]


def test_a_rollout_with_web_search_and_other_servers(tmp_path):
    rows = [line("session_meta", id="s1", cli_version="0.60.0"), *typed("Which?"), event("web_search_end", call_id="ws", query="owl"),
            item("web_search_call", status="completed", action={"type": "search", "query": "owl", "sources": [{"type": "url", "url": URL}]}),
            item("web_search_call", status="completed", action={"type": "open_page", "url": URL}), event("agent_reasoning_raw_content", text="It is the owl."),
            event("mcp_tool_call_end", call_id="m", invocation={"server": "kb", "tool": "search", "arguments": {"query": "oak"}}, result={"Ok": {"content": [{"type": "text", "text": "DocID:9"}], "is_error": False}}),
            item("function_call", name="search", namespace="mcp__kb__", arguments='{"query": "elm"}', call_id="c"), item("function_call_output", call_id="c", output=[{"type": "input_text", "text": "DocID:11"}]),
            event("mcp_tool_call_end", call_id="c", invocation={"server": "kb", "tool": "search", "arguments": {"query": "elm"}}, result={"Ok": {"content": []}}),
            item("local_shell_call", call_id="l", status="completed", action={"type": "exec", "command": ["ls"]}), item("function_call_output", call_id="l", output="a"),
            item("ghost_snapshot", ghost_commit={}), said("The owl"), event("task_complete", last_agent_message="The owl")]
    (run,), notes = imported(tmp_path, rows, expected="codex")
    assert short(run) == ([("owl", (URL,)), ("oak", ("9",)), ("elm", ("11",))], [(URL, "It is the owl.")], "The owl")
    assert (run.query_id, run.query, notes) == ("s1", "Which?", {})


def test_turns_that_were_taken_back_and_summaries_of_a_rollout(tmp_path):
    rows = [*codex(small()), line("compacted", message="So far: an owl."), *typed("And by day?"), said("A hawk"), event("thread_rolled_back", num_turns=1), event("error", message="overloaded")]
    (run,), notes = imported(tmp_path, rows)
    assert views(run) == views(small())
    assert set(notes) == {"a summary in place of earlier messages, left out", "turns that the user took back, left out", "an error of the model's server, left out"}


def test_a_rollout_without_events_and_one_of_an_early_version(tmp_path):
    rows = [row for row in codex(small()) if row["type"] == "response_item"]
    (run,), notes = imported(tmp_path, rows)
    assert views(run) == views(small()) and run.metadata["system"] and set(notes) == UNNAMED
    early = [{"id": "s1", "timestamp": "2026-05-01T10:00:00Z", "instructions": None}, {"record_type": "state"}, *(row["payload"] for row in rows[1:]), {"record_type": "state"}]
    (tmp_path/"early").mkdir()
    runs, notes = imported(tmp_path/"early", early, form="responses")
    assert views(runs[0]) == views(small()) and notes["a value without a list of items"]["count"] == 3


def test_rollouts_of_one_file_and_of_a_folder(tmp_path):
    (tmp_path/"sessions").mkdir()
    write_jsonl(tmp_path/"sessions"/"rollout-1.jsonl", [*codex(small("a")), *codex(small("b"))])
    write_jsonl(tmp_path/"sessions"/"rollout-2.jsonl", [line("session_meta", id="c", forked_from_id="a"), *codex(small("a"))])
    import_trajectories(tmp_path/"sessions", tmp_path/"runs")
    assert {run.query_id: views(run) for run in iterate_trajectories(tmp_path/"runs")} == {name: views(small()) for name in "abc"}


# Langfuse

def test_observations_with_underscores_and_texts(tmp_path):
    names = {"traceId": "trace_id", "parentObservationId": "parent_observation_id", "startTime": "start_time", "endTime": "end_time"}
    rows = [{names.get(name, name): json.dumps(value) if isinstance(value, (dict, list)) else value for name, value in row.items()} for row in langfuse(small())["observations"]]
    (run,), notes = imported(tmp_path, rows, expected="langfuse")
    assert views(run) == views(small()) and not notes


def test_a_trace_of_langchain_with_a_retriever(tmp_path):
    def seen(n, kind, name, given, made, **more): return {"id": f"o{n}", "traceId": "t", "type": kind, "name": name, "startTime": f"2026-07-09T10:00:0{n}Z", "input": given, "output": made, **more}
    ai = {"type": "ai", "content": "", "tool_calls": [{"name": "kb", "args": {"query": "owl"}, "id": "a"}], "additional_kwargs": {}}
    rows = [seen(0, "CHAIN", "graph", {"messages": [{"type": "human", "content": "Which?"}]}, None), seen(1, "GENERATION", "ChatOpenAI", [{"type": "human", "content": "Which?"}], ai),
            seen(2, "TOOL", "kb", "{'query': 'owl'}", {"type": "tool", "content": "2 found", "tool_call_id": "a"}),
            seen(3, "RETRIEVER", "VectorStore", {"query": "owl"}, [{"page_content": "An owl.", "metadata": {"docid": 7}}, {"page_content": "No id."}], parentObservationId="o2"),
            seen(4, "GENERATION", "ChatOpenAI", [{"type": "human", "content": "Which?"}, ai, {"type": "tool", "content": "2 found", "tool_call_id": "a"}], {"type": "ai", "content": "Owl"}),
            seen(5, "RETRIEVER", "alone", "oak", {"documents": [{"page_content": "An oak.", "metadata": {"docid": 9}}, {"page_content": "No id."}]}), "o9"]
    (tmp_path/"tools.yaml").write_text("kb: {kind: search, query: query}\n")
    write_jsonl(tmp_path/"log.jsonl", [{"id": "t", "timestamp": "2026-07-09T10:00:00Z", "input": None, "output": None, "observations": rows}])
    manifest = import_trajectories(tmp_path/"log.jsonl", tmp_path/"runs", tools=read_tools(tmp_path/"tools.yaml"))
    run, = iterate_trajectories(tmp_path/"runs")
    assert short(run)[0] == [("owl", ("7",)), ("oak", ("9",))] and run.query == "Which?"
    assert set(manifest["notes"]) == {"an observation of which only the id was exported", "a result without a docid"}


# Inspect

def test_epochs_lost_calls_and_tools_of_the_server(tmp_path):
    one, two = inspect(small()), {**inspect(small()), "epoch": 2, "limit": {"type": "message", "limit": 9}}
    one["events"] = [{"event": "tool", "id": "lost", "function": "search", "arguments": {"query": "elm"}, "result": "DocID:1"}]
    two["messages"][-1]["content"] = [{"type": "tool_use", "tool_type": "web_search", "id": "w", "name": "web_search", "arguments": '{"query": "elm"}', "result": f'[{{"url": "{URL}"}}]'},
                                      {"type": "reasoning", "reasoning": "c2VjcmV0", "redacted": True}, {"type": "text", "text": "The elm"}]
    with zipfile.ZipFile(tmp_path/"log.eval", "w", zipfile.ZIP_DEFLATED) as archive:
        for n, sample in enumerate((one, two), 1): archive.writestr(f"samples/q1_epoch_{n}.json", json.dumps(sample))
        archive.writestr("samples/q2_epoch_1.json", '{"id": "q2"')
    manifest = import_trajectories(tmp_path/"log.eval", tmp_path/"runs")
    first, second = sorted(iterate_trajectories(tmp_path/"runs"), key=lambda run: run.query_id)
    assert (first.query_id, second.query_id, second.status) == ("q1", "q1-epoch-2", "limit: message") and views(first) == views(small())
    assert short(second)[0][-1] == ("elm", (URL,)) and second.final_answer == "The elm"
    assert set(manifest["notes"]) == {"a call of the events that is not among the messages, left out", "a line or value that is not valid JSON", "thinking without a text, perhaps encrypted"}


def test_an_archive_that_is_none_or_leads_out(tmp_path):
    (tmp_path/"log.eval").write_text("x")
    with pytest.raises(LratError, match="log.eval: no log format is recognised in it .*is not a zip file"): import_trajectories(tmp_path/"log.eval", tmp_path/"runs")
    with zipfile.ZipFile(tmp_path/"logs.zip", "w") as archive:
        archive.writestr("../out.json", "{}")
        archive.writestr("deep/log.jsonl", "\n".join(json.dumps({"id": f"q{n}", "messages": openai(small())}) for n in range(2)))
    manifest = import_trajectories(tmp_path/"logs.zip", tmp_path/"runs")
    assert manifest["runs"] == 2 and list(manifest["notes"]) == ["a member of an archive whose name leads out of it, left out"] and not (tmp_path.parent/"out.json").exists()


# Gemini, Bedrock, Vercel, LangGraph

def test_gemini_as_python_writes_it_and_grounded_answers(tmp_path):
    empty = {"text": None, "thought": None, "function_call": None, "function_response": None, "inline_data": None}
    contents = [{"role": "user", "parts": [{**empty, "text": "Which?"}]}, {"role": "model", "parts": [{**empty, "text": "Hm.", "thought": True}, {**empty, "function_call": {"id": None, "name": "search", "args": {"query": "owl"}}}]},
                {"role": "user", "parts": [{**empty, "function_response": {"id": None, "name": "search", "response": {"output": "DocID:7"}}}]}]
    chunks = [{"candidates": [{"content": {"role": "model", "parts": [{"text": "The "}]}}]},
              {"candidates": [{"content": {"role": "model", "parts": [{"text": "owl"}]}, "groundingMetadata": {"webSearchQueries": ["oak"], "groundingChunks": [{"web": {"uri": URL, "title": "Oak"}}]}}]}]
    for response in (chunks, {"candidates": [{**chunks[1]["candidates"][0], "content": {"role": "model", "parts": [{"text": "The owl"}]}}]}):
        (run,), notes = imported(tmp_path, [{"session_id": "q", "request": {"contents": contents, "system_instruction": {"parts": [{"text": "Search."}]}}, "response": response}])
        assert short(run) == ([("owl", ("7",)), ("oak", (URL,))], [], "The owl") and run.metadata["system"] == ["Search."] and not notes


def test_bedrock_with_json_results_and_citations(tmp_path):
    messages = [{"role": "user", "content": [{"text": "Which?"}]}, {"role": "assistant", "content": [{"reasoningContent": {"redactedContent": "x"}}, {"toolUse": {"toolUseId": "a", "name": "search", "input": {"query": "owl"}}}]},
                {"role": "user", "content": [{"toolResult": {"toolUseId": "a", "content": [{"json": {"results": [{"docid": "7"}]}}], "status": "success"}}, {"cachePoint": {"type": "default"}}]},
                {"role": "assistant", "content": [{"citationsContent": {"content": [{"text": "The owl"}], "citations": [{"title": "Owl", "location": {"web": {"url": URL}}}]}}]}]
    (run,), notes = imported(tmp_path, [{"id": "q", "messages": messages}])
    assert short(run) == ([("owl", ("7",))], [], "The owl") and run.metadata["citations"] == [{"cited": URL, "title": "Owl"}]
    assert list(notes) == ["thinking without a text, perhaps encrypted"]


def test_vercel_before_version_5_and_failed_tools(tmp_path):
    old = [{"role": "user", "content": "Which?", "parts": [{"type": "text", "text": "Which?"}]}, {"role": "assistant", "content": "The owl", "parts": [
        {"type": "step-start"}, {"type": "reasoning", "reasoning": "Hm.", "details": []},
        {"type": "tool-invocation", "toolInvocation": {"state": "result", "step": 0, "toolCallId": "a", "toolName": "search", "args": {"query": "owl"}, "result": {"hits": [{"docid": "7"}]}}},
        {"type": "source", "source": {"sourceType": "url", "id": "s", "url": URL, "title": "Owl"}}, {"type": "text", "text": "The owl"}]}]
    (run,), notes = imported(tmp_path, [{"id": "q", "messages": old}])
    assert short(run) == ([("owl", ("7",))], [], "The owl") and run.metadata["citations"] == [{"cited": URL, "title": "Owl"}] and not notes
    new = [{"role": "user", "parts": [{"type": "text", "text": "Which?"}]}, {"role": "assistant", "parts": [
        {"type": "tool-search", "toolCallId": "a", "state": "output-error", "input": {"query": "owl"}, "errorText": "down"}, {"type": "step-start"},
        {"type": "tool-search", "toolCallId": "b", "state": "output-available", "input": {"query": "oak"}, "output": [{"docid": "9"}]},
        {"type": "tool-search", "toolCallId": "c", "state": "input-available", "input": {"query": "elm"}}, {"type": "source-url", "sourceId": "s", "url": URL}, {"type": "text", "text": "Oak"}]}]
    (tmp_path/"new").mkdir()
    (run,), _ = imported(tmp_path/"new", [{"id": "q", "messages": new}])
    assert short(run) == ([("owl", ()), ("oak", ("9",)), ("elm", ())], [], "Oak") and run.tool_call_counts == {"search": 1}


def test_states_of_a_graph_are_one_session(tmp_path):
    messages = [{"type": "human", "content": "Which?"}, {"type": "ai", "content": [{"type": "text", "text": "Hm."}, {"type": "tool_use", "id": "a", "name": "search", "input": {"query": "owl"}}],
                 "tool_calls": [{"name": "search", "args": {"query": "owl"}, "id": "a"}]}, {"type": "tool", "content": "DocID:7", "tool_call_id": "a"}, {"type": "ai", "content": "Owl"}]
    states = [{"values": {"messages": messages[:n]}, "next": [], "config": {"configurable": {"thread_id": "t"}}} for n in (4, 3, 2, 1)] # Newest first
    for n, rows in enumerate(([states], states, [{"input": {"messages": messages[:1]}, "output": {"messages": messages}, "thread_id": "t"}])):
        (tmp_path/str(n)).mkdir()
        (run,), notes = imported(tmp_path/str(n), rows)
        assert short(run) == ([("owl", ("7",))], [], "Owl") and run.query_id == "t" and not notes


# Tables of spans

class Array(list):
    def __repr__(self): return f"array({super().__repr__()},\n      dtype=object)"


def as_arrays(value):
    "Lists inside lists print as arrays, and missing values as nan"
    if isinstance(value, list): return Array(map(as_arrays, value))
    return {**{name: as_arrays(one) for name, one in value.items()}, "missing": float("nan")} if isinstance(value, dict) else value


def test_a_dataframe_as_numpy_prints_it(tmp_path):
    rows = list(dataframe(small()))
    with open(tmp_path/"spans.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, dict.fromkeys(name for row in rows for name in row))
        writer.writeheader()
        for row in rows: writer.writerow({name: repr(list(as_arrays(value))) if isinstance(value, list) else value for name, value in row.items()})
    assert "array(" in (tmp_path/"spans.csv").read_text()
    manifest = import_trajectories(tmp_path/"spans.csv", tmp_path/"runs")
    run, = iterate_trajectories(tmp_path/"runs")
    assert views(run) == views(small()) and not manifest["notes"]


def test_retrieved_documents_of_a_dataframe(tmp_path):
    rows = [*dataframe(small()), {"name": "retrieve", "span_kind": "RETRIEVER", "parent_id": "0", "start_time": "2026-07-09T00:09:00Z", "end_time": "2026-07-09T00:09:01Z", "context.trace_id": "q1", "context.span_id": "r",
            "attributes.openinference.span.kind": "RETRIEVER", "attributes.input.value": "elm", "attributes.retrieval.documents": "[{'document.id': '11', 'document.content': 'An elm.', 'document.score': 0.5}]"}]
    with open(tmp_path/"spans.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, dict.fromkeys(name for row in rows for name in row))
        writer.writeheader()
        writer.writerows(rows)
    import_trajectories(tmp_path/"spans.csv", tmp_path/"runs")
    run, = iterate_trajectories(tmp_path/"runs")
    assert short(run)[0][-1] == ("elm", ("11",))


def test_a_table_without_rows_and_one_that_is_none(tmp_path):
    (tmp_path/"spans.csv").write_text("id,traceId\n")
    with pytest.raises(LratError, match="is a table without rows"): import_trajectories(tmp_path/"spans.csv", tmp_path/"runs")
    (tmp_path/"spans.parquet").write_bytes(b"PAR1")
    with pytest.raises(LratError, match="is not a Parquet file"): import_trajectories(tmp_path/"spans.parquet", tmp_path/"runs")


# Records of SkimSearchAgent, and runs of BrowseComp-Plus in one file

def test_ids_beside_each_action(tmp_path):
    steps = [{"action": "search", "args": {"query": "owl"}, "observation": "2 hits", "hit_ids": ["d7", "d9"], "read_ids": []},
             {"action": "read", "args": {"rank": 2}, "observation": "An oak.", "hit_ids": [], "read_ids": ["d9"]},
             {"thought": "It is d9.", "action": "search", "args": {"query": "elm"}, "observation": "1 hit", "hit_ids": ["d11"], "read_ids": ["d12"]}, {"action": "answer", "args": {"answer": "Oak"}}]
    (run,), notes = imported(tmp_path, [{"id": "q", "question": "Which?", "trajectory": steps, "final_answer": "Oak"}], "rows.jsonl", expected="react")
    assert short(run) == ([("owl", ("d7", "d9")), ("elm", ("d11",))], [("d9", "It is d9.")], "Oak")
    assert list(notes) == ["a document that was read, but that no action opens"]


def test_runs_of_browsecomp_plus_in_one_printed_file(tmp_path):
    rows = [{"query_id": str(n), "query": "Which?", "status": "completed", "metadata": {"model": "m"}, "tool_call_counts": {"search": 1}, "retrieved_docids": ["7"], "result": [
        {"type": "reasoning", "output": "Hm."}, {"type": "tool_call", "tool_name": "search", "arguments": '{"query": "owl"}', "output": '[{"docid": "7"}]'}, {"type": "output_text", "output": "Owl"}]} for n in range(3)]
    for value in (rows, rows[0]):
        (tmp_path/"log.json").write_text(json.dumps(value, indent=2))
        manifest = import_trajectories(tmp_path/"log.json", tmp_path/"runs")
        assert {short(run)[0][0] for run in iterate_trajectories(tmp_path/"runs")} == {("owl", ("7",))} and not manifest["notes"]


def test_an_atif_log_of_its_newest_version(tmp_path):
    steps = [{"step_id": 1, "source": "user", "message": [{"type": "text", "text": "Which?"}, {"type": "audio", "source": {"media_type": "audio/wav", "path": "a.wav"}}]},
             {"step_id": 2, "source": "agent", "message": "", "reasoning_content": "Hm.", "llm_call_count": 1, "tool_calls": [
                 {"tool_call_id": "a", "function_name": "search", "arguments": {"query": "owl"}, "extra": {}}, {"tool_call_id": "b", "function_name": "helper", "arguments": {}}],
              "observation": {"results": [{"source_call_id": "b", "subagent_trajectory_ref": [{"trajectory_id": "h"}]}, {"source_call_id": "a", "content": [{"type": "text", "text": "DocID:7"}], "extra": {}}]}},
             {"step_id": 3, "source": "agent", "message": "Owl"}]
    helper = {"trajectory_id": "h", "agent": {"name": "h", "version": "1"}, "steps": [{"step_id": 1, "source": "user", "message": "Find."}, {"step_id": 2, "source": "agent", "message": "Found"}]}
    log = {"schema_version": "ATIF-v1.8", "trajectory_id": "t", "session_id": "s", "agent": {"name": "a", "version": "1"}, "steps": steps, "subagent_trajectories": [helper], "final_metrics": {}}
    runs, notes = imported(tmp_path, log, "trajectory.json", expected="atif")
    assert {run.query_id: short(run)[0] for run in runs} == {"t": [("owl", ("7",))], "h": []}
    assert notes["a content part that is not text"]["count"] == 1


def test_messages_of_anthropic_among_lines_of_other_things(tmp_path):
    rows = [{"session_id": "a", **message} for message in anthropic(small())] + [{"hologram": 1}] + [{"session_id": "b", **message} for message in openai(small())]
    runs, notes = imported(tmp_path, rows)
    assert {run.query_id: views(run) for run in runs} == {"a": views(small()), "b": views(small())} and notes["a value without messages"]["count"] == 1
