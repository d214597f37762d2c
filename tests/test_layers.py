"Imports point one way, from higher-numbered notebooks to lower, and modules, functions and experiments stay small."
import ast, json, re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = sorted((ROOT/"nbs"/"api").glob("*.ipynb"))
EXPERIMENTS = sorted((ROOT/"nbs"/"experiments").glob("*.ipynb")) + sorted((ROOT/"nbs"/"ablations").glob("*.ipynb"))


def code_cells(path): return [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]


def module_of(path):
    text = "".join("".join(c["source"]) for c in code_cells(path))
    return re.search(r"#\|\s*default_exp (\w+)", text)[1]


ORDER = {module_of(path): path.name.partition("_")[0] for path in LIBRARY} # 12, 12a and 13 sort as text


def imports(module):
    tree = ast.parse((ROOT/"lrat"/f"{module}.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and (node.level or node.module.startswith("lrat.")):
            yield node.module.removeprefix("lrat.")


def test_one_notebook_is_one_module():
    assert len(ORDER) == len(LIBRARY) == len({p.name.partition("_")[0] for p in LIBRARY})
    assert {p.stem for p in (ROOT/"lrat").glob("*.py")} - {"__init__", "_modidx"} == set(ORDER)


@pytest.mark.parametrize("module", ORDER)
def test_imports_point_to_lower_numbers(module):
    for other in imports(module): assert ORDER[other] < ORDER[module], f"{module} imports {other}"


@pytest.mark.parametrize("module", ORDER)
def test_modules_and_functions_are_small(module):
    source = (ROOT/"lrat"/f"{module}.py").read_text()
    lines = [line for line in source.splitlines() if line.strip() and not line.startswith("# %% ")]  # nbdev marks each cell
    assert len(lines) <= 400
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and not any(isinstance(n, ast.ClassDef) for n in node.body):
            assert node.end_lineno - node.lineno <= 50, f"{module}.{node.name}"


@pytest.mark.parametrize("module", ORDER)
def test_every_library_notebook_shows_and_asserts(module):
    path = next(p for p in LIBRARY if module_of(p) == module)
    cells = code_cells(path)
    assert any(re.search(r"\b(test_eq|test_fail|test_close|assert)\b", "".join(c["source"])) for c in cells)
    assert any(c["outputs"] for c in cells), "run the notebook, so that a reader sees its values"


@pytest.mark.parametrize("path", LIBRARY + EXPERIMENTS, ids=lambda p: p.stem)
def test_no_saved_errors_and_no_paths_of_one_machine(path):
    for cell in code_cells(path): assert all(o["output_type"] != "error" for o in cell["outputs"])
    assert str(ROOT) + "/" not in path.read_text()


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: p.stem)
def test_experiments_are_small_and_define_nothing(path):
    cells = code_cells(path)
    lines = [line for c in cells for line in "".join(c["source"]).splitlines() if line.strip()]
    assert len(cells) <= 25 and len(lines) <= 80
    assert not any(re.match(r"\s*(def|class) ", line) for line in lines)
    assert sum("parameters" in c["metadata"].get("tags", []) for c in cells) == 1
