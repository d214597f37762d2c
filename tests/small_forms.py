"One trajectory written in every form that can be written, for tests; each form is a folder of files."
import csv, json, zipfile

from small_logs import attributes_of_spans, genai, openinference

from lrat.core.files import write_jsonl
from lrat.trajectories.trajectory import write_trajectory


def exchanges(run):
    "Turns: what was thought, the calls made side by side, and the answer where there is one"
    made, number = [], 0
    for step in run.steps:
        if step.type == "reasoning": made.append({"thought": step.output, "calls": [], "answer": None}); continue
        if not made or made[-1]["answer"] is not None or made[-1]["calls"] and not step.parallel: made.append({"thought": "", "calls": [], "answer": None})
        if step.type == "output_text": made[-1]["answer"] = step.output; continue
        number += 1
        made[-1]["calls"].append((f"c{number}", step.tool_name, json.loads(step.arguments), step.output))
    return made


def lines(folder, rows, name="log.jsonl"): write_jsonl(folder/name, rows)


# Messages of clients. Each gets two functions: what the assistant says in a turn, and what comes back

def talk(run, said, answered, asked=lambda text: {"role": "user", "content": text}):
    messages = [asked(run.query)]
    for turn in exchanges(run):
        messages.append(said(turn))
        if turn["calls"]: messages += answered(turn["calls"])
    return messages


def openai(run):
    def said(turn):
        calls = [{"id": i, "type": "function", "function": {"name": name, "arguments": json.dumps(given)}} for i, name, given, _ in turn["calls"]]
        return {"role": "assistant", "content": turn["answer"], "reasoning_content": turn["thought"]} | ({"tool_calls": calls} if calls else {})
    return talk(run, said, lambda calls: [{"role": "tool", "tool_call_id": i, "content": output} for i, _, _, output in calls])


def anthropic(run):
    def said(turn):
        parts = [{"type": "thinking", "thinking": turn["thought"], "signature": "x"}] if turn["thought"] else []
        parts += [{"type": "text", "text": turn["answer"]}] if turn["answer"] is not None else []
        return {"role": "assistant", "content": [*parts, *({"type": "tool_use", "id": i, "name": name, "input": given} for i, name, given, _ in turn["calls"])]}
    return talk(run, said, lambda calls: [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": i, "content": [{"type": "text", "text": output}]}
                                                                     for i, _, _, output in calls]}])


def gemini(run):
    def said(turn):
        parts = [{"text": turn["thought"], "thought": True}] if turn["thought"] else []
        parts += [{"text": turn["answer"]}] if turn["answer"] is not None else []
        return {"role": "model", "parts": [*parts, *({"functionCall": {"name": name, "args": given}, "thoughtSignature": "x"} for _, name, given, _ in turn["calls"])]}
    return talk(run, said, lambda calls: [{"role": "user", "parts": [{"functionResponse": {"name": name, "response": {"result": output}}} for _, name, _, output in calls]}],
                lambda text: {"role": "user", "parts": [{"text": text}]})


def bedrock(run):
    def said(turn):
        parts = [{"reasoningContent": {"reasoningText": {"text": turn["thought"], "signature": "x"}}}] if turn["thought"] else []
        parts += [{"text": turn["answer"]}] if turn["answer"] is not None else []
        return {"role": "assistant", "content": [*parts, *({"toolUse": {"toolUseId": i, "name": name, "input": given}} for i, name, given, _ in turn["calls"])]}
    return talk(run, said, lambda calls: [{"role": "user", "content": [{"toolResult": {"toolUseId": i, "content": [{"text": output}], "status": "success"}}
                                                                     for i, _, _, output in calls]}], lambda text: {"role": "user", "content": [{"text": text}]})


