"The runner refuses what papermill lets pass, and repeats only what changed."
import json, signal, subprocess, sys
from pathlib import Path

import nbformat, pytest

from lrat.paper.results import record, result_row
from lrat.paper.runner import _said, changed_settings, find_notebooks, notebook_parameters, run_command, run_notebook
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


def test_a_killed_stage_resumes_without_repeating(tmp_path):
    script = tmp_path/"slow.py"
    script.write_text(SLOW_STAGE)
    process = subprocess.Popen([sys.executable, script, tmp_path/"s", "30"], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().strip() == "0"
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run([sys.executable, script, tmp_path/"s", "0"], check=True, capture_output=True, timeout=50) # The dead process's lease is not waited out
    folder, = (p for p in (tmp_path/"s").iterdir() if p.is_dir())
    assert (folder/"log").read_text().split() == list("012345")
    assert json.loads((folder/"stage.json").read_text())["name"] == "slow"


# ------------------------------------------------------------------------------------------------------------ settings and expected values

@pytest.fixture
def ran(monkeypatch):
    "Parameters of the notebooks that would have run"
    found = []
    def run(path, profile, parameters=None, results=None, force=False):
        found.append((path.stem, parameters))
        return {"notebook": path.stem, "status": "ran", "seconds": 1, "copy": ""}
    monkeypatch.setattr("lrat.paper.runner.run_notebook", run)
    monkeypatch.setattr("lrat.paper.runner.build_report", lambda profile, prices: Path("results")/profile/"report.html")
    monkeypatch.setattr("lrat.paper.runner.check_expected", lambda profile: [])
    monkeypatch.setattr("lrat.paper.runner._stages", lambda *given: None)  # Nothing is made beforehand
    return found


def test_settings_travel_to_the_notebooks_as_plain_values(ran):
    words = ["agent.policies=my-model,patient", "agent.endpoint=http://127.0.0.1:8000/v1", "training.epochs=3", 'evaluation.backbones=[{"model": "e5"}]']
    run_command(["52"], profile="mini", set=words, seed=7)
    (name, parameters), = ran
    assert name == "52_main" and parameters["seed"] == 7 and json.loads(json.dumps(parameters)) == parameters
    settings = load_settings("mini", **parameters["changes"])
    assert settings.agent.policies == ("my-model", "patient") and settings.agent.endpoint == "http://127.0.0.1:8000/v1"
    assert settings.training.epochs == 3 and settings.evaluation.backbones[0].model == "e5"


def test_a_list_survives_papermill(tmp_path):
    path = notebook(tmp_path/"a.ipynb", ("profile = 'smoke'\nchanges = {}", "parameters"),
                    ("from lrat.core.settings import load_settings\nassert load_settings(profile, **changes).agent.policies == ('x', 'y')", None))
    changes = changed_settings(["agent.policies=x,y"])
    assert run_notebook(path, "smoke", {"changes": changes}, tmp_path/"r")["status"] == "ran"


@pytest.mark.parametrize("word,said", [("agent.policy=x", "did you mean 'agent.policies'"), ("training.epochs=many", "takes a number"), ("fast", "NAME=VALUE")])
def test_a_setting_that_does_not_exist_is_refused_before_anything_runs(ran, word, said):
    with pytest.raises(LratError, match=said): run_command(["52"], profile="mini", set=[word])
    assert ran == []


def test_a_run_ends_by_saying_what_to_open(ran, capsys):
    run_command(["52"], profile="smoke")
    *_, report, figures = capsys.readouterr().out.splitlines()
    assert report.endswith("results/smoke/report.html") and figures.endswith("results/smoke/figures")


def test_expected_values_are_checked_and_written_without_a_run(ran, capsys, empty_project):
    with pytest.raises(LratError, match="nothing is recorded under smoke"): run_command([], profile="smoke", expected="write")
    with pytest.raises(LratError, match="--expected write"): run_command([], profile="smoke", expected="check")
    settings = load_settings("smoke")
    record(settings, "fig6", [result_row("fig6", "all", "beta", 90., n=50, unit="tokens")], {})
    run_command([], profile="smoke", expected="write")
    run_command([], profile="smoke", expected="check")
    assert "fig6: OK (1 OK)" in capsys.readouterr().out
    record(settings, "fig6", [result_row("fig6", "all", "beta", 120., n=50, unit="tokens")], {})
    with pytest.raises(LratError, match="1 of 1 artefacts are off: fig6"): run_command([], profile="smoke", expected="check")
    assert ran == []


def test_a_figure_that_was_deleted_is_made_again(tmp_path):
    folder = tmp_path/"r"/"figures"
    write = f"from pathlib import Path; p = Path({str(folder)!r}); p.mkdir(exist_ok=True); (p/'fig1.svg').write_text('<svg/>')"
    path = notebook(tmp_path/"a.ipynb", ("profile = 'smoke'", "parameters"), (write, None))
    assert [run_notebook(path, "smoke", results=tmp_path/"r")["status"] for _ in range(2)] == ["ran", "up to date"]
    (folder/"fig1.svg").unlink()
    assert run_notebook(path, "smoke", results=tmp_path/"r")["status"] == "ran"


def test_a_failure_that_the_kernel_could_not_draw_is_told_by_its_last_line(tmp_path):
    "A traceback may come as plain text alone"
    book = nbformat.v4.new_notebook()
    text = "Traceback (most recent call last):\n  File \"a\"\nlrat.llm.budget.BudgetSpent: the budget is used up\n"
    book.cells.append(nbformat.v4.new_code_cell("x", execution_count=3, outputs=[nbformat.v4.new_output("stream", name="stderr", text=text)]))
    nbformat.write(book, tmp_path/"a.ipynb")
    class Failed: ename, evalue, exec_count = "CellExecutionError", "", 3
    assert _said(Failed, tmp_path/"a.ipynb") == "BudgetSpent: the budget is used up"
