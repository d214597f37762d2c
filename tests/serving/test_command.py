"`lrat serve` says what it takes, and refuses what it cannot serve before anything listens."
import os, signal, subprocess, sys
from pathlib import Path

import httpx
import pytest

from lrat.retrieval.index import build_index
from lrat.serving.command import PROTOCOLS, serve_command
from lrat.core.settings import LratError
from lrat.testing.museum import write_museum
from lrat.trajectories.trajectory import read_trajectory

LRAT = Path(sys.executable).parent/"lrat"


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("museum")
    build_index(write_museum(folder)[0], "bm25", folder/"index")
    return folder/"index"


def test_help_and_errors_name_the_protocols_of_the_registry(index):
    shown = " ".join(subprocess.run([LRAT, "serve", "--help"], capture_output=True, text=True).stdout.split())
    for name, protocol in PROTOCOLS.items(): assert f"{name} ({protocol.description})" in shown
    with pytest.raises(LratError, match=f"unknown protocol 'smoke'; choose one of: {', '.join(PROTOCOLS)}"): serve_command(str(index), "smoke")


@pytest.mark.parametrize("options,says", [
    ({"k": 0}, "--k is 0; it must be at least 1"), ({"k": 101}, "--k is 101, more than --max_k 100 allows"), ({"max_bytes": 0}, "the limit max_bytes is 0"),
    ({"host": "0.0.0.0"}, "clients need a token"), ({"snippet_tokens": 0}, "--snippet_tokens is 0")], ids=str)
def test_mistakes_are_one_line(index, options, says, monkeypatch):
    monkeypatch.delenv("LRAT_SERVE_TOKEN", raising=False)
    with pytest.raises(LratError) as caught: serve_command(str(index), **options)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_limits_of_the_command_line_are_the_servers(index, tmp_path):
    words = [LRAT, "serve", index, "--port", "0", "--record", tmp_path/"runs", "--k", "2", "--max_k", "3", "--max_queries", "1", "--max_bytes", "200"]
    server = subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    address = server.stdout.readline().partition(": ")[0]
    try:
        assert address.endswith("/retrieve")
        found = httpx.post(address, json={"queries": ["lens lamp telescope"], "session": "q1"})
        assert len(found.json()["result"][0]) == 2
        for body, says in (({"queries": ["lens"], "topk": 4}, "between 1 and 3"), ({"queries": ["lens", "lamp"]}, "at most 1"), ({"queries": ["x" * 300]}, "at most 200")):
            assert says in httpx.post(address, json=body).json()["error"]
    finally: server.send_signal(signal.SIGTERM)
    assert "recorded 1 sessions (1 server stopped), 1 without a question" in server.communicate(timeout=60)[1] and server.returncode == 0
    metadata = read_trajectory(tmp_path/"runs"/"run_q1.json").metadata
    assert (metadata["protocol"], metadata["k"], metadata["searcher_type"]) == ("http", 2, "bm25")