def vercel_core(run):
    def said(turn):
        parts = [{"type": "reasoning", "text": turn["thought"]}] if turn["thought"] else []
        parts += [{"type": "text", "text": turn["answer"]}] if turn["answer"] is not None else []
        return {"role": "assistant", "content": [*parts, *({"type": "tool-call", "toolCallId": i, "toolName": name, "input": given} for i, name, given, _ in turn["calls"])]}
    return talk(run, said, lambda calls: [{"role": "tool", "content": [{"type": "tool-result", "toolCallId": i, "toolName": name, "output": {"type": "text", "value": output}}
                                                                     for i, name, _, output in calls]}])


def vercel_screen(run):
    parts = []
    for turn in exchanges(run):
        parts += [{"type": "step-start"}, *([{"type": "reasoning", "text": turn["thought"], "state": "done"}] if turn["thought"] else [])]
        for n, (i, name, given, output) in enumerate(turn["calls"]):
            kind = {"type": f"tool-{name}"} if n % 2 == 0 else {"type": "dynamic-tool", "toolName": name}
            parts.append(kind | {"toolCallId": i, "state": "output-available", "input": given, "output": output})
        if turn["answer"] is not None: parts.append({"type": "text", "text": turn["answer"], "state": "done"})
    return [{"id": "m1", "role": "user", "parts": [{"type": "text", "text": run.query}]}, {"id": "m2", "role": "assistant", "parts": parts}]


def langchain(run, wrap):
    def said(turn):
        calls = [{"name": name, "args": given, "id": i, "type": "tool_call"} for i, name, given, _ in turn["calls"]]
        return wrap("ai", {"content": turn["answer"] or "", "tool_calls": calls, "additional_kwargs": {"reasoning_content": turn["thought"]} if turn["thought"] else {}})
    return talk(run, said, lambda calls: [wrap("tool", {"content": output, "tool_call_id": i, "name": name, "status": "success"}) for i, name, _, output in calls],
                lambda text: wrap("human", {"content": text}))


def constructor(kind, fields):
    name = {"human": "HumanMessage", "ai": "AIMessage", "tool": "ToolMessage"}[kind]
    return {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", name], "kwargs": {"type": kind, **fields}}


def blocks(kind, fields): # LangChain 1: thinking and calls among the parts, and the calls beside them once more
    parts = [{"type": "reasoning", "reasoning": text} for text in [fields.get("additional_kwargs", {}).get("reasoning_content")] if text]
    parts += [{"type": "text", "text": fields["content"]}, *fields.get("tool_calls", [])]
    return {"type": kind, **fields, "additional_kwargs": {}, "content": parts if kind == "ai" else fields["content"]}


def pydantic_ai(run):
    def said(turn):
        parts = [{"part_kind": "thinking", "content": turn["thought"]}] if turn["thought"] else []
        parts += [{"part_kind": "text", "content": turn["answer"]}] if turn["answer"] is not None else []
        calls = [{"part_kind": "tool-call", "tool_name": name, "args": json.dumps(given), "tool_call_id": i} for i, name, given, _ in turn["calls"]]
        return {"kind": "response", "parts": [*parts, *calls], "model_name": "m"}
    return talk(run, said, lambda calls: [{"kind": "request", "parts": [{"part_kind": "tool-return", "tool_name": name, "content": output, "tool_call_id": i} for i, name, _, output in calls]}],
                lambda text: {"kind": "request", "parts": [{"part_kind": "system-prompt", "content": "Search."}, {"part_kind": "user-prompt", "content": text}]})


def inspect(run):
    def said(turn):
        content = [{"type": "reasoning", "reasoning": turn["thought"]}] if turn["thought"] else []
        calls = [{"id": i, "function": name, "arguments": given, "type": "function"} for i, name, given, _ in turn["calls"]]
        return {"role": "assistant", "source": "generate", "content": [*content, {"type": "text", "text": turn["answer"] or ""}], "tool_calls": calls}
    messages = talk(run, said, lambda calls: [{"role": "tool", "tool_call_id": i, "function": name, "content": output} for i, name, _, output in calls])
    return {"id": run.query_id, "epoch": 1, "input": run.query, "target": "x", "messages": messages, "output": {"model": "m", "choices": []}, "events": [], "attachments": {}}


def inspect_archive(folder, run):
    with zipfile.ZipFile(folder/"log.eval", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in (("header.json", {"version": 2}), (f"samples/{run.query_id}_epoch_1.json", inspect(run))): archive.writestr(name, json.dumps(value))


def sharegpt(run):
    turns = [{"from": "human", "value": run.query}]
    for turn in exchanges(run):
        thought = f"<think>{turn['thought']}</think>" if turn["thought"] else ""
        calls = "".join(f"<tool_call>\n{json.dumps({'name': name, 'arguments': given})}\n</tool_call>" for _, name, given, _ in turn["calls"])
        turns.append({"from": "gpt", "value": thought + (calls or turn["answer"] or "")})
        if calls: turns.append({"from": "observation", "value": "".join(f"<tool_response>\n{output}\n</tool_response>" for *_, output in turn["calls"])})
    return turns


def streamed(message):
    "A message of a chat client as chunks, a few letters each"
    def chunk(**delta): return {"id": "x", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}]}
    for name in ("reasoning_content", "content"):
        text = message.get(name) or ""
        yield from (chunk(**{name: text[at:at + 3]}) for at in range(0, len(text), 3))
    for n, call in enumerate(message.get("tool_calls", [])):
        yield chunk(tool_calls=[{"index": n, "id": call["id"], "function": {"name": call["function"]["name"], "arguments": ""}}])
        yield chunk(tool_calls=[{"index": n, "function": {"arguments": call["function"]["arguments"]}}])


