"The runner refuses what papermill lets pass, and repeats only what changed."
import json, signal, subprocess, sys
from pathlib import Path

import nbformat, pytest

from lrat.paper.runner import find_notebooks, notebook_parameters, run_notebook
from lrat.core.settings import LratError, load_settings



def notebook(path, *cells):
    book = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "python3", "language": "python"}})
    for source, tag in cells: book.cells.append(nbformat.v4.new_code_cell(source, metadata={"tags": [tag]} if tag else {}))
    nbformat.write(book, path)
    return path


def test_all_experiments_take_a_profile_a_seed_and_changed_settings():
    for path in find_notebooks([]): assert notebook_parameters(path) == ["profile", "seed", "changes"], path


def test_unknown_parameter_is_refused_before_anything_runs(tmp_path):
    path = notebook(tmp_path/"a.ipynb", ("profile = 'smoke'", "parameters"), ("open('ran', 'w')", None))
    with pytest.raises(LratError, match="no parameter 'sede'"): run_notebook(path, "smoke", {"sede": 1}, tmp_path/"r")
    assert not (tmp_path/"r").exists()


def test_two_parameters_cells_are_refused(tmp_path):
    path = notebook(tmp_path/"a.ipynb", ("profile = 'smoke'", "parameters"), ("seed = 1", "parameters"))
    with pytest.raises(LratError, match="has 2 cells tagged"): notebook_parameters(path)


def test_a_failure_names_the_cell_and_a_changed_result_is_made_again(tmp_path):
    write = f"from pathlib import Path; Path({str(tmp_path/'r'/'table9.json')!r}).write_text('[1]')"
    good = notebook(tmp_path/"a.ipynb", ("profile = 'smoke'", "parameters"), (write, None))
    assert [run_notebook(good, "smoke", results=tmp_path/"r")["status"] for _ in range(2)] == ["ran", "up to date"]
    (tmp_path/"r"/"table9.json").write_text("[2]")
    assert run_notebook(good, "smoke", results=tmp_path/"r")["status"] == "ran"
    bad = notebook(tmp_path/"b.ipynb", ("profile = 'smoke'", "parameters"), ("x = []", None), ("x[0]", None))
    failed = run_notebook(bad, "smoke", results=tmp_path/"r")
    assert failed["status"] == "failed" and failed["error"].startswith("IndexError") and Path(failed["copy"]).is_file()


def test_unknown_profile():
    with pytest.raises(LratError, match="unknown profile 'large'"): load_settings("large")


SLOW_STAGE = """
import sys, time
from pathlib import Path
from lrat.core.files import write_json
from lrat.core.stages import run_stage
def slow(out):
    for n in range(6):
        if (out/f"{n}.json").exists(): continue
        with open(out/"log", "a") as log: log.write(f"{n}\\n")
        write_json(out/f"{n}.json", n)
        print(n, flush=True)
        time.sleep(float(sys.argv[2]))
run_stage("slow", slow, root=Path(sys.argv[1]))
"""


def test_a_killed_stage_goes_on_without_repeating(tmp_path):
    script = tmp_path/"slow.py"
    script.write_text(SLOW_STAGE)
    process = subprocess.Popen([sys.executable, script, tmp_path/"s", "30"], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().strip() == "0"
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run([sys.executable, script, tmp_path/"s", "0"], check=True, capture_output=True)
    folder, = (p for p in (tmp_path/"s").iterdir() if p.is_dir())
    assert (folder/"log").read_text().split() == list("012345")
    assert json.loads((folder/"stage.json").read_text())["name"] == "slow"
