"Agents that we do not drive reach a retriever over real sockets and pipes; nothing that they send breaks it, and what they do is kept."
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from lrat.serving.application import make_server, run_server
from lrat.serving.http import http_application
from lrat.serving.limits import RequestRefused
from lrat.serving.mcp import mcp_application
from lrat.mining.pairs import mine_trajectory
from lrat.mining.rules import mining_rules
from lrat.serving.recording import SessionKey, SessionRecorder
from lrat.trajectories.trajectory import iterate_trajectories, read_trajectory
from lrat.core.settings import LratError
from served_names import names_service
from paths import TESTS

TOKEN = "only-for-this-test"


class Running:
    "A server in a thread, with its address and the folder of its trajectories"
    def __init__(self, application, folder, token="", **limits):
        self.runs, self.service = folder, names_service(folder, **limits)
        self.server, listening = make_server(application(self.service, {"index": "names"}, token), self.service, port=0)
        self.port = listening.getsockname()[1]
        self.thread = threading.Thread(target=lambda: asyncio.run(run_server(self.server, listening, self.service)))
        self.thread.start()
        while not self.server.started: time.sleep(.005)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}")

    def post(self, path="/retrieve", **request): return self.client.post(path, **request)

    def stop(self):
        self.client.close()
        self.server.should_exit = True
        self.thread.join()

    def run_of(self, session):
        return read_trajectory(Path(self.runs)/f"run_{session}.json")


def eventually(holds, seconds=10):
    "Whether something comes to hold within a time that is long enough"
    deadline = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < deadline: time.sleep(.01)
    return held


def running(application, tmp_path_factory, **options):
    started = Running(application, tmp_path_factory.mktemp("runs"), **options)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def http(tmp_path_factory): yield from running(http_application, tmp_path_factory, max_bytes=5000, max_queries=8)
@pytest.fixture(scope="module")
def mcp(tmp_path_factory): yield from running(mcp_application, tmp_path_factory, max_bytes=5000)
@pytest.fixture(scope="module")
def closed(tmp_path_factory): yield from running(mcp_application, tmp_path_factory, token=TOKEN, per_second=.001, burst=6)


# Search-R1's interface

def test_search_r1_with_and_without_scores(http):
    oslo = {"id": "oslo", "contents": "Oslo\nCapital of Norway."}
    assert http.post(json={"queries": ["oslo", "rome"], "topk": 2, "return_scores": True}).json() == {"result": [[{"document": oslo, "score": 1.}], []]}
    assert http.post(json={"queries": ["oslo"], "topk": 2}).json() == {"result": [[oslo]]}
    assert http.post(json={"queries": []}).json() == {"result": []}
    for usual in ({}, {"topk": None}, {"topk": 0}):
        assert len(http.post(json={"queries": ["oslo bergen uppsala turku"], **usual}).json()["result"][0]) == 3


@pytest.mark.parametrize("body,status,says", [
    (b"", 400, "not valid JSON"), (bytes(range(256)), 400, "not valid JSON"), (b"null", 400, "JSON NoneType"), (b"[" * 4000, 400, "not valid JSON"),
    (b'{"queries": "oslo"}', 422, "not a list"), (b'{"queries": {"0": "oslo"}}', 422, "not a list"),
    (b'{"queries": ["oslo"], "topk": "three"}', 422, "topk is str"), (b'{"queries": ["oslo"], "topk": true}', 422, "topk is bool"),
    (b'{"queries": ["oslo"], "topk": 101}', 422, "between 1 and 100"), (b'{"queries": ["oslo"], "return_scores": 1}', 422, "return_scores is int"),
    (json.dumps({"queries": ["oslo"] * 9}).encode(), 422, "at most 8"),
    (b'{"queries": ["oslo"], "session": ["a", "b"]}', 422, "2 items for 1 queries"), (b'{"queries": ["oslo"], "reasoning": 7}', 422, "reasoning is int"),
    (json.dumps({"queries": ["oslo"], "session": "s" * 101}).encode(), 422, "more than 100"), (b'{"queries": ["' + b"x" * 6000 + b'"]}', 413, "at most 5000"),
], ids=lambda value: str(value)[:24])
def test_what_must_not_go_through(http, body, status, says):
    answer = http.post(content=body)
    assert answer.status_code == status and says in answer.json()["error"]


