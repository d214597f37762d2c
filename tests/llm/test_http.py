"The client against servers that are down, slow, busy, wrong or talkative, and recordings of what they said"
import asyncio, socket, threading, time
from dataclasses import replace
import pytest
pytest.importorskip("aiohttp", reason="the agents extra is not installed")
from lrat import endpoint as module
from lrat.agents.loop import Budget, run_agents
from lrat.agents.chat import ChatPolicy
from lrat.agents.collect import collect
from lrat.llm.http import Breaker, Endpoint, ModelFailure, background, stand_in, wait_for
from lrat.core.files import read_jsonl
from lrat.llm.client import ChatModel, completion
from lrat.trajectories.trajectory import read_trajectory
from lrat.core.settings import InputError, LratError
from small_agents import QUESTIONS, Words, first_words

def ask(endpoint, **options): return wait_for(endpoint.post("echo", {"model": "m"}, **options))

def replies(*given):
    "Serve each answer once"
    rest = iter(given)
    return stand_in(lambda request: next(rest))

def without_waiting(endpoint):
    "Note how long the endpoint would rest, and do not"
    rests = []
    async def rest(seconds): rests.append(seconds)
    endpoint._rest = rest
    return rests

class Raw:
    "A server of which each connection gets `answer`, bytes that need not be HTTP, and is closed"
    def __init__(self, *answers): self.answers, self.connections = answers, 0
    def __enter__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/v1"
        threading.Thread(target=self.serve, daemon=True).start()
        return self
    def __exit__(self, *error): self.socket.close()
    def serve(self):
        while True:
            try: connection, _ = self.socket.accept()
            except OSError: return
            with connection:
                connection.recv(65536)
                connection.sendall(self.answers[min(self.connections, len(self.answers) - 1)])
                self.connections += 1

WHOLE = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a":1}'

# ------------------------------------------------------------------------------------------------------------ trying again

@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 529])
def test_what_waiting_may_mend_is_tried_again(status):
    with replies((status, "later"), {"a": 1}) as server: assert ask(Endpoint(server.url, backoff=.001)) == {"a": 1}
    assert len(server.requests) == 2 and server.requests[0] == server.requests[1]

@pytest.mark.parametrize("status", [400, 405, 413, 422])
def test_what_waiting_cannot_mend_is_not(status):
    with replies((status, '{"error": {"message": "this model\'s maximum context is 4096 tokens"}}')) as server:
        with pytest.raises(ModelFailure, match=f"status {status}: .*maximum context") as caught: ask(Endpoint(server.url))
    assert len(server.requests) == 1 and "\n" not in str(caught.value)

@pytest.mark.parametrize("broken", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 700\r\n\r\n{", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"])
def test_a_broken_connection_is_tried_again(broken):
    with Raw(broken, WHOLE) as server: assert ask(Endpoint(server.url, backoff=.001)) == {"a": 1}