def requests(run, messages, ask, reply):
    "A request with its reply for each thing that the assistant says"
    for n, message in enumerate(messages):
        if message["role"] in ("assistant", "model"): yield {"session_id": run.query_id, "request": ask(messages[:n]), "response": reply(message)}


def claude_code(run):
    for n, message in enumerate(anthropic(run)):
        kind = message["role"]
        yield {"type": kind, "sessionId": run.query_id, "uuid": f"{run.query_id}-{n}", "parentUuid": f"{run.query_id}-{n - 1}" if n else None, "message": message}


# Items

def items(run):
    for turn in exchanges(run):
        if turn["thought"]: yield {"type": "reasoning", "summary": [{"type": "summary_text", "text": turn["thought"]}]}
        yield from ({"type": "function_call", "call_id": i, "name": name, "arguments": json.dumps(given)} for i, name, given, _ in turn["calls"])
        yield from ({"type": "function_call_output", "call_id": i, "output": output} for i, *_, output in turn["calls"])
        if turn["answer"] is not None: yield {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": turn["answer"]}]}


def codex(run):
    def line(kind, payload): return {"timestamp": "2026-07-09T10:00:00.000Z", "type": kind, "payload": payload}
    yield line("session_meta", {"id": run.query_id, "timestamp": "2026-07-09T10:00:00.000Z", "cwd": "/", "originator": "codex_cli_rs", "cli_version": "0.60.1"})
    yield line("response_item", {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "<environment_context>\n</environment_context>"}]})
    yield line("response_item", {"type": "message", "role": "user", "content": [{"type": "input_text", "text": run.query}]})
    yield line("event_msg", {"type": "user_message", "message": run.query, "kind": "plain"})
    for item in items(run):
        if item["type"] == "reasoning": yield line("event_msg", {"type": "agent_reasoning", "text": item["summary"][0]["text"]})
        yield line("response_item", item)
        yield line("event_msg", {"type": "token_count", "info": None})