def test_a_query_that_cannot_be_searched_costs_the_others_nothing_and_is_recorded(http):
    "As Search-R1's own server: an empty list for that query"
    said = {"[]": "is list", '" "': "is empty", '"\\ud800"': "not valid text", "null": "is NoneType", '{"a": 1}': "is dict", "true": "is bool", f'"{"x" * 11_000}"': "at most 10000"}
    for n, (query, why) in enumerate(said.items()):
        if len(query) > 5000: continue # The request itself is too large here
        answer = http.post(content=f'{{"queries": ["oslo", {query}, "bergen"], "session": "refused{n}"}}'.encode())
        assert answer.status_code == 200 and [len(hits) for hits in answer.json()["result"]] == [1, 0, 1]
        refused, = answer.json()["refused"]
        assert refused["query"] == 1 and why in refused["error"]
        http.post("/finish", json={"session": f"refused{n}"})
        run = read_trajectory(http.runs/f"run_refused{n}.json")
        assert (run.tool_call_counts, run.tool_call_counts_all) == ({"search": 2}, {"search": 3})


def test_numbers_lists_and_prefixes_are_read_as_by_our_own_loop(http):
    oslo = {"id": "oslo", "contents": "Oslo\nCapital of Norway."}
    assert http.post(json={"queries": [["oslo", "bergen"], 7], "topk": "1"}).json()["result"] == [[oslo], []]
    for docid in (" oslo ", "DocID: oslo", "collection:oslo", ["oslo"]): assert http.post("/document", json={"docid": docid}).json()["document"] == oslo


def test_an_endless_request_ends_at_the_limit(http):
    def endless():
        for _ in range(10): yield b"x" * 1000
    assert http.post(content=endless()).status_code == 413
    assert http.post(json={"queries": ["oslo"]}).status_code == 200


def test_a_fault_of_the_retriever_is_its_own_requests_alone(http):
    answers = [None, None]
    def ask(n, query): answers[n] = httpx.post(f"http://127.0.0.1:{http.port}/retrieve", json={"queries": [query]})
    threads = [threading.Thread(target=ask, args=pair) for pair in enumerate(("fault", "oslo"))]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert [answer.status_code for answer in answers] == [500, 200]
    assert "retriever" not in answers[0].text # The cause is for the server's owner


def test_other_paths_and_methods(http):
    assert http.client.get("/retrieve").status_code == 405 and http.post("/none", json={}).status_code == 404
    assert http.post("/document", json={"docid": "rome"}).status_code == 404
    assert http.post("/document", json={}).json()["error"] == "docid is NoneType, but must be a string"
    assert http.post("/finish", json={"session": "nobody"}).status_code == 404
    assert 'route="other",status="404"' in http.client.get("/metrics").text


@pytest.mark.parametrize("host", ["elsewhere.example", "127.0.0.1.elsewhere.example", ""])
def test_a_page_in_a_browser_cannot_reach_the_loopback_server(http, host):
    assert http.post(json={"queries": ["oslo"]}, headers={"host": host}).status_code == 421


def raw(port, *parts):
    "Send bytes as they are, then go away without reading"
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for part in parts: connection.sendall(part)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0") # Closing sends a reset


