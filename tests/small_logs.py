"One trajectory as each log format would hold it, for tests."
import copy, json

from lrat.trajectories.trajectory import Step, Trajectory

LISTED = "DocID:7\n[Owl]\nA bird.\n\nDocID:9\n[Oak]\nA tree."


def small(query_id="q1", last="The owl"):
    call = lambda tool, output, **arguments: Step("tool_call", tool, json.dumps(arguments), output)
    return Trajectory(query_id, "Which bird flies at night?", "completed", [
        Step("reasoning", output="I search."), call("search", LISTED, query="night bird"), Step("reasoning", output="The owl, perhaps."),
        call("get_document", "An owl.", docid="7"), Step("reasoning", output="It flies at night, says the page."),
        call("search", "DocID:9\n[Oak]\nA tree.", query="oak"), call("visit", "An oak.", docid="9"), Step("output_text", output=last)])


def broken(value, rng):
    "The value with one part of it replaced, left out or doubled"
    value = copy.deepcopy(value)
    places = []

    def walk(part):
        for key in part if isinstance(part, dict) else range(len(part)):
            places.append((part, key))
            if isinstance(part[key], (dict, list)): walk(part[key])

    walk(value)
    part, key = rng.choice(places)
    change = rng.choice(["", None, 7, "x", [], {}, [None], [7], {"x": 1}, "leave out", "double"])
    if change == "leave out": del part[key]
    elif change == "double" and isinstance(part, list): part.insert(key, copy.deepcopy(part[key]))
    else: part[key] = change
    return value


def views(run): return ([(s.query, s.docids) for s in run.searches()], [(b.docid, b.search and b.search.query, b.reasoning) for b in run.browses()],
                        run.query, run.final_answer)


def turns(run):
    "Reasoning, then a call with its result or the answer; calls are numbered"
    thoughts, number = [], 0
    for step in run.steps:
        if step.type == "reasoning": thoughts.append(step.output); continue
        number += step.type == "tool_call"
        yield "\n".join(thoughts), step, f"c{number}"
        thoughts = []


def chat_messages(run):
    messages, results = [{"role": "system", "content": "Use the tools."}, {"role": "user", "content": run.query}], []
    for thought, step, call_id in turns(run):
        message = {"role": "assistant", "content": "", "reasoning_content": thought}
        if not step.parallel: messages, results = messages + results, []
        if step.type == "output_text": messages.append(message | {"content": step.output}); continue
        call = {"id": call_id, "type": "function", "function": {"name": step.tool_name, "arguments": step.arguments}}
        if step.parallel: messages[-1]["tool_calls"].append(call)
        else: messages.append(message | {"tool_calls": [call]})
        results.append({"role": "tool", "tool_call_id": call_id, "content": step.output})
    return messages + results


def chat(run): return [{"id": run.query_id, "messages": chat_messages(run)}]