def codex_exec(run):
    yield from ({"type": "thread.started", "thread_id": run.query_id}, {"type": "turn.started"})
    def line(stage, number, kind, **fields): return {"type": f"item.{stage}", "item": {"id": f"item_{number}", "type": kind, **fields}}
    number = 0
    for turn in exchanges(run):
        if turn["thought"]: yield line("completed", (number := number + 1), "reasoning", text=turn["thought"])
        first, calls = number + 1, [{"server": "kb", "tool": name, "arguments": given} for _, name, given, _ in turn["calls"]]
        for call in calls: yield line("started", (number := number + 1), "mcp_tool_call", **call, result=None, error=None, status="in_progress")
        for n, (*_, output) in reversed([*enumerate(turn["calls"])]): # Calls side by side may end in any order
            yield line("completed", first + n, "mcp_tool_call", **calls[n], result={"content": [{"type": "text", "text": output}]}, error=None, status="completed")
        if turn["answer"] is not None: yield line("completed", (number := number + 1), "agent_message", text=turn["answer"])
    yield {"type": "turn.completed", "usage": {"input_tokens": 1, "cached_input_tokens": 0, "output_tokens": 1}}


def graph_messages(run):
    "Messages with ids, without the question"
    messages = langchain(run, lambda kind, fields: {"type": kind, **fields})[1:]
    return [{"id": f"m{n}", **message} for n, message in enumerate(messages)]


def graph_updates(run):
    "A chunk for each node that ran: the model, then the tools of its turn"
    for message in graph_messages(run): yield ["updates", {"model" if message["type"] == "ai" else "tools": {"messages": [message]}}]


def graph_pieces(run):
    "Pieces of messages, a few letters each, with what LangGraph says of them"
    for step, message in enumerate(graph_messages(run)):
        about = {"thread_id": run.query_id, "langgraph_step": step, "langgraph_node": "model" if message["type"] == "ai" else "tools"}
        if message["type"] != "ai": yield [message, about]; continue
        def piece(content="", chunks=(), **more): return [{"type": "AIMessageChunk", "id": message["id"], "content": content, "tool_call_chunks": list(chunks), "additional_kwargs": more}, about]
        thought, text = message["additional_kwargs"].get("reasoning_content", ""), message["content"]
        for at in range(0, len(thought), 5): yield piece(reasoning_content=thought[at:at + 5])
        for at in range(0, len(text), 5): yield piece(text[at:at + 5])
        for n, call in enumerate(message["tool_calls"]):
            given = json.dumps(call["args"])
            yield piece(chunks=[{"name": call["name"], "args": "", "id": call["id"], "index": n}])
            yield from (piece(chunks=[{"name": None, "args": given[at:at + 9], "id": None, "index": n}]) for at in range(0, len(given), 9))
        yield piece()


def graph_events(run):
    "Events of a server: states and updates"
    messages = graph_messages(run)
    yield {"event": "metadata", "data": {"run_id": "r1", "thread_id": run.query_id}}
    yield {"event": "values", "data": {"messages": [{"type": "human", "id": "q", "content": run.query}]}}
    for n, message in enumerate(messages, 1):
        yield {"event": "updates", "data": {"node": {"messages": [message]}}}
        yield {"event": "values", "data": {"messages": [{"type": "human", "id": "q", "content": run.query}, *messages[:n]]}}
    yield {"event": "end", "data": None}


def smolagents(run):
    "A memory; a turn has one call, since what several calls of a turn observed is one text"
    rows = [{"task": run.query, "task_images": None}]
    for turn in exchanges(run):
        sent = {"role": "assistant", "content": "", "raw": {"choices": [{"message": {"role": "assistant", "reasoning_content": turn["thought"]}}]}}
        def step(tool=None, given=None, output=None, **more):
            calls = [{"id": f"call_{len(rows)}", "type": "function", "function": {"name": tool, "arguments": given}}] if tool else None
            rows.append({"step_number": len(rows), "timing": {}, "tool_calls": calls, "error": None, "model_output_message": sent, "model_output": "", "observations": output} | more)
        for _, name, given, output in turn["calls"]: step(name, given, output, action_output=None, is_final_answer=False)
        if turn["answer"] is not None: step(action_output=turn["answer"], is_final_answer=True)
    return rows


