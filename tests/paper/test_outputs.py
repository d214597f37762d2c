"Saved outputs belong to the code that stands above them."
import json

import nbformat, pytest

from lrat.core.settings import LratError
from lrat.paper.outputs import copy_outputs, outputs_path, renew_outputs, stale_outputs
from lrat.paper.runner import run_notebook, source_hash


@pytest.fixture
def notebook(tmp_path, empty_project):
    return write(tmp_path/"nbs"/"experiments"/"50_sum.ipynb", "1 + 1")


def write(path, source, *words):
    cells = [nbformat.v4.new_markdown_cell("# Sum"), nbformat.v4.new_code_cell("profile = 'smoke'", metadata={"tags": ["parameters"]}),
             *map(nbformat.v4.new_markdown_cell, words), nbformat.v4.new_code_cell(source)]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "python3", "language": "python"}}), path)
    return path


def run(notebook): assert run_notebook(notebook, "mini")["status"] == "ran"
def outputs(notebook): return [c["outputs"] for c in json.loads(notebook.read_text())["cells"] if c["cell_type"] == "code"]


def test_outputs_are_copied_and_sources_stay(notebook):
    before = source_hash(notebook)
    run(notebook)
    assert renew_outputs() == ["50_sum"] and stale_outputs() == []
    parameters, shown = outputs(notebook)
    assert parameters == [] and shown[0]["data"]["text/plain"] == ["2"] and shown[0]["execution_count"] is None
    assert source_hash(notebook) == before and "injected" not in notebook.read_text()
    assert json.loads(outputs_path().read_text())["50_sum"]["source"] == before


def test_prose_may_change_and_code_may_not(notebook):
    run(notebook)
    renew_outputs()
    write(notebook, "1 + 1", "A new sentence.")
    assert not [stale for stale in stale_outputs() if stale.error]
    write(notebook, "1 + 2")
    stale, = stale_outputs()
    assert stale.error and stale.text.startswith("50_sum: has changed since its outputs were made; run: lrat run 50 --profile mini")
    with pytest.raises(LratError, match="50_sum: has changed since it was run"): renew_outputs()


def test_another_version_of_the_package_is_only_a_notice(notebook, monkeypatch):
    run(notebook)
    renew_outputs()
    monkeypatch.setattr("lrat.paper.outputs.code_version", lambda: "9.9")
    assert [(stale.notebook, stale.error) for stale in stale_outputs()] == [("50_sum", False)]


def test_outputs_of_an_unknown_run_are_an_error(notebook):
    run(notebook)
    renew_outputs()
    outputs_path().unlink()
    assert [(stale.error, "unknown run" in stale.text) for stale in stale_outputs()] == [(True, True)]


def test_a_path_of_this_machine_is_not_saved(notebook, tmp_path):
    write(notebook, "import os; os.environ['LRAT_ROOT']")
    run(notebook)
    with pytest.raises(LratError, match="names a path of this machine"): renew_outputs()
    assert outputs(notebook)[1] == []


def test_progress_is_left_out_and_other_cells_are_refused(notebook, tmp_path):
    write(notebook, "import sys; print('working', file=sys.stderr); 3")
    run(notebook)
    copy = tmp_path/"results"/"mini"/"notebooks"/"50_sum.ipynb"
    copy_outputs(copy, notebook)
    assert [o["output_type"] for o in outputs(notebook)[1]] == ["execute_result"]
    write(notebook, "4")
    with pytest.raises(LratError, match="has changed since"): copy_outputs(copy, notebook)


def test_figures_of_the_run_come_along(notebook, tmp_path):
    (tmp_path/"results"/"mini"/"figures").mkdir(parents=True)
    (tmp_path/"results"/"mini"/"figures"/"fig1.svg").write_text("<svg/>")
    run(notebook)
    renew_outputs()
    assert (tmp_path/"figures"/"mini"/"fig1.svg").read_text() == "<svg/>"


def test_the_saved_outputs_of_this_repository_are_not_stale(monkeypatch):
    monkeypatch.delenv("LRAT_ROOT", raising=False)
    if not outputs_path().is_file(): pytest.skip("figures/mini/outputs.json is made by `make outputs`")
    assert not [stale.text for stale in stale_outputs() if stale.error]
