"Stages side by side: the same bytes as one after the other, one line for each mistake, and nothing left behind."
import os, signal, subprocess, sys, time

import pytest
from paths import ROOT
from toy_stages import count, graph
import lrat.core.stages
from lrat.core.files import LockHeld
from lrat.core.settings import LratError, load_settings
from lrat.core.stages import run_stage, stage_folder, stage_lock
from lrat.pipeline.needs import Need
from lrat.pipeline.workers import make_stages

STAGES = {"index-a": ({"value": 1}, []), "index-b": ({"value": 2}, []), "model-c": ({"value": 3}, ["index-a", "index-b"])}

OTHER = "filelock/2\npid=7\nhost=other-machine\nmode=lease\ntoken=0123456789abcdef0123456789abcdef\nduration={}\nstart=1\n"


def contents(root): return {path.relative_to(root).as_posix(): path.read_text() for path in sorted(root.rglob("value.json"))}


def test_two_processes_write_what_one_writes_and_a_mistake_stops_them_after_the_others(tmp_path):
    one, two, said = tmp_path/"one", tmp_path/"two", []
    assert make_stages(lambda: graph(one, STAGES), ["all"], say=said.append) == 3
    bad = STAGES | {"index-bad": ({"value": -1}, []), "model-late": ({"value": 4}, ["index-bad"])}
    with pytest.raises(LratError, match="^index:bad: -1 is negative$"): make_stages(lambda: graph(two, bad), ["index:bad", "train:c"], 2, say=said.append)
    make_stages(lambda: graph(two, bad), ["train:c"], 1, say=said.append) # What the mistake had kept from beginning
    assert contents(one) == contents(two) and len(contents(two)) == 3
    assert {path.read_text() for name in ("index-a", "index-b") for path in two.glob(f"{name}-*/.threads")} <= {"1"}
    assert not list(tmp_path.rglob("*.lease"))
    assert any(line.startswith("train:c: made; 3 made") for line in said)


def test_a_stage_that_another_process_makes_is_left_to_it_and_waited_for(tmp_path, monkeypatch):
    said, folder = [], stage_folder("index-a", count, {"value": 1}, root=tmp_path)[0]
    lock = stage_lock(folder)
    lock.__enter__()
    def sleep(seconds): # The other process is done while this one waits
        if folder.with_name(f".{folder.name}.lease").exists():
            lock.__exit__(None, None, None)
            run_stage("index-a", count, {"value": 1}, {}, tmp_path)
    monkeypatch.setattr("lrat.pipeline.workers.time.sleep", sleep)
    assert make_stages(lambda: graph(tmp_path, STAGES), ["all"], say=said.append) == 2
    assert [line for line in said if "looking for another stage" in line] and "nothing else is ready; waiting for index:a" in said
    assert not [line for line in said if line.startswith("index:a: begins")]


def test_the_stage_of_a_lost_machine_is_taken_by_whoever_looks_again(tmp_path, monkeypatch):
    monkeypatch.setattr(lrat.core.stages, "LEASE", .3)
    monkeypatch.setattr("lrat.pipeline.workers.time.sleep", lambda seconds: __import__("threading").Event().wait(.1))
    folder, said = stage_folder("index-a", count, {"value": 1}, root=tmp_path)[0], []
    folder.mkdir(parents=True)
    folder.with_name(f".{folder.name}.lease").write_text(OTHER.format(.3))
    assert make_stages(lambda: graph(tmp_path, STAGES), ["all"], say=said.append) == 3
    assert said.count("index:a: a process on other-machine makes it; looking for another stage") == 1 and said.count("nothing else is ready; waiting for index:a") == 1


def test_code_that_changes_under_a_command_stops_it(tmp_path, monkeypatch):
    "Its workers have another key for the same stage, and would make it again and again"
    monkeypatch.setattr("lrat.pipeline.workers.make_task", lambda given, meter: ("made", ""))
    with pytest.raises(LratError, match="^index:a: the code was changed while this command ran; run it again$"): make_stages(lambda: graph(tmp_path, STAGES), ["index:a"], say=lambda line: None)


def test_memory_decides_how_many_begin(tmp_path, monkeypatch):
    monkeypatch.setattr("lrat.pipeline.workers.free_megabytes", lambda: 1000)
    together, running = [], set()
    class Begun:
        def __init__(self, task): self.task = task
        def result(self):
            run_stage(*self.task.given)
            running.discard(self.task.name)
            return "made", ""
    class Pool:
        def __init__(self, processes): pass
        def submit(self, task):
            running.add(task.name)
            together.append(len(running))
            return Begun(task)
        def finished(self, futures): return [next(iter(futures))]
        def stop(self): pass
    monkeypatch.setattr("lrat.pipeline.workers._Pool", Pool)
    for megabytes, most in ((400, 2), (600, 1), (5000, 1)):
        together.clear()
        make_stages(lambda: graph(tmp_path/str(megabytes), STAGES), ["all"], 3, lambda task: Need(None, megabytes), say=lambda line: None)
        assert max(together) == most


def test_the_lease_of_another_machine_is_respected_until_it_gives_no_sign_of_life(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lrat.core.stages, "LEASE", .5)
    folder = stage_folder("index-a", count, {"value": 1}, root=tmp_path)[0]
    folder.mkdir(parents=True)
    lease = folder.with_name(f".{folder.name}.lease")
    lease.write_text(OTHER.format(.5))
    with pytest.raises(LockHeld, match="a process on other-machine"): run_stage("index-a", count, {"value": 1}, {}, tmp_path, wait=False)
    assert lease.read_text() == OTHER.format(.5)
    start = time.monotonic()
    assert (run_stage("index-a", count, {"value": 1}, {}, tmp_path)/"value.json").is_file() and time.monotonic() - start >= .5
    assert "a process on other-machine makes it, or was cut off" in capsys.readouterr().err and not lease.exists()


SCRIPT = """
import sys
from pathlib import Path
from toy_stages import graph
from lrat.core.cli import main
from lrat.pipeline.workers import make_stages
root = Path(sys.argv[1])
stages = {f"index-{n}": ({"value": n, "seconds": 60.}, []) for n in range(3)}
if __name__ == "__main__": make_stages(lambda: graph(root, stages), ["all"], 2)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupt_ends_all_processes(kill, tmp_path):
    (tmp_path/"script.py").write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT/'tests'}"}
    with subprocess.Popen([sys.executable, tmp_path/"script.py", tmp_path/"s"], env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        while len(list(tmp_path.glob("s/*/begun"))) < 2: time.sleep(.1)
        process.send_signal(kill)
        process.wait(20)
    def left(): return [pid for pid in os.listdir("/proc") if pid.isdigit() and str(tmp_path).encode() in _command(pid)]
    for _ in range(100):
        if not left() and (kill == signal.SIGKILL or not list(tmp_path.rglob("*.lease"))): break
        time.sleep(.1)
    assert not left() and (kill == signal.SIGKILL or not list(tmp_path.rglob("*.lease")))


def _command(pid):
    try: return open(f"/proc/{pid}/cmdline", "rb").read()
    except OSError: return b""


def test_profiles_know_how_many(monkeypatch):
    from lrat.paper.stage_commands import processes_for
    monkeypatch.setattr("lrat.paper.stage_commands.os.sched_getaffinity", lambda pid: {0, 1}, raising=False)
    assert [processes_for(load_settings(profile)) for profile in ("smoke", "mini", "paper")] == [0, 2, 1]