@pytest.mark.parametrize("parts", [
    (b"",), (bytes(range(256)),), (b"POST /retrieve HTTP/1.1\r\n",), (b"GET / HTTP/1.1\r\nx: " + b"y" * 100_000,),
    (b"POST /retrieve HTTP/1.1\r\nhost: localhost\r\ncontent-length: 500\r\n\r\n", b'{"queries"'),
], ids=["nothing", "binary", "half a request line", "endless header", "half a body"])
def test_clients_that_go_away_in_the_middle(http, parts):
    raw(http.port, *parts)
    assert http.post(json={"queries": ["oslo"]}).status_code == 200


def test_a_client_that_does_not_wait_for_its_answer_is_recorded(http):
    before, body = http.service.recorder.written["disconnected"], b'{"queries": ["turku"], "question": "Where?"}'
    http.service.retriever.seconds = .1
    raw(http.port, b"POST /retrieve HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    assert eventually(lambda: http.service.recorder.written["disconnected"] > before)
    http.service.retriever.seconds = 0
    run = next(run for run in iterate_trajectories(http.runs) if run.query == "Where?")
    assert (run.status, run.searches()[0].docids) == ("disconnected", ("turku",))


# Who may ask, and how often

def test_a_token_is_required(closed):
    def status(**headers): return closed.client.get("/metrics", headers=headers).status_code
    assert closed.client.get("/health").status_code == 200
    assert [status(), status(authorization="Bearer wrong"), status(authorization=TOKEN), status(authorization=f"Bearer {TOKEN}")] == [401, 401, 401, 200]
    answer = closed.client.post("/mcp", json={})
    assert answer.status_code == 401 and TOKEN not in answer.text


def test_too_many_requests_must_wait(closed):
    statuses = [closed.client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"}) for _ in range(7)]
    assert statuses[-1].status_code == 429 and int(statuses[-1].headers["retry-after"]) > 0


# MCP

def ask(mcp_server, calls, mode="auto", headers=None):
    "The results of calls that the official client makes, and the tools that it saw"
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client
    async def talk():
        async with httpx2.AsyncClient(headers=headers) as http_client:
            address = f"http://127.0.0.1:{mcp_server.port}/mcp"
            async with Client(streamable_http_client(address, http_client=http_client) if headers else address, mode=mode) as client:
                tools = await client.list_tools()
                return [await client.call_tool(name, arguments, meta=meta or None) for name, arguments, meta in calls], tools.tools
    return asyncio.run(talk())


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_official_client_searches_and_reads(mcp, mode):
    name = f"asked-{mode}"
    calls = [("search", {"query": "oslo bergen", "reasoning": "Both may fit."}, {"lrat/question": "Where does it rain?", "lrat/session": name}),
             ("get_document", {"docid": "bergen"}, {"lrat/session": name, "lrat/reasoning": "It sounds wet."}),
             ("get_document", {"docid": "rome"}, {"lrat/session": name}), ("search", {"query": "oslo", "k": 500}, {"lrat/session": name})]
    (found, opened, missing, many), tools = ask(mcp, calls, mode)
    assert {tool.name for tool in tools} == {"search", "get_document"}
    assert "DocID:bergen\n[Bergen]\nBergen\nA rainy" in found.content[0].text and opened.content[0].text == "Document bergen:\nBergen\nA rainy city."
    assert missing.is_error and "no document 'rome'" in missing.content[0].text
    assert many.is_error and "between 1 and 100" in many.content[0].text
    assert mcp.post("/finish", json={"session": name, "answer": "Bergen", "reasoning": "It is rainy there."}).json()["status"] == "completed"
    run = mcp.run_of(name)
    assert (run.query, run.tool_call_counts, run.tool_call_counts_all) == \
           ("Where does it rain?", {"get_document": 1, "search": 1}, {"get_document": 2, "search": 2})
    assert [step.output for step in run.steps if step.type == "reasoning"] == ["Both may fit.", "It sounds wet.", "It is rainy there."]
    assert [step.output for step in run.steps if step.tool_name] == [result.content[0].text for result in (found, opened, missing, many)]


def test_recorded_trajectories_are_mined(mcp):
    calls = [("search", {"query": "oslo bergen"}, {"lrat/session": "mined"}), ("get_document", {"docid": "oslo"}, {"lrat/session": "mined"}),
             ("search", {"query": "turku", "reasoning": "Oslo is a capital; that helps."}, {"lrat/session": "mined"})]
    ask(mcp, calls)
    assert mcp.post("/finish", json={"session": "mined"}).json()["status"] == "ended"
    pair, = mine_trajectory(mcp.run_of("mined"), lambda run, browse: "yes", mining_rules("recommended"))
    assert (pair.query, pair.positive, pair.negatives, pair.reasoning) == ("oslo bergen", "oslo", ("bergen",), "Oslo is a capital; that helps.")


@pytest.mark.parametrize("tool,arguments", [
    ("search", {}), ("search", {"query": {"a": 1}}), ("search", {"query": None}), ("search", {"query": "oslo", "k": "many"}), ("search", {"query": "oslo", "k": 0.5}),
    ("search", {"query": ""}), ("none", {}), ("get_document", {"docid": {"id": 1}}), ("get_document", {"docid": "rome"}), ("search", {"query": "fault"}),
], ids=str)
def test_wrong_arguments_are_reported_to_the_agent_and_recorded(mcp, tool, arguments):
    name = f"wrong {tool} {sorted(map(str, arguments.items()))}"[:80].replace("/", "-")
    (result,), _ = ask(mcp, [(tool, arguments, {"lrat/session": name})])
    assert result.is_error and result.content[0].text and "a fault of the retriever" not in result.content[0].text
    mcp.post("/finish", json={"session": name})
    run = next(run for run in iterate_trajectories(mcp.runs) if run.query_id == name)
    assert (sum(run.tool_call_counts.values()), run.tool_call_counts_all, run.steps[0].output) == (0, {tool: 1}, result.content[0].text)


@pytest.mark.parametrize("tool,arguments", [
    ("search", {"query": ["oslo", "rome"]}), ("search", {"user_query": " oslo "}), ("functions.search", {"query": "oslo", "k": "1"}), ("search", {"query": "oslo", "k": None}),
    ("local_knowledge_base_retrieval", {"user_query": "oslo", "k": 1.0}), ("get_document", {"docid": "DocID: oslo"}), ("get_document", {"docids": ["oslo"]}),
    ("visit", {"docid": "collection:oslo"})], ids=str)
def test_calls_are_read_as_tolerantly_as_by_our_own_loop(mcp, tool, arguments):
    (result,), _ = ask(mcp, [(tool, arguments, None)])
    assert not result.is_error and "Capital of Norway" in result.content[0].text


@pytest.mark.parametrize("body,status", [(b"", 400), (bytes(range(256)), 400), (b"[]", 400), (b"x" * 6000, 413)], ids=["empty", "binary", "a list", "big"])
def test_mcp_refuses_malformed_requests(mcp, body, status):
    headers = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
    assert mcp.post("/mcp", content=body, headers=headers).status_code == status


def test_a_session_of_the_protocol_ends_with_it(mcp):
    before = mcp.service.recorder.written["ended"]
    ask(mcp, [("search", {"query": "oslo"}, None)], "legacy")
    assert eventually(lambda: mcp.service.recorder.written["ended"] == before + 1) and mcp.service.recorder.without_question >= 1


def test_a_connection_without_a_name_ends_as_disconnected(mcp):
    before = mcp.service.recorder.written["disconnected"]
    ask(mcp, [("search", {"query": "oslo"}, None), ("get_document", {"docid": "oslo"}, None)], "auto")
    assert eventually(lambda: mcp.service.recorder.written["disconnected"] == before + 1)
    run = next(run for run in iterate_trajectories(mcp.runs) if run.status == "disconnected" and run.browses() and run.browses()[0].search)
    assert run.query is None and run.browses()[0].search.docids == ("oslo",)


def test_headers_name_the_session_where_calls_do_not(mcp):
    ask(mcp, [("search", {"query": "turku"}, None)], headers={"lrat-session": "named", "lrat-question": "Was ist in %C3%85bo?"})
    mcp.post("/finish", json={"session": "named", "answer": "A cathedral"})
    assert mcp.run_of("named").query == "Was ist in Åbo?"


# Programs

def program(*words, **options):
    script = TESTS/"served_names.py"
    return subprocess.Popen([sys.executable, script, *map(str, words)], stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, **options)


def test_over_stdio(tmp_path):
    from mcp import Client, StdioServerParameters
    async def talk():
        script = str(TESTS/"served_names.py")
        server = StdioServerParameters(command=sys.executable, args=[script, "stdio", str(tmp_path)], env=dict(os.environ))
        async with Client(server) as client:
            found = await client.call_tool("search", {"query": "oslo", "question": "What is the capital?"})
            return found.content[0].text, (await client.call_tool("get_document", {"docid": "oslo"})).content[0].text
    found, opened = asyncio.run(talk())
    assert "DocID:oslo" in found and opened == "Document oslo:\nOslo\nCapital of Norway."
    run, = iterate_trajectories(tmp_path)
    assert (run.query, run.status, run.tool_call_counts) == ("What is the capital?", "ended", {"get_document": 1, "search": 1})


def test_a_stopped_server_finishes_requests_in_flight(tmp_path):
    server = program("http", tmp_path, .5)
    port, answers = int(server.stdout.readline()), []
    assert httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    def ask(): answers.append(httpx.post(f"http://127.0.0.1:{port}/retrieve", json={"queries": ["oslo"], "session": "s"}))
    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(.25)
    server.send_signal(signal.SIGTERM)
    asking.join()
    assert server.wait(10) == 0 and answers[0].status_code == 200
    assert read_trajectory(tmp_path/"run_s.json").status == "server stopped"


def test_a_killed_server_loses_no_call_that_was_answered(tmp_path):
    server = program("http", tmp_path)
    port = int(server.stdout.readline())
    for query in ("oslo", "bergen"): httpx.post(f"http://127.0.0.1:{port}/retrieve", json={"queries": [query], "session": "s"})
    server.kill()
    server.wait()
    assert not list(tmp_path.glob("run_*"))
    recorder = SessionRecorder(tmp_path, {})
    recorder.close()
    assert [search.query for search in read_trajectory(tmp_path/"run_s.json").searches()] == ["oslo", "bergen"]
    assert recorder.written == {"server killed": 1} and not [p for p in tmp_path.iterdir() if p.suffix in (".jsonl", ".part")]


# The record

def test_many_sessions_of_one_name_and_any_name(tmp_path):
    recorder = SessionRecorder(tmp_path, {})
    for name in ("q", "q", "../q", "q\0", "a b/c"):
        recorder.call(SessionKey("named", name), "search", {"query": "\u2028"}, "none")
        recorder.end(SessionKey("named", name), "ended")
    recorder.close()
    assert sorted(run.query_id for run in iterate_trajectories(tmp_path)) == sorted(["q", "q.2", "../q", "q\0", "a b/c"])


def test_a_full_disk_is_reported(tmp_path, monkeypatch):
    recorder = SessionRecorder(tmp_path, {})
    def full(*args, **kwargs): raise OSError(28, "No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", full)
        with pytest.raises(LratError, match="could not be recorded .No space left"): recorder.call(SessionKey("named", "q"), "search", {}, "")
    recorder.close()


def test_too_many_waiting_searches_are_refused():
    async def crowd():
        service = names_service(seconds=.05, max_waiting=4)
        found = await asyncio.gather(*(service.search("oslo", 1) for _ in range(12)), return_exceptions=True)
        service.close()
        return found
    found = asyncio.run(crowd())
    refused = [result for result in found if isinstance(result, RequestRefused)]
    assert refused and refused[0].status == 503 and len(refused) < len(found)