@pytest.mark.parametrize("broken", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00\x01\x02\x03", b"HTTP/1.1 200 OK\r\nX: " + b"y"*100_000 + b"\r\n\r\n{}"])
def test_what_is_no_http_is_one_line(broken):
    with Raw(broken) as server:
        with pytest.raises(ModelFailure, match=r"\(2 attempts\)$") as caught: ask(Endpoint(server.url, attempts=2, backoff=.001))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300

def test_the_server_says_how_long_to_wait():
    with replies((429, "slow down", {"Retry-After": "7"}), (503, "starting", {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}), (503, "x"), {"a": 1}) as server:
        endpoint = Endpoint(server.url, chance=lambda: .5)
        rests = without_waiting(endpoint)
        assert ask(endpoint) == {"a": 1}
    assert rests == [7.5, 1.5, 3.] # Its own pauses are 0.75, 1.5 and 3; what is asked for never shortens them

def test_a_pause_beyond_the_deadline_is_not_waited_for():
    with replies((429, "come back tomorrow", {"Retry-After": "86400"})) as server:
        endpoint = Endpoint(server.url)
        rests = without_waiting(endpoint)
        with pytest.raises(ModelFailure, match=r"status 429: come back tomorrow \(1 attempt\)"): ask(endpoint)
    with replies((503, "busy")) as server:
        with pytest.raises(ModelFailure, match="status 503: busy"): ask(Endpoint(server.url), deadline=time.monotonic() + .5)
    assert rests == []

def test_a_slow_server_and_a_deadline():
    def slow(request): time.sleep(.4)
    with stand_in(slow) as server:
        with pytest.raises(ModelFailure, match=r"no reply within 0.1 seconds \(2 attempts\)"): ask(Endpoint(server.url, timeout=.1, attempts=2, backoff=.001))
        with pytest.raises(ModelFailure, match=r"no reply within 0.1\d* seconds \(1 attempt\)"): ask(Endpoint(server.url), deadline=time.monotonic() + .15)

# ------------------------------------------------------------------------------------------------------------------ outages

def nobody():
    "An address at which nobody listens"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/v1"

def test_nobody_listens():
    with pytest.raises(ModelFailure, match=r"^no connection \(Connection refused\) \(2 attempts\)$"): ask(Endpoint(nobody(), attempts=2, backoff=.001))
    with pytest.raises(ModelFailure, match=r"^no connection \("): ask(Endpoint("http://no-such-host.invalid/v1", attempts=1))

def test_in_an_outage_all_who_wait_fail_at_once_and_one_tries():
    now = [0]
    breaker = Breaker(failures=8, patience=0, rest=30, clock=lambda: now[0])
    async def outcomes(endpoint, count):
        return await asyncio.gather(*[endpoint.post("echo", {}) for _ in range(count)], return_exceptions=True)
    down = Endpoint(nobody(), attempts=100, backoff=.01, breaker=breaker)
    told = wait_for(outcomes(down, 50)) # Without a breaker these are 5,000 requests over an hour
    assert all(isinstance(error, ModelFailure) and "the endpoint is down (no connection (Connection refused); " in str(error) for error in told)
    assert breaker._count < 150
    with replies({"a": 1}, {"a": 2}) as server:
        up = Endpoint(server.url, breaker=breaker)
        assert all("is down" in str(error) for error in wait_for(outcomes(up, 3))) and not server.requests
        now[0] = 31
        found = wait_for(outcomes(up, 3)) # One is let through, and the others are not made to wait
        assert [error for error in found if isinstance(error, dict)] == [{"a": 1}] and len(server.requests) == 1
        assert ask(up) == {"a": 2}

def test_a_server_that_starts_again_is_waited_for():
    breaker = Breaker()
    for _ in range(100): breaker.failed("refused")
    breaker.check() # A hundred failures at once are the same second of one restart

# --------------------------------------------------------------------------------------------------- answers that are none

@pytest.mark.parametrize("answer, told", [
    ((404, '{"error": {"message": "The model `m` does not exist.", "code": 404}}'), "knows no such model or address; check --model"),
    ((400, '{"error": {"message": "Invalid model", "code": "model_not_found"}}'), "knows no such model"),
    ((400, "model 'm' not found, try pulling it first"), "knows no such model"),
    ((404, "<html><body>Not Found</body></html>"), "ends as the server wants it, often in /v1"),
    ((301, "", {"Location": "https://elsewhere.example/v1"}), "redirects")])
def test_what_the_user_has_to_mend_is_said_at_once(answer, told):
    with replies(answer) as server:
        with pytest.raises(LratError, match=told) as caught: ask(Endpoint(server.url))
    assert "\n" not in str(caught.value) and "<" not in str(caught.value) and len(server.requests) == 1

@pytest.mark.parametrize("text", ["<html><h1>Sign in</h1></html>", "[1, 2]", '"yes"', "", "{" * 100_000, "[" * 100_000, "\x00"])
def test_what_is_no_object_is_tried_again_and_then_a_failure(text):
    with stand_in(lambda request: (200, text)) as server:
        with pytest.raises(ModelFailure, match=r"^the answer is no JSON object \(.*\) \(2 attempts\)$") as caught: ask(Endpoint(server.url, attempts=2, backoff=.001))
    assert len(server.requests) == 2 and "<" not in str(caught.value) and len(str(caught.value)) < 300

@pytest.mark.parametrize("message", [None, "text", {"content": ["a", "b"]}, {"content": None, "tool_calls": ["x"]}, {"content": "", "tool_calls": 7}])
def test_a_completion_of_another_shape_is_a_failure(message):
    body = completion("x")
    body["choices"][0]["message"] = message
    with stand_in(lambda request: body) as server:
        with pytest.raises(ModelFailure, match="the answer is no chat completion"): ChatModel(server.url, "m", attempts=1).reply([])

def test_an_endless_answer_is_cut_off(monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 1 << 20)
    with stand_in(lambda request: {"a": "x"*(2 << 20)}) as server:
        with pytest.raises(ModelFailure, match="the answer is longer than 1 MB"): ask(Endpoint(server.url))
    assert len(server.requests) == 1

def test_half_characters_are_replaced():
    with stand_in(lambda request: (200, '{"a": "caf\\u00e9 \\ud83d\\ude00 \\ud83d", "b": "\\\\ud83d"}')) as server:
        assert ask(Endpoint(server.url)) == {"a": "café 😀 ?", "b": "\\ud83d"}

@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://host/v1", "http://", "http:///v1", "file:///etc/passwd"])
def test_an_address_that_is_none(url):
    with pytest.raises(LratError, match="write it like http://localhost:8000/v1"): ChatModel(url, "m")

def test_no_secret_is_told(monkeypatch):
    with pytest.raises(LratError) as caught: ChatModel("https://me:sk-secret@host/v1", "m")
    assert "sk-secret" not in str(caught.value)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    for status in (401, 403, 429, 400, 200):
        with stand_in(lambda request: (status, "no, sk-secret is wrong")) as server:
            with pytest.raises((LratError, ModelFailure)) as caught: ask(Endpoint(server.url, attempts=1))
        assert "sk-secret" not in str(caught.value) and "***" in str(caught.value)

@pytest.mark.parametrize("key", ["sk-sec\nret", "sk-sécret", "sk-\x00ret"])
def test_a_key_that_is_none(monkeypatch, key):
    monkeypatch.setattr(module.os, "environ", {**module.os.environ, "OPENAI_API_KEY": key})
    with pytest.raises(LratError, match="OPENAI_API_KEY is no key") as caught: Endpoint("http://127.0.0.1:1")
    assert "ret" not in str(caught.value).removeprefix("OPENAI_API_KEY is no key: it holds letters")

# ------------------------------------------------------------------------------------------------------------ who may ask

def test_scripts_threads_and_event_loops_share_one_pool():
    with stand_in(lambda request: completion("Oslo")) as server:
        model, said = ChatModel(server.url, "m"), []
        threads = [threading.Thread(target=lambda: said.append(model.reply([]).content)) for _ in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        async def two(): return [reply.content for reply in await asyncio.gather(model.areply([]), model.areply([]))]
        assert said + asyncio.run(two()) + asyncio.run(two()) + wait_for(two()) == ["Oslo"]*10
    assert threading.active_count() < 20 and background().loop.is_running()

def test_a_caller_that_gives_up_leaves_no_request_behind():
    asked, release = threading.Event(), threading.Event()
    def slow(request):
        asked.set()
        release.wait(10)
        return completion("x")
    async def give_up(model):
        task = asyncio.create_task(model.areply([]))
        await asyncio.to_thread(asked.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError): await task
    with stand_in(slow) as server:
        asyncio.run(give_up(ChatModel(server.url, "m")))
        async def others(): return [task for task in asyncio.all_tasks() if task is not asyncio.current_task() and not task.done()]
        until = time.monotonic() + 10
        while wait_for(others()) and time.monotonic() < until: time.sleep(.01)
        left = wait_for(others())
        release.set()
    assert not left

# ----------------------------------------------------------------------------------------------------------- recordings

def test_a_recording_holds_the_reply_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    file = tmp_path/"sub"/"replies.jsonl"
    with stand_in(lambda request: completion("the key sk-secret is yours")) as server:
        model = ChatModel(f"record:{file}:{server.url}", "m", {"temperature": .5})
        live = model.reply([{"role": "user", "content": "hello"}])
        assert model.reply([{"role": "user", "content": "hello"}]) == live and len(server.requests) == 1
    row, = [row for _, row in read_jsonl(file)]
    assert sorted(row) == ["ends_in", "path", "reply", "request"] and "sk-secret" not in file.read_text() and server.url not in file.read_text()
    replay = ChatModel(f"replay:{file}", "m", {"temperature": .5})
    assert replay.reply([{"role": "user", "content": "hello"}]).content == "the key *** is yours"
    for other in (ChatModel(f"replay:{file}", "m"), ChatModel(f"replay:{file}", "n", {"temperature": .5})):
        with pytest.raises(LratError, match="has no reply to this request .*hello"): other.reply([{"role": "user", "content": "hello"}])

def test_failures_are_not_recorded(tmp_path):
    file = tmp_path/"replies.jsonl"
    with stand_in(lambda request: (200, '{"choices": []}')) as server:
        with pytest.raises(ModelFailure): ChatModel(f"record:{file}:{server.url}", "m", attempts=2, backoff=.001).reply([])
    assert not file.exists()

@pytest.mark.parametrize("text, told", [('{"request": "1"}\n', "replies.jsonl:1: has no field 'reply'"), ("[]\n", "replies.jsonl:1: is a JSON list"), ("{\n", "is not valid JSON")])
def test_a_recording_that_cannot_be_read(tmp_path, text, told):
    (tmp_path/"replies.jsonl").write_text(text)
    with pytest.raises(InputError, match=told): ChatModel(f"replay:{tmp_path}/replies.jsonl", "m")

def test_a_recorded_collection_replays_to_the_same_runs_and_a_changed_one_does_not(tmp_path):
    turns = [completion("I search.", [("search", {"query": "river 1"})]), completion(None, [("get_document", {"docid": "d01"})]), completion("Town 01")]
    def answer(request): return turns[sum(message["role"] == "assistant" for message in request["messages"])]
    def gather(endpoint, name, k=3):
        collect(QUESTIONS[:6], Words(), ChatPolicy(ChatModel(endpoint, "m"), 4), tmp_path/name, Budget(6, k), first_words)
        runs = [read_trajectory(path) for path in sorted((tmp_path/name).glob("run_*.json"))]
        return [replace(run, metadata={key: value for key, value in run.metadata.items() if key != "seconds"}) for run in runs]
    file = tmp_path/"replies.jsonl"
    with stand_in(answer) as server:
        live = gather(f"record:{file}:{server.url}", "live")
        assert gather(f"record:{file}:{server.url}", "again") == live and len(server.requests) == 18
    assert len(live) == 6 and gather(f"replay:{file}", "replayed") == live
    with pytest.raises(LratError, match="replies.jsonl: has no reply to this request"): gather(f"replay:{file}", "changed", k=2)

def test_a_conversation_only_grows_at_its_end():
    turns = [completion("<think>First.</think>I search.", [("search", {"query": "river 1"}), ("search", {"query": "river 2"})]), completion(""),
             completion(None, [("search", "no JSON")], reasoning_content="Second."), completion(None, [("get_document", {"docid": "d01"})]), completion("Town 01")]
    rest = iter(turns)
    with stand_in(lambda request: next(rest)) as server:
        one, = run_agents(QUESTIONS[:1], Words(), ChatPolicy(ChatModel(server.url, "m")), Budget(6, 3), first_words)
    assert one.status == "completed" and len(server.requests) == len(turns)
    for before, after in zip(server.requests, server.requests[1:]):
        old, new = before.pop("messages"), after["messages"]
        assert new[:len(old)] == old and len(new) > len(old) # What a server has read it need not read again
        assert before == {name: value for name, value in after.items() if name != "messages"}
