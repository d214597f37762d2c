"""A session of Claude Code, a rollout of Codex, and what `codex exec --json` prints, in the published forms of these files.

No client was run: `python session_files.py` writes what openai_agents.jsonl holds in the three forms. The library is an MCP server there.
"""
import json

VERSIONS = {"claude_code": "2.0.14", "codex": "0.60.1"} # Whose form it is


def claude_lines(session, items):
    "A line for each block of a message, as Claude Code writes them"
    common = {"isSidechain": False, "userType": "external", "cwd": "/museum", "sessionId": session, "version": VERSIONS["claude_code"], "gitBranch": ""}
    yield {"type": "summary", "summary": "A question to the library", "leafUuid": f"{session}-{len(items) - 1}"}
    for number, item in enumerate(items):
        link = {"parentUuid": f"{session}-{number - 1}" if number else None, **common, "uuid": f"{session}-{number}", "timestamp": f"2026-01-01T10:00:{number:02}.000Z"}
        if item.get("role") == "user": yield {**link, "type": "user", "message": {"role": "user", "content": item["content"]}}; continue
        if item["type"] == "function_call_output":
            shown = [{"type": "text", "text": item["output"]}]
            block = {"tool_use_id": f"toolu_{item['call_id']}", "type": "tool_result", "content": shown}
            yield {**link, "type": "user", "message": {"role": "user", "content": [block]}, "toolUseResult": shown}
            continue
        if item["type"] == "reasoning": block = {"type": "thinking", "thinking": item["content"][0]["text"], "signature": "none"}
        elif item["type"] == "message": block = {"type": "text", "text": item["content"][0]["text"]}
        else: block = {"type": "tool_use", "id": f"toolu_{item['call_id']}", "name": f"mcp__library__{item['name']}", "input": json.loads(item["arguments"])}
        message = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": [block], "stop_reason": None,
                   "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}
        yield {**link, "type": "assistant", "message": message, "requestId": f"req_{number}"}


def codex_lines(session, items):
    "The items of the Responses API, with the events that Codex shows its user"
    def line(kind, **payload): return {"timestamp": "2026-01-01T10:00:00.000Z", "type": kind, "payload": payload}
    def said(role, text): return line("response_item", type="message", role=role, content=[{"type": "input_text", "text": text}])
    yield line("session_meta", id=session, timestamp="2026-01-01T10:00:00.000Z", cwd="/museum", originator="codex_cli_rs", cli_version=VERSIONS["codex"], instructions=None, source="cli")
    yield said("user", "<environment_context>\n  <cwd>/museum</cwd>\n</environment_context>")
    yield line("turn_context", cwd="/museum", approval_policy="never", sandbox_policy={"type": "read-only"}, model="gpt-5-codex", summary="auto")
    calls = {item["call_id"]: item for item in items if item.get("type") == "function_call"}
    for item in items:
        if item.get("role") == "user":
            yield said("user", item["content"])
            yield line("event_msg", type="user_message", message=item["content"], images=[])
        elif item["type"] == "reasoning":
            text = item["content"][0]["text"]
            yield line("event_msg", type="agent_reasoning", text=text)
            yield line("response_item", type="reasoning", summary=[{"type": "summary_text", "text": text}], content=None, encrypted_content="none")
        elif item["type"] == "function_call":
            yield line("response_item", type="function_call", name=f"mcp__library__{item['name']}", arguments=item["arguments"], call_id=item["call_id"])
        elif item["type"] == "function_call_output":
            call, shown = calls[item["call_id"]], [{"type": "text", "text": item["output"]}]
            yield line("event_msg", type="mcp_tool_call_end", call_id=item["call_id"], duration={"secs": 0, "nanos": 1}, result={"Ok": {"content": shown, "isError": False}},
                       invocation={"server": "library", "tool": call["name"], "arguments": json.loads(call["arguments"])})
            yield line("response_item", type="function_call_output", call_id=item["call_id"], output=f"Wall time: 0.1000 seconds\nOutput:\n{json.dumps(shown)}")
        else:
            text = item["content"][0]["text"]
            yield line("event_msg", type="agent_message", message=text)
            yield line("response_item", type="message", role="assistant", content=[{"type": "output_text", "text": text}])
        yield line("event_msg", type="token_count", info=None, rate_limits=None)


def exec_lines(session, items):
    "The events of a thread; the prompt is not among them"
    def line(stage, kind, **fields): return {"type": f"item.{stage}", "item": {"id": f"item_{number}", "type": kind, **fields}}
    yield from ({"type": "thread.started", "thread_id": session}, {"type": "turn.started"})
    outputs = {item["call_id"]: item["output"] for item in items if item.get("type") == "function_call_output"}
    for number, item in enumerate(item for item in items if item.get("type") in ("reasoning", "function_call", "message")):
        if item["type"] == "function_call":
            asked = {"server": "library", "tool": item["name"], "arguments": json.loads(item["arguments"])}
            yield line("started", "mcp_tool_call", **asked, result=None, error=None, status="in_progress")
            shown = {"content": [{"type": "text", "text": outputs[item["call_id"]]}], "structured_content": None}
            yield line("completed", "mcp_tool_call", **asked, result=shown, error=None, status="completed")
        else: yield line("completed", "reasoning" if item["type"] == "reasoning" else "agent_message", text=item["content"][0]["text"])
    yield {"type": "turn.completed", "usage": {"input_tokens": 1, "cached_input_tokens": 0, "output_tokens": 1}}


for name, lines in (("claude_code", claude_lines), ("codex", codex_lines), ("codex_exec", exec_lines)):
    with open("openai_agents.jsonl") as log, open(f"{name}.jsonl", "w") as out:
        for run in map(json.loads, log): out.writelines(json.dumps(row) + "\n" for row in lines(run["id"], run["items"]))
