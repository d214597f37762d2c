"One engine or another, the results are the same; a mistake in a worker is one line, and no worker outlives its parent."
import importlib.util, os, signal, subprocess, sys, time

import pytest
from lrat.core.parallel import ENGINES, map_shards
from lrat.core.settings import InputError, LratError
from paths import TESTS


def halve(shared, part):
    if part < 0: raise LratError(f"{part} is below 0")
    return shared["by"] * part


def prepare(shared, worker): return shared | {"worker": worker, "made": os.urandom(8).hex()}


def describe(shared, part): return f"{shared['worker']} {shared['made']} {os.getpid()}"


def refuse(shared, worker): raise LratError("this model is not there")


def wait(folder, part):
    (folder/str(os.getpid())).touch()
    time.sleep(60)


def alive(pid):
    try: os.kill(pid, 0)
    except ProcessLookupError: return False
    return open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("engine", [pytest.param(name, marks=[pytest.mark.slow] if name == "ray" else []) for name in ENGINES])
def test_every_engine_returns_the_same_and_prepares_once(engine, monkeypatch):
    if engine == "ray" and not importlib.util.find_spec("ray"): pytest.skip("ray is not installed (the extra [ray])")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS/"core"), str(TESTS), os.environ.get("PYTHONPATH", "")]))
    assert sorted(map_shards(halve, {"by": .5}, [1, 2, 3, 4], 2, engine)) == [.5, 1, 1.5, 2]
    with pytest.raises(InputError, match="-1 is below 0"): list(map_shards(halve, {"by": .5}, [1, -1], 2, engine))
    with pytest.raises(InputError, match="this model is not there"): list(map_shards(halve, {}, [1, 2], 2, engine, refuse))
    told = [line.split() for line in map_shards(describe, {}, list(range(12)), 2, engine, prepare, gpu=True)]
    assert len(told) == 12 and len({made for _, made, _ in told}) == len({pid for *_, pid in told}) <= 2
    assert {worker for worker, *_ in told} <= ({"None"} if engine == "ray" else {"0", "1"})


def test_workers_end_with_a_killed_parent(tmp_path):
    code = f"import sys; sys.path[:0] = [{str(TESTS)!r}, {str(TESTS/'core')!r}]\nfrom pathlib import Path\nfrom test_parallel import *\nlist(map_shards(wait, Path({str(tmp_path)!r}), [1, 2], 2))"
    parent = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(pids := [int(p.name) for p in tmp_path.iterdir()]) < 2:
        assert parent.poll() is None and time.monotonic() < deadline
        time.sleep(.05)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    while any(map(alive, pids)):
        assert time.monotonic() < deadline, "a worker is still there"
        time.sleep(.05)
