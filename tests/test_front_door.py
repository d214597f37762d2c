"`import lrat` costs nothing and offers a whole experiment; README shows the lines and the output of chapter 00."
import json, re, subprocess, sys

import lrat, pytest
from lrat.core.settings import LratError
from lrat.testing.museum import write_museum
from paths import ROOT


def lines_of_chapter():
    "The dozen lines of chapter 00, and what they print"
    cells = json.loads((ROOT/"nbs"/"00_lrat_in_one_notebook.ipynb").read_text())["cells"]
    cell = next(cell for cell in cells if "".join(cell["source"]).startswith("import lrat\ncorpus"))
    shown = [output for output in cell["outputs"] if output["output_type"] == "execute_result"]
    return "".join(cell["source"]), "".join(shown[-1]["data"]["text/plain"])


def test_importing_loads_nothing_heavy():
    program = "import sys, lrat; print(sorted({name.partition('.')[0] for name in sys.modules} & {'torch', 'numpy', 'scipy', 'fastcore', 'transformers'}), dir(lrat)[-1])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[] ")


def test_using_a_name_does_not_load_torch():
    done = subprocess.run([sys.executable, "-c", "import sys, lrat; lrat.collect; lrat.train; print('torch' in sys.modules)"],
                          capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_an_unknown_name_is_an_attribute_error_that_lists_the_others():
    with pytest.raises(AttributeError, match="colect.*load_corpus.*compare"): lrat.colect


def test_readme_shows_the_lines_and_the_output_of_the_chapter():
    lines, output = lines_of_chapter()
    readme = (ROOT/"README.md").read_text()
    assert f"```python\n{lines}\n```" in readme and output in readme
    assert len(lines.splitlines()) <= 12


def test_the_lines_of_readme_run_and_print_what_readme_says(tmp_path, monkeypatch):
    readme = (ROOT/"README.md").read_text()
    lines, = re.findall(r"```python\n(import lrat\n.*?)\n```", readme, re.DOTALL)
    output, = re.findall(r"```text\n(success.*?)\n```", readme, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    write_museum()
    *first, last = lines.splitlines()
    names = {}
    exec("\n".join(first), names)
    assert repr(eval(last, names)) == output


def test_records_stand_for_their_paths_and_print_well(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    corpus, questions = write_museum()
    index = lrat.build_index("corpus.jsonl", "bm25", kind="bm25")
    assert repr(index) == "Index('bm25', bm25 index of 16 documents)" and len(lrat.open_index(index).search("glass", k=2)) == 2
    trajectories = lrat.collect(questions, index, "found")
    again = lrat.collect(questions, index, "found")
    assert [one.query_id for one in again] == [one.query_id for one in trajectories] and "6 trajectories" in repr(again)
    assert "<table>" in trajectories._repr_html_()


def test_a_mistake_is_one_error_with_the_fix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LratError, match="no-corpus.jsonl"): lrat.build_index("no-corpus.jsonl", "index")
    with pytest.raises(TypeError, match="kinds"): lrat.build_index("corpus.jsonl", "index", kinds="bm25")
