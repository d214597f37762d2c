"The server gives its folders to readers on this machine, or to those with the token, and nothing else."
import asyncio, json, os, signal, subprocess, sys
from pathlib import Path

import httpx
import pytest
from lrat.testing.museum import TRAJECTORY
from lrat.trajectories.trajectory import Trajectory, write_trajectory
from lrat.viewer.folder import TrajectoryFolder
from lrat.viewer.server import ViewerService, viewer_application

LRAT = Path(sys.executable).parent/"lrat"


@pytest.fixture
def service(tmp_path):
    write_trajectory(tmp_path/"runs", TRAJECTORY)
    (tmp_path/"secret.json").write_text(json.dumps({"query_id": "s", "result": []}))
    found = ViewerService([TrajectoryFolder(tmp_path/"runs")])
    yield found
    found.close()


async def ask(service, path, token="", method="GET", **headers):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(viewer_application(service, token)), base_url="http://localhost") as client:
        return await client.request(method, path, headers=headers)


def run(coroutine): return asyncio.run(coroutine)


@pytest.mark.parametrize("path,status", [
    ("/trajectory?name=../secret", 404), ("/trajectory?name=/etc/passwd", 404), ("/trajectory", 404), ("/trajectory?name=run_q1&folder=1", 422), ("/rows?folder=x", 422),
    ("/rows?after=-1", 422), ("/rows?after=99999999999999999999", 422), ("/rows?after=%D9%A1", 200), ("/rows?after=5", 200), ("/../secret.json", 404), ("/static/viewer.js", 404)])
def test_only_what_the_folder_holds_is_given(service, path, status): assert run(ask(service, path)).status_code == status


def test_requests_from_other_pages_and_without_the_token_are_refused(service):
    assert run(ask(service, "/rows", host="attacker.example")).status_code == 421
    assert run(ask(service, "/trajectory?name=run_q1", host="attacker.example:80")).status_code == 421
    token = "a token of some length"
    assert run(ask(service, "/rows", token)).status_code == run(ask(service, "/trajectory?name=run_q1", token, authorization="Bearer wrong")).status_code == 401
    assert run(ask(service, "/rows", token, authorization=f"Bearer {token}", host="viewer.example")).status_code == 200
    assert run(ask(service, "/rows", method="POST")).status_code == 405


def test_answers_say_that_they_are_not_for_others(service):
    for path in ("/", "/rows", "/trajectory?name=run_q1"):
        headers = run(ask(service, path)).headers
        assert (headers["x-content-type-options"], headers["cross-origin-resource-policy"], headers["cache-control"]) == ("nosniff", "same-origin", "no-store")
        assert "access-control-allow-origin" not in headers
    assert "frame-ancestors 'none'" in run(ask(service, "/")).headers["content-security-policy"]


def test_a_file_that_breaks_while_it_is_looked_at_is_said(service):
    service.listings[0]._thread.join()
    path = service.folders[0].path("run_q1")
    path.write_text("{")
    broken = run(ask(service, "/trajectory?name=run_q1"))
    path.unlink()
    gone = run(ask(service, "/trajectory?name=run_q1"))
    assert (broken.status_code, gone.status_code) == (404, 404) and "is not valid JSON" in broken.json()["error"] and "no such file" in gone.json()["error"]


def test_the_list_comes_in_parts_while_it_is_read(tmp_path):
    for n in range(120): write_trajectory(tmp_path/"runs", Trajectory(f"{n:03}", "?", "completed", TRAJECTORY.steps))
    service, rows, done = ViewerService([TrajectoryFolder(tmp_path/"runs")]), [], False
    while not done:
        part = run(ask(service, f"/rows?after={len(rows)}")).json()
        rows, done = rows + part["rows"], part["done"]
        assert part["total"] == 120
    assert [row["id"] for row in rows] == [f"{n:03}" for n in range(120)]
    service.close()


def test_the_program_serves_on_this_machine_alone_and_stops_when_told(tmp_path):
    write_trajectory(tmp_path/"runs", TRAJECTORY)
    server = subprocess.Popen([LRAT, "view", tmp_path/"runs", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env={name: value for name, value in os.environ.items() if name != "LRAT_SERVE_TOKEN"})
    line = server.stdout.readline()
    try:
        address = line.partition(": ")[0]
        assert address.startswith("http://127.0.0.1:") and "1 trajectories" in line
        assert httpx.get(f"{address}rows").json()["rows"][0]["id"] == "q1" and httpx.get(f"{address}health").json() == {"status": "ok", "trajectories": 1}
        taken = subprocess.run([LRAT, "view", tmp_path/"runs", "--port", address.rstrip("/").rpartition(":")[2]], capture_output=True, text=True)
        assert taken.returncode == 2 and "cannot listen there" in taken.stderr and taken.stderr.count("\n") == 1
    finally: server.send_signal(signal.SIGTERM)
    assert server.communicate(timeout=60)[1] == "" and server.returncode == 0
