"Where everything lives: one notebook is one module, imports point one way, and modules, functions and cells stay small."
import ast, difflib, itertools, json, re

import pytest
from paths import ROOT

# A package imports itself and what stands before it; `importers` and `serving`, and `paper` and `bench`, do not see each other
ORDER = ["core", "data", "llm", "trajectories", "retrieval", "agents", "judging", "mining", "evaluation", "training",
         ("importers", "serving"), "viewer", "pipeline", "testing", ("paper", "bench")]
RANK = {name: rank for rank, names in enumerate(ORDER) for name in ([names] if isinstance(names, str) else names)}
EXPERIMENTS = sorted((ROOT/"nbs"/"experiments").glob("*.ipynb")) + sorted((ROOT/"nbs"/"ablations").glob("*.ipynb"))
CELL_LINES, UNSHOWN_LINES, MODULE_LINES, FUNCTION_LINES = 40, 60, 300, 40


def cells_of(path): return json.loads(path.read_text())["cells"]
def code_cells(path): return [cell for cell in cells_of(path) if cell["cell_type"] == "code"]
def text_of(cell): return "".join(cell["source"])
def is_exported(cell): return re.search(r"^#\| exports?$", text_of(cell), re.MULTILINE) is not None


def module_of(path):
    "The module that a notebook exports to, as `package.module`; None for one that exports nothing"
    found = [match[1] for cell in code_cells(path) if (match := re.search(r"#\|\s*default_exp ([\w.]+)", text_of(cell)))]
    return found[0] if found else None


LIBRARY = {module: path for path in sorted((ROOT/"nbs").rglob("*.ipynb")) if ".ipynb_checkpoints" not in path.parts
           if (module := module_of(path))}
PACKAGED = {module: path for module, path in LIBRARY.items() if "." in module}
NUMBERED = sorted(path for path in LIBRARY.values() if re.match(r"\d\d_", path.name))


def source_of(module): return (ROOT/"lrat"/f"{module.replace('.', '/')}.py").read_text()


def imports(module):
    "Modules of this package that `module` imports"
    package = module.split(".")[:-1]
    for node in ast.walk(ast.parse(source_of(module))):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.level: yield ".".join([*package[:len(package) + 1 - node.level], node.module])
            elif node.module.startswith("lrat."): yield node.module.removeprefix("lrat.")


def test_a_notebooks_path_without_its_number_is_its_module():
    for module, path in LIBRARY.items():
        parts = [*path.relative_to(ROOT/"nbs").parts[:-1], re.sub(r"^\d\d_", "", path.stem)]
        assert ".".join(parts) == module, f"{path} exports to {module}"


def test_one_notebook_is_one_module():
    made = {".".join(p.relative_to(ROOT/"lrat").with_suffix("").parts) for p in (ROOT/"lrat").rglob("*.py")}
    assert {m for m in made if not m.split(".")[-1].startswith("_")} == set(LIBRARY)


def test_chapters_are_numbered_through_and_each_number_is_used_once():
    numbers = [int(path.name[:2]) for path in NUMBERED]
    assert sorted(numbers) == list(range(numbers and min(numbers), min(numbers) + len(numbers)))


@pytest.mark.parametrize("module", PACKAGED)
def test_imports_between_packages_point_one_way(module):
    mine = module.split(".")[0]
    for other in imports(module):
        theirs = other.split(".")[0]
        assert theirs == mine or RANK[theirs] < RANK[mine], f"{module} imports {other}"


def test_no_two_modules_import_each_other():
    needs, done, open_ = {module: [m for m in imports(module) if m in LIBRARY] for module in LIBRARY}, set(), []
    def visit(module):
        assert module not in open_, f"cycle: {' -> '.join(open_[open_.index(module):] + [module])}"
        if module in done: return
        open_.append(module)
        for other in needs[module]: visit(other)
        done.add(open_.pop())
    # An import inside a function is how two modules of one package may know each other; those at the top must have no cycle
    for module in LIBRARY: needs[module] = [m for m in top_imports(module) if m in LIBRARY]
    for module in LIBRARY: visit(module)


