"Two commands never write one output: the second is told who holds it, and a killed holder leaves nothing that has to be cleaned up."
import os, signal, socket, subprocess, sys

import pytest
import lrat.paper.runner
from lrat.core.files import folder_lock, output_lock
from lrat.core.settings import LratError
from lrat.evaluation.command import eval_command
from lrat.importers.command import import_trajectories
from lrat.judging.command import judge_command
from lrat.mining.mine import mine_command
from lrat.paper.runner import run_command
from lrat.retrieval.index import build_index
from lrat.testing.museum import TRAJECTORY, write_museum
from lrat.trajectories.trajectory import write_trajectory

HOLD = """
import sys, time
from lrat.core.files import folder_lock
with folder_lock(sys.argv[1], "training"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_message_names_the_process_and_a_killed_one_is_taken_over(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            (tmp_path/".model.abc.part").touch()
            with pytest.raises(LratError, match=rf"another training \(process {holder.pid} on {socket.gethostname()}, since 20\d\d-.*\) is writing there; wait for it"):
                with folder_lock(tmp_path, "indexing"): pass
            assert (tmp_path/".model.abc.part").exists() # It may be the other's
        finally: os.kill(holder.pid, signal.SIGKILL)
    with folder_lock(tmp_path, "indexing"): assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    assert list(tmp_path.iterdir()) == []


def test_a_lock_file_that_says_nothing(tmp_path):
    with folder_lock(tmp_path, "mining"):
        (tmp_path/".lock").write_text("")
        with pytest.raises(LratError, match=rf"another mining( \(process {os.getpid()}\))? is writing there"):
            with folder_lock(tmp_path, "mining"): pass


def test_outputs_of_one_folder_do_not_disturb_each_other(tmp_path):
    with output_lock(tmp_path/"a.jsonl", "mining"), output_lock(tmp_path/"b.jsonl", "mining"): pass
    with pytest.raises(ZeroDivisionError), output_lock(tmp_path/"a.jsonl", "mining"): 1 / 0
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def museum(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    corpus, questions = write_museum(tmp_path)
    write_trajectory(tmp_path/"runs", TRAJECTORY)
    monkeypatch.setenv("LRAT_ROOT", str(tmp_path))
    monkeypatch.setattr(lrat.paper.runner, "find_notebooks", lambda names: [tmp_path/"52_table.ipynb"])
    monkeypatch.setattr(lrat.paper.runner, "runnable", lambda notebooks, settings: (notebooks, {}))
    return str(corpus), str(questions)


@pytest.mark.parametrize("work, folder, call", [
    ("indexing", True, lambda corpus, questions, out: build_index(corpus, "bm25", out)),
    ("import", True, lambda corpus, questions, out: import_trajectories("runs", out)),
    ("judging", False, lambda corpus, questions, out: judge_command("runs", out=out)),
    ("mining", False, lambda corpus, questions, out: mine_command(["runs"], corpus, ["v.jsonl"], out)),
    ("evaluation", False, lambda corpus, questions, out: eval_command("runs", questions, out=out)),
    ("run", False, lambda corpus, questions, out: run_command([], "smoke"))])
def test_each_command_holds_what_it_writes(museum, tmp_path, work, folder, call):
    judge_command("runs", out="v.jsonl")
    out = tmp_path/"results"/"smoke" if work == "run" else tmp_path/"out"
    with (folder_lock if folder else output_lock)(out, work), pytest.raises(LratError, match=rf"out|smoke: another {work} \(process {os.getpid()} on "):
        call(*museum, str(out))
    assert not out.exists() or list(out.iterdir()) == []