def responses(run):
    items = []
    for thought, step, call_id in turns(run):
        if thought: items.append({"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": thought}]})
        if step.type == "output_text":
            items.append({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": step.output}]})
        else:
            items += [{"type": "function_call", "call_id": call_id, "name": step.tool_name, "arguments": step.arguments},
                      {"type": "function_call_output", "call_id": call_id, "output": step.output}]
    return [{"id": run.query_id, "input": run.query, "output": items}]


def calls_of_models(run):
    "What each call of the model was given, and what it made of it: the history grows"
    messages = chat_messages(run)
    for number, message in enumerate(messages):
        if message["role"] == "assistant": yield messages[:number], message, messages[number + 1:number + 1 + len(message.get("tool_calls", []))]


def parts(message):
    if message["role"] == "tool": return {"role": "tool", "parts": [{"type": "tool_call_response", "id": message["tool_call_id"], "response": message["content"]}]}
    made = [{"type": "reasoning", "content": message["reasoning_content"]}] if message.get("reasoning_content") else []
    if message.get("content"): made.append({"type": "text", "content": message["content"]})
    made += [{"type": "tool_call", "id": c["id"], "name": c["function"]["name"], "arguments": json.loads(c["function"]["arguments"])} for c in message.get("tool_calls", [])]
    return {"role": message["role"], "parts": made}


def spread(side, messages):
    "Messages in OpenInference's numbered attributes; its messages have no place for thinking but the parts of the content"
    flat = {}
    for n, message in enumerate(messages):
        at = f"llm.{side}_messages.{n}.message"
        flat[f"{at}.role"] = message["role"]
        if message.get("reasoning_content"):
            flat |= {f"{at}.contents.0.message_content.type": "reasoning", f"{at}.contents.0.message_content.text": message["reasoning_content"],
                     f"{at}.contents.1.message_content.type": "text", f"{at}.contents.1.message_content.text": message["content"]}
        elif message.get("content"): flat[f"{at}.content"] = message["content"]
        if message.get("tool_call_id"): flat[f"{at}.tool_call_id"] = message["tool_call_id"]
        for c, call in enumerate(message.get("tool_calls", [])):
            flat |= {f"{at}.tool_calls.{c}.tool_call.id": call["id"], f"{at}.tool_calls.{c}.tool_call.function.name": call["function"]["name"],
                     f"{at}.tool_calls.{c}.tool_call.function.arguments": call["function"]["arguments"]}
    return flat


def otlp(run, attributes_of, tool_of):
    spans = [("0", "", "agent", 1, 10_000, {"openinference.span.kind": "AGENT"})]
    for n, (given, made, after) in enumerate(calls_of_models(run), 1):
        spans.append((f"m{n}", "0", "chat", 100 * n, 100 * n + 10, attributes_of(given, made)))
        for c, result in enumerate(after): spans.append((f"t{n}.{c}", "0", "tool", 100 * n + 20 + c, 100 * n + 30 + c, tool_of(made["tool_calls"][c], result["content"])))
    for span_id, parent, name, start, end, attributes in reversed(spans): # The last to start is the first in the file
        rows = [{"key": key, "value": {"stringValue": value if isinstance(value, str) else json.dumps(value)}} for key, value in attributes.items()]
        span = {"traceId": run.query_id, "spanId": span_id, "parentSpanId": parent, "name": name, "startTimeUnixNano": str(start),
                "endTimeUnixNano": str(end), "attributes": rows, "status": {}}
        yield {"resourceSpans": [{"scopeSpans": [{"scope": {"name": "made"}, "spans": [span]}], "schemaUrl": "https://opentelemetry.io/schemas/1.38.0"}]}


def genai(run):
    return otlp(run, lambda given, made: {"gen_ai.operation.name": "chat", "gen_ai.input.messages": [parts(m) for m in given],
                                          "gen_ai.output.messages": [parts(made)]},
                lambda call, result: {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": call["function"]["name"], "gen_ai.tool.call.id": call["id"],
                                      "gen_ai.tool.call.arguments": call["function"]["arguments"], "gen_ai.tool.call.result": result})


def openinference(run):
    return otlp(run, lambda given, made: {"openinference.span.kind": "LLM"} | spread("input", given) | spread("output", [made]),
                lambda call, result: {"openinference.span.kind": "TOOL", "tool.name": call["function"]["name"],
                                      "input.value": call["function"]["arguments"], "output.value": result})


def attributes_of_spans(lines):
    "Spans with their attributes as an object and their times as dates, as backends show them"
    for line in lines:
        span = line["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
        def date(name): return f"2026-07-09T00:{int(span[name]) // 60_000:02}:{int(span[name]) % 60_000 / 1000:09.6f}Z"
        yield {"trace": span["traceId"], "span": span["spanId"], "parent": span["parentSpanId"] or None, "name": span["name"], "start": date("startTimeUnixNano"),
               "end": date("endTimeUnixNano"), "attributes": {row["key"]: row["value"]["stringValue"] for row in span["attributes"]}}


def langchain(message):
    name = {"system": "SystemMessage", "user": "HumanMessage", "assistant": "AIMessage", "tool": "ToolMessage"}[message["role"]]
    fields = {"content": message["content"], "additional_kwargs": {}}
    if message.get("reasoning_content"): fields["additional_kwargs"] = {"reasoning_content": message["reasoning_content"]}
    if message.get("tool_call_id"): fields["tool_call_id"] = message["tool_call_id"]
    if message.get("tool_calls"):
        fields["tool_calls"] = [{"name": c["function"]["name"], "args": json.loads(c["function"]["arguments"]), "id": c["id"]} for c in message["tool_calls"]]
    return {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", name], "kwargs": fields}


def langsmith(run):
    common = {"trace_id": run.query_id}
    rows = [{"id": "r", "run_type": "chain", "name": "agent", "inputs": {"question": run.query}, "outputs": {}, "start_time": "2026-05-01T10:00:00"} | common]
    for n, (given, made, after) in enumerate(calls_of_models(run), 1):
        time = f"2026-05-01T10:{n:02}:"
        rows.append({"id": f"m{n}", "parent_run_id": "r", "run_type": "llm", "name": "model", "start_time": time + "00", "end_time": time + "10.5",
                     "inputs": {"messages": [[langchain(m) for m in given]]}, "outputs": {"generations": [[{"message": langchain(made)}]]}} | common)
        for c, (call, result) in enumerate(zip(made.get("tool_calls", []), after)):
            arguments = json.loads(call["function"]["arguments"])
            rows.append({"id": f"t{n}.{c}", "parent_run_id": "r", "run_type": "tool", "name": call["function"]["name"], "start_time": f"{time}2{c}",
                         "end_time": f"{time}3{c}", "inputs": {"input": repr(arguments)}, "outputs": {"output": langchain(result)}} | common)
    return rows[::-1]


def atif(run):
    steps = [{"step_id": 1, "source": "user", "message": run.query}]
    for thought, step, call_id in turns(run):
        made = {"step_id": len(steps) + 1, "source": "agent", "message": step.output if step.type == "output_text" else "", "reasoning_content": thought}
        if step.type == "tool_call":
            made |= {"tool_calls": [{"tool_call_id": call_id, "function_name": step.tool_name, "arguments": json.loads(step.arguments)}],
                     "observation": {"results": [{"source_call_id": call_id, "content": step.output}]}}
        steps.append(made)
    return [{"schema_version": "ATIF-v1.6", "session_id": run.query_id, "agent": {"name": "made", "version": "1"}, "steps": steps}]


LOGS = {"chat": ("chat", chat), "responses": ("responses", responses), "OpenTelemetry": ("spans", genai), "OpenInference": ("spans", openinference),
        "LangSmith": ("langsmith", langsmith), "ATIF": ("atif", atif)}
