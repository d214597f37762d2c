"Servers that only stream, that want headers or a query, or that count tokens in words; and secrets, which are nowhere"
import json
import pytest
pytest.importorskip("aiohttp", reason="the agents extra is not installed")
from lrat.agents.actions import Budget
from lrat.agents.collect import collect
from lrat.agents.registry import open_agent
from lrat.core.settings import InputError, LratError
from lrat.llm.client import ChatModel, read_completion
from lrat.llm.credentials import Credentials, read_credentials, read_headers, read_key
from lrat.llm.failures import ModelFailure
from lrat.testing.server import completion, response, stand_in
from lrat.trajectories.trajectory import read_trajectory
from small_agents import QUESTIONS, Words, first_words

def events(*rows, end=("[DONE]",), line="\n"): return "".join(f"data: {data}{line}{line}" for data in (*map(json.dumps, rows), *end))

def streamed(body, size=3):
    "A completion in pieces of a few letters, as servers send it"
    message, reason = body["choices"][0]["message"], body["choices"][0]["finish_reason"]
    def chunk(**delta): return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    rows = [chunk(role="assistant", content="")]
    for name in ("reasoning_content", "content"):
        rows += [chunk(**{name: message[name][n:n + size]}) for n in range(0, len(message.get(name) or ""), size)]
    for n, call in enumerate(message.get("tool_calls", ())):
        text = call["function"]["arguments"]
        rows.append(chunk(tool_calls=[{**call, "index": n, "function": {**call["function"], "arguments": ""}}]))
        rows += [chunk(tool_calls=[{"index": n, "function": {"arguments": text[m:m + size]}}]) for m in range(0, len(text), size)]
    return events(*rows, {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}, {"choices": [], "usage": body["usage"]})

def gather(agent, answer, out):
    with stand_in(answer) as server: collect(QUESTIONS[:1], Words(), open_agent(agent, server.url, "m"), out, Budget(k=3), first_words)
    return read_trajectory(out/"run_q00.json"), server

CHAT = [completion(None, [("search", {"user_query": "0 mills"}), ("search", {"user_query": "1 mills"})], reasoning_content="First."),
        completion(None, [("get_document", {"docid": "d00"})]), completion("Town 00", reasoning_content="It says so.")]
TEXT = [completion('<think>First.</think><tool_call>{"name": "search", "arguments": {"query": ["0 mills"]}}</tool_call>'), completion("<think>It says so.</think><answer>Town 00</answer>")]

@pytest.mark.parametrize("refuses", [True, False])
@pytest.mark.parametrize("agent, turns", [("chat", CHAT), ("tongyi", TEXT)])
def test_a_server_that_only_streams_gives_the_same_trajectory(agent, turns, refuses, tmp_path):
    def whole(body): return turns[sum(m["role"] == "assistant" for m in body["messages"])]
    def stream(body):
        if refuses and not body.get("stream"): return (400, '{"error": {"message": "This model only supports stream mode, please enable the stream parameter"}}')
        return (200, streamed(whole(body)))
    run, _ = gather(agent, whole, tmp_path/"whole")
    again, server = gather(agent, stream, tmp_path/"stream")
    assert again.steps == run.steps and again.status == "completed" and again.metadata["usage"] == run.metadata["usage"]
    assert [bool(request.get("stream")) for request in server.requests] == ([False] + [True]*len(turns) if refuses else [False]*len(turns))

def test_typed_items_in_a_stream(tmp_path):
    turns = [response("", [("local_knowledge_base_retrieval", {"user_query": "0 mills"})], "First."), response("Town 00", reasoning="It says so.")]
    def stream(body):
        whole = turns[sum(item.get("type") == "function_call_output" for item in body["input"])]
        return (200, "event: response.created\n" + events({"type": "response.created", "response": {"output": []}}, {"type": "response.completed", "response": whole}, end=()))
    run, _ = gather("gpt-oss", stream, tmp_path)
    assert (run.status, run.final_answer, run.steps[0].output, len(run.searches())) == ("completed", "Town 00", "First.", 1)

@pytest.mark.parametrize("text, why", [
    (streamed(CHAT[2]).rpartition('data: {"choices": [{"index": 0, "delta": {}')[0], "the stream breaks off before its end"),
    (events({"error": {"message": "overloaded"}}), "overloaded"), (events(), "not a chat completion"), ("data: {\n\n", "not a chat completion")])
def test_a_stream_that_breaks_off_is_no_reply(text, why):
    with stand_in(lambda body: (200, text)) as server:
        with pytest.raises(ModelFailure, match=why): ChatModel(server.url, "m", attempts=2, backoff=.001).reply([])
    assert len(server.requests) == 2 or why == "not a chat completion"

@pytest.mark.parametrize("line", ["\n", "\r\n"])
def test_comments_and_line_ends_of_streams(line):
    with stand_in(lambda body: (200, f": ping{line}{line}" + events({"choices": [{"delta": {"content": "Oslo"}, "finish_reason": "stop"}]}, line=line))) as server:
        assert ChatModel(server.url, "m").reply([]).content == "Oslo"