def top_imports(module):
    package = module.split(".")[:-1]
    for node in ast.parse(source_of(module)).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.level:
            yield ".".join([*package[:len(package) + 1 - node.level], node.module])


@pytest.mark.parametrize("module", [module for module in LIBRARY if not module.startswith("testing.")])
def test_nothing_but_examples_and_tests_uses_lrat_testing(module):
    assert not [other for other in imports(module) if other.startswith("testing.")]


@pytest.mark.parametrize("package", sorted(RANK))
def test_no_two_modules_of_a_package_have_nearly_the_same_name(package):
    names = sorted(module.split(".")[1] for module in PACKAGED if module.startswith(f"{package}."))
    for one, other in itertools.combinations(names, 2):
        assert difflib.SequenceMatcher(None, one, other).ratio() < .85, f"{package}: {one} and {other}"


@pytest.mark.parametrize("module", LIBRARY)
def test_modules_and_functions_are_small(module):
    source = source_of(module)
    lines = [line for line in source.splitlines() if line.strip() and not line.startswith("# %% ")]  # nbdev marks each cell
    assert len(lines) <= MODULE_LINES, f"{len(lines)} lines"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno - node.lineno < FUNCTION_LINES, f"{module}.{node.name}"


@pytest.mark.parametrize("module", LIBRARY)
def test_exported_cells_are_short_and_shown_at_once(module):
    unshown = 0
    for number, cell in enumerate(cells_of(LIBRARY[module])):
        lines = [line for line in text_of(cell).splitlines() if line.strip() and not line.startswith("#|")]
        if cell["cell_type"] != "code" or not lines: continue
        if is_exported(cell):
            if all(re.match(r"(from|import) |\s|\)", line) for line in lines): continue  # Imports need no example
            assert len(lines) <= CELL_LINES, f"cell {number} has {len(lines)} lines"
            unshown += len(lines)
            assert unshown <= UNSHOWN_LINES, f"{unshown} exported lines up to cell {number} without an example"
        elif "#| hide" not in text_of(cell): unshown = 0


@pytest.mark.parametrize("module", LIBRARY)
def test_every_library_notebook_shows_and_asserts(module):
    cells = code_cells(LIBRARY[module])
    assert any(re.search(r"\b(test_eq|test_fail|test_close|assert)\b", text_of(cell)) for cell in cells if not is_exported(cell))
    assert any(cell["outputs"] for cell in cells), "run the notebook, so that a reader sees its values"


@pytest.mark.parametrize("path", [*LIBRARY.values(), *EXPERIMENTS], ids=lambda p: p.stem)
def test_no_saved_errors_and_no_paths_of_one_machine(path):
    for cell in code_cells(path): assert all(o["output_type"] != "error" for o in cell["outputs"])
    assert str(ROOT) + "/" not in path.read_text()


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: p.stem)
def test_experiments_are_small_and_define_nothing(path):
    cells = code_cells(path)
    lines = [line for cell in cells for line in text_of(cell).splitlines() if line.strip()]
    assert len(cells) <= 25 and len(lines) <= 80
    assert not any(re.match(r"\s*(def|class) ", line) for line in lines)
    assert sum("parameters" in cell["metadata"].get("tags", []) for cell in cells) == 1


@pytest.mark.parametrize("path", [*LIBRARY.values(), *sorted((ROOT/"nbs"/"howto").glob("*.ipynb"))], ids=lambda p: p.stem)
def test_an_example_leaves_no_path_and_no_variable_to_the_next_notebook(path):
    "The tests run several notebooks in one process"
    text = "\n".join(text_of(cell) for cell in code_cells(path) if not is_exported(cell))
    added = re.search(r"sys\.path\.(insert|append)\(", text) is not None
    variables = set(re.findall(r'os\.environ\["(\w+)"\]\s*=', text)) - {"HF_HUB_DISABLE_PROGRESS_BARS"}
    assert "forget_package(" in text or not added and "PYTHONPATH" not in variables
    undone = re.findall(r'(?:del os\.environ\[|os\.environ\.pop\()"(\w+)"', text) + re.findall(r'"(\w+)"', " ".join(re.findall("kept = .*", text)))
    assert variables - {"PYTHONPATH"} <= set(undone)