def atif(run):
    steps = [{"step_id": 1, "source": "user", "message": run.query}]
    for turn in exchanges(run):
        step = {"step_id": len(steps) + 1, "source": "agent", "message": turn["answer"] or "", "reasoning_content": turn["thought"] or None}
        if turn["calls"]:
            step |= {"tool_calls": [{"tool_call_id": i, "function_name": name, "arguments": given} for i, name, given, _ in turn["calls"]],
                     "observation": {"results": [{"source_call_id": i, "content": output} for i, *_, output in turn["calls"]]}}
        steps.append(step)
    return {"schema_version": "ATIF-v1.8", "trajectory_id": run.query_id, "session_id": "run", "agent": {"name": "made", "version": "1"}, "steps": steps}


# Traces

def langfuse(run):
    messages, rows = openai(run), []
    def add(kind, name, given, made):
        at = f"2026-07-09T10:{len(rows) // 60:02}:{len(rows) % 60:02}"
        rows.append({"id": f"o{len(rows)}", "traceId": run.query_id, "type": kind, "name": name, "startTime": f"{at}.000Z", "endTime": f"{at}.500Z", "input": given, "output": made,
                     "parentObservationId": "o0" if rows else None, "level": "DEFAULT", "model": "m" if kind == "GENERATION" else None})
    add("SPAN", "agent", run.query, None)
    for n, message in enumerate(messages):
        if message["role"] != "assistant": continue
        add("GENERATION", "chat", messages[:n], message)
        for call in message.get("tool_calls", []):
            output = next(m["content"] for m in messages[n:] if m.get("tool_call_id") == call["id"])
            add("TOOL" if len(rows) % 2 else "SPAN", call["function"]["name"], json.loads(call["function"]["arguments"]), output)
    return {"id": run.query_id, "timestamp": "2026-07-09T10:00:00.000Z", "name": "agent", "sessionId": "s", "input": run.query, "output": None, "observations": rows}