# ------------------------------------------------------------------------------------------------------- odd numbers

@pytest.mark.parametrize("usage", ["many", 7, [], {"prompt_tokens": "ten", "completion_tokens": None}, {"prompt_tokens": float("nan"), "completion_tokens": float("inf")},
                                   {"prompt_tokens": -5, "completion_tokens": {"a": 1}}, {"prompt_tokens": True}])
def test_usage_that_is_no_number_ends_nothing(usage, tmp_path):
    body = {**completion("Town 00"), "usage": usage}
    run, _ = gather("chat", lambda request: (200, json.dumps(body)), tmp_path)
    assert run.status == "completed" and run.metadata["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "requests": 1}

def test_numbers_in_words_count():
    assert read_completion({**completion("x"), "usage": {"prompt_tokens": "12", "completion_tokens": 3.0}}).usage == {"prompt_tokens": 12, "completion_tokens": 3}

def test_a_number_beyond_all_bounds_does_not_come_back(tmp_path):
    turn = json.dumps(completion(None, [("search", {"user_query": "0 mills"})])).replace('"content": null', '"content": null, "logprob": 1e999, "score": NaN')
    run, server = gather("chat", lambda body: (200, turn) if len(body["messages"]) == 2 else completion("Town 00"), tmp_path)
    assert run.status == "completed" and not {"logprob", "score"} & server.requests[-1]["messages"][2].keys()

# --------------------------------------------------------------------------------------------------- keys and headers

def test_our_own_key_comes_first_and_an_empty_one_is_none(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "theirs")
    monkeypatch.setenv("LRAT_API_KEY", "  ")
    assert read_key() == "theirs"
    monkeypatch.setenv("LRAT_API_KEY", "ours")
    assert read_key() == "ours" and read_key("OPENAI_API_KEY") == "theirs"
    with pytest.raises(LratError, match="NO_SUCH_KEY is not set"): read_key("NO_SUCH_KEY")

@pytest.mark.parametrize("text, why", [("sk-planted", ":1: is neither a header nor a parameter"), ("X-A: sk-planted\nx-a: b", ":2: x-a stands here twice"),
                                       ("Host: sk-planted", ":1: the header Host is set by the client"), ("X-A: ${NO_SUCH_VARIABLE}", "NO_SUCH_VARIABLE is not set"),
                                       ("X-A: sk-plantéd", ":1: the value of X-A"), ("X-A:", ":1: the value of X-A is empty"), ("?a=1\n?a=sk-planted", ":2: a stands here twice")])
def test_mistakes_in_a_file_of_headers_name_the_line_and_no_value(text, why, tmp_path):
    (tmp_path/"headers").write_text(text)
    with pytest.raises(InputError, match=why) as caught: read_headers(tmp_path/"headers")
    assert "sk-plant" not in str(caught.value)

@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 200])
def test_no_header_and_no_query_is_told_or_kept(status, tmp_path, monkeypatch):
    monkeypatch.setenv("LRAT_API_KEY", "sk-planted-key")
    (tmp_path/"headers").write_text("Authorization: Basic planted-basic\nX-Team: planted-team\n?token=planted%query\n")
    secrets = ("sk-planted-key", "planted-basic", "planted-team", "planted%query", "planted%25query")
    known = read_credentials(headers=tmp_path/"headers")
    said = "no: " + " ".join(secrets)
    with stand_in(lambda body: (status, json.dumps(completion(said)) if status == 200 else said)) as server:
        model = ChatModel(f"record:{tmp_path}/replies.jsonl:{server.url}", "m", attempts=1, credentials=known)
        try: told = model.reply([]).content and (tmp_path/"replies.jsonl").read_text()
        except (LratError, ModelFailure) as error: told = str(error)
    assert server.paths[0].startswith("/v1/chat/completions?token=planted") and told.count("***") >= 4
    assert not any(secret in told + repr(known) + repr(vars(model)) for secret in secrets)

def test_a_header_replaces_the_key(tmp_path):
    assert Credentials("sk-1", {"api-key": "x"}).all_headers()["Authorization"] == "Bearer sk-1"
    assert "Bearer" not in str(Credentials("sk-1", {"authorization": "Basic x"}).all_headers())

def test_a_certificate_that_is_not_trusted_is_said_at_once(tmp_path, monkeypatch):
    import ssl, subprocess, threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path/"key.pem", "-out", tmp_path/"cert.pem", "-days", "2", "-subj", "/CN=localhost"], capture_output=True)
    if made.returncode: pytest.skip("openssl is not installed")
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path/"cert.pem", tmp_path/"key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.raises(LratError, match="its certificate is not trusted .* SSL_CERT_FILE") as caught: ChatModel(f"https://localhost:{server.server_port}/v1", "m").reply([])
    server.shutdown()
    assert "\n" not in str(caught.value)
    with stand_in(lambda body: completion("x")) as plain:
        with pytest.raises(LratError, match="does not speak https"): ChatModel(plain.url.replace("http:", "https:"), "m").reply([])