def langfuse_table(folder, run):
    rows = langfuse(run)["observations"]
    with open(folder/"observations.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        for row in rows: writer.writerow({name: value if isinstance(value, (str, type(None))) else json.dumps(value, ensure_ascii=False) for name, value in row.items()})


def dataframe(run):
    "Spans as Phoenix's dataframe has them: messages are lists of records, other attributes are columns"
    for span in attributes_of_spans(openinference(run)):
        lists, columns = {}, {}
        for name, value in span["attributes"].items():
            if not name.startswith(("llm.input_messages.", "llm.output_messages.")): columns[f"attributes.{name}"] = value; continue
            whole, number, rest = name.replace("llm.", "attributes.llm.", 1).split("_messages.")[0] + "_messages", *name.split("_messages.")[1].split(".", 1)
            lists.setdefault(whole, {}).setdefault(int(number), {})[rest] = value
        yield {"name": span["name"], "span_kind": columns["attributes.openinference.span.kind"], "parent_id": span["parent"], "start_time": span["start"], "end_time": span["end"],
               "status_code": "OK", "context.span_id": span["span"], "context.trace_id": span["trace"], **columns,
               **{name: [records(rows[n]) for n in sorted(rows)] for name, rows in lists.items()}}


def records(flat):
    "A message whose contents and calls are lists of records"
    found, lists = {}, {}
    for name, value in flat.items():
        head = next((f"message.{one}" for one in ("contents", "tool_calls") if name.startswith(f"message.{one}.")), None)
        if head is None: found[name] = value; continue
        number, rest = name[len(head) + 1:].split(".", 1)
        lists.setdefault(head, {}).setdefault(int(number), {})[rest] = value
    return found | {head: [rows[n] for n in sorted(rows)] for head, rows in lists.items()}


def dataframe_csv(folder, run):
    rows = list(dataframe(run))
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with open(folder/"spans.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for row in rows: writer.writerow({name: value if isinstance(value, (str, type(None))) else repr(value) for name, value in row.items()}) # As pandas prints it


def dataframe_parquet(folder, run):
    import pyarrow as pa, pyarrow.parquet as parquet
    rows = list(dataframe(run))
    parquet.write_table(pa.Table.from_pylist([{name: row.get(name) for name in dict.fromkeys(n for r in rows for n in r)} for row in rows]), folder/"spans.parquet")


def tempo(run):
    spans = [scope for line in openinference(run) for resource in line["resourceSpans"] for scope in resource["scopeSpans"]]
    return {"batches": [{"resource": {"attributes": []}, "scopeSpans": spans}]}


def console(folder, run):
    values = [{"name": s["name"], "context": {"trace_id": f"0x{s['trace']}", "span_id": f"0x{s['span']}", "trace_state": "[]"}, "kind": "SpanKind.INTERNAL", "parent_id": s["parent"] and f"0x{s['parent']}",
               "start_time": s["start"], "end_time": s["end"], "status": {"status_code": "UNSET"}, "attributes": s["attributes"], "events": [], "links": [], "resource": {"attributes": {}}}
              for s in attributes_of_spans(openinference(run))]
    (folder/"log.txt").write_text("\n".join(json.dumps(value, indent=4) for value in values))


# Lists of actions, and texts

def react(run):
    rows = []
    for turn in exchanges(run):
        if turn["answer"] is not None: rows.append({"thought": turn["thought"], "action": "answer", "args": {"answer": turn["answer"]}, "observation": ""})
        rows += [{"thought": turn["thought"], "action": name, "args": given, "observation": output} for _, name, given, output in turn["calls"]]
    return {"id": run.query_id, "question": run.query, "trajectory": rows}


def transcript(run):
    text = ""
    for turn in exchanges(run):
        text += f"<think>{turn['thought']}</think>\n" if turn["thought"] else ""
        text += "".join(f"<tool_call>{json.dumps({'name': name, 'arguments': given})}</tool_call>\n<tool_response>{output}</tool_response>\n" for _, name, given, output in turn["calls"])
        text += f"<answer>{turn['answer']}</answer>" if turn["answer"] is not None else ""
    return {"id": run.query_id, "question": run.query, "response": text}



def session(field, messages, **more): return lambda folder, run: lines(folder, [{"id": run.query_id, field: messages(run), **more}])


WRITERS = {
    "chat": ("chat", session("messages", openai)),
    "chat, a message a line": ("chat", lambda folder, run: lines(folder, ({"session_id": run.query_id, **message} for message in openai(run)))),
    "chat, requests with streams": ("chat", lambda folder, run: lines(folder, requests(run, openai(run), lambda given: {"messages": given}, lambda made: list(streamed(made))))),
    "Anthropic": ("chat", session("messages", anthropic)),
    "Anthropic, requests with replies": ("chat", lambda folder, run: lines(folder, requests(run, anthropic(run), lambda given: {"messages": given}, lambda made: {"id": "msg_1", "type": "message", **made}))),
    "Gemini": ("chat", session("contents", gemini)),
    "Gemini, requests with replies": ("chat", lambda folder, run: lines(folder, requests(run, gemini(run), lambda given: {"contents": given}, lambda made: {"candidates": [{"content": made}]}))),
    "Bedrock": ("chat", session("messages", bedrock)),
    "Bedrock, invocations": ("chat", lambda folder, run: lines(folder, ({"schemaType": "ModelInvocationLog", "operation": "Converse", "session_id": one["session_id"], "input": {"inputBodyJson": one["request"]},
                                                                        "output": {"outputBodyJson": {"output": {"message": one["response"]}}}}
                                                                       for one in requests(run, bedrock(run), lambda given: {"messages": given}, lambda made: made)))),
    "Vercel, for the model": ("chat", session("messages", vercel_core)),
    "Vercel, for the screen": ("chat", session("messages", vercel_screen)),
    "LangGraph, by type": ("chat", session("messages", lambda run: langchain(run, lambda kind, fields: {"type": kind, **fields}))),
    "LangGraph, wrapped": ("chat", lambda folder, run: lines(folder, [{"id": run.query_id, "values": {"messages": langchain(run, lambda kind, fields: {"type": kind, "data": {"type": kind, **fields}})}}])),
    "LangGraph, objects": ("chat", session("messages", lambda run: langchain(run, constructor))),
    "LangGraph, blocks": ("chat", session("messages", lambda run: langchain(run, blocks))),
    "Pydantic AI": ("chat", session("messages", pydantic_ai)),
    "ShareGPT with calls in the text": ("chat", session("conversations", sharegpt)),
    "Claude Code": ("claude-code", lambda folder, run: lines(folder, claude_code(run))),
    "Responses": ("responses", lambda folder, run: lines(folder, [{"id": run.query_id, "input": run.query, "output": list(items(run))}])),
    "Responses, an item a line": ("responses", lambda folder, run: lines(folder, ({"session_id": run.query_id, **item} for item in [{"type": "message", "role": "user", "content": run.query}, *items(run)]))),
    "Codex": ("codex", lambda folder, run: lines(folder, codex(run))),
    "Codex, exec": ("codex-exec", lambda folder, run: lines(folder, codex_exec(run))),
    "LangGraph, updates": ("langgraph", lambda folder, run: lines(folder, ({"thread_id": run.query_id, "event": mode, "data": data} for mode, data in graph_updates(run)))),
    "LangGraph, pieces": ("langgraph", lambda folder, run: lines(folder, graph_pieces(run))),
    "LangGraph, events of a server": ("langgraph", lambda folder, run: lines(folder, graph_events(run))),
    "smolagents, memory": ("smolagents", lambda folder, run: lines(folder, [{"id": run.query_id, "steps": smolagents(run)}])),
    "ATIF": ("atif", lambda folder, run: (folder/"trajectory.json").write_text(json.dumps(atif(run), indent=2))),
    "Inspect, JSON": ("inspect", lambda folder, run: (folder/"log.json").write_text(json.dumps({"version": 2, "status": "success", "eval": {"task": "t"}, "samples": [inspect(run)]}))),
    "Inspect, archive": ("inspect", inspect_archive),
    "Langfuse, traces": ("langfuse", lambda folder, run: lines(folder, [langfuse(run)])),
    "Langfuse, a page of the API": ("langfuse", lambda folder, run: (folder/"page.json").write_text(json.dumps({"data": langfuse(run)["observations"], "meta": {"page": 1}}))),
    "Langfuse, CSV": ("langfuse", langfuse_table),
    "OpenTelemetry": ("spans", lambda folder, run: lines(folder, genai(run))),
    "OpenInference": ("spans", lambda folder, run: lines(folder, openinference(run))),
    "Phoenix, CSV": ("spans", dataframe_csv),
    "Phoenix, Parquet": ("spans", dataframe_parquet),
    "Tempo 1": ("spans", lambda folder, run: (folder/"trace.json").write_text(json.dumps(tempo(run)))),
    "Tempo 2": ("spans", lambda folder, run: (folder/"trace.json").write_text(json.dumps({"trace": {"resourceSpans": tempo(run)["batches"]}}))),
    "OTel console exporter": ("spans", console),
    "react": ("react", lambda folder, run: lines(folder, [react(run)])),
    "transcripts": ("transcripts", lambda folder, run: lines(folder, [transcript(run)])),
    "trajectory files": ("runs", lambda folder, run: write_trajectory(folder, run)),
}
WITHOUT_QUESTION = {"Codex, exec", "LangGraph, updates", "LangGraph, pieces"} # Forms that do not hold what the user asked
ONE_AFTER_THE_OTHER = {"react", "transcripts", "smolagents, memory"} # Forms that cannot say that two calls were made side by side
