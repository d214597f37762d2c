"One record an artefact: everything that it names is there, and other packages add theirs by an entry point."
import re, sys

import pytest

from lrat.core.settings import LratError, load_settings
from lrat.paper.artefacts import ARTEFACTS, Artefact, all_artefacts, find_artefact, paper_artefacts
from lrat.paper.claims import summarise, what_came_out
from lrat.paper.plan import make_plan
from lrat.testing.invented_scores import invent_scores
from lrat.paper.report import build_report
from lrat.paper.results import load_results, make_artefact, record, result_row
from lrat.paper.runner import find_notebooks
from lrat.pipeline.pipeline import Pipeline
from lrat.testing.package import write_package

FUNCTIONS = ("rows", "figure", "printed", "plan", "claim", "pipeline")
SCORED = ("table2", "fig1", "fig7", "fig8a", "fig8b", "fig9b", "table3", "query_forms", "negative_tiers", "forgetting", "another_agent", "deployment")


@pytest.fixture
def project(empty_project):
    return load_settings("smoke", evaluation__resamples=200)


@pytest.mark.parametrize("artefact", ARTEFACTS.values(), ids=list(ARTEFACTS))
def test_what_a_record_names_is_there(artefact):
    for field in FUNCTIONS: assert getattr(artefact, field) == "" or callable(artefact.load(field)), field
    path, = find_notebooks([artefact.id])
    assert path.stem == artefact.notebook and path.parent.name == ("ablations" if artefact.own else "experiments")
    assert 'what_came_out(pipeline.settings, ' in path.read_text().replace('\\"', '"') and artefact.id in path.read_text()
    assert artefact.title.startswith(f"{artefact.name}: ") and artefact.claim


def test_a_record_that_names_what_is_not_there_says_so():
    with pytest.raises(LratError, match="artefact 'x': rows names 'lrat.nowhere:rows'"): Artefact("x", "X: x", "x", "lrat.nowhere:rows").load("rows")
    with pytest.raises(LratError, match="rows names 'math:nothing'"): Artefact("x", "X: x", "x", "math:nothing").load("rows")


def test_an_unknown_artefact_is_refused_with_the_names_there_are():
    with pytest.raises(LratError, match="no artefact 'fig5'; choose one of: table1, table2"): find_artefact("fig5")


@pytest.mark.parametrize("artefact", SCORED)
def test_each_artefact_can_be_drawn_from_invented_scores(artefact, project):
    rows, figure = make_artefact(artefact, project, invent_scores(find_artefact(artefact).load("pipeline")(project)))
    assert {r["artefact"] for r in rows} == {artefact} and load_results("smoke", own=True)[artefact]["rows"] == rows
    assert bool(figure) == bool(find_artefact(artefact).figure) and (not figure or figure.stem.name == artefact)
    text = what_came_out(project, artefact).text
    assert re.match(r"\*\*The claim (held|held in part|did not hold|was not shown): \d+ of \d+ part", text) and "n = 200" in text and "[" in text


# ------------------------------------------------------------------------------------------------------------------ other packages

@pytest.fixture
def installed(tmp_path, monkeypatch):
    "A package that registers an artefact, as pip would leave it"
    def install(record, name="other_study"):
        write_package(tmp_path, name, record, {"lrat.artefacts": {"it": f"{name}:artefact"}})
        monkeypatch.syspath_prepend(str(tmp_path))
    yield install
    for name in [name for name in sys.modules if name.startswith("other_study")]: del sys.modules[name]


RECORD = """
from lrat.paper.artefacts import Artefact
from lrat.paper.estimates import PlannedStage
from lrat.paper.results import result_row
def rows(pipeline): return [result_row("shoe_size", "base", "success", .5, .4, .6, 10)]
def plan(planner, artefact): yield PlannedStage(f"{artefact.name}: measure", "shoes", "sizes", "", {"shoes": 2})
artefact = Artefact("shoe_size", "Shoe size: of each agent", NOTEBOOK, "other_study:rows", plan="other_study:plan", needs="measures agents")
"""


def test_a_package_adds_an_artefact_by_an_entry_point(installed, project, tmp_path):
    notebook = tmp_path/"shoes.ipynb"
    notebook.write_text("{}")
    installed(RECORD.replace("NOTEBOOK", repr(str(notebook))))
    assert list(all_artefacts()) == [*ARTEFACTS, "shoe_size"] and "shoe_size" not in paper_artefacts()
    rows, figure = make_artefact("shoe_size", project, invent_scores(Pipeline(project)))
    assert figure is None and load_results("smoke") == {} and load_results("smoke", own=True)["shoe_size"]["rows"] == rows
    page = build_report("smoke").read_text()
    assert '<section id="shoe_size"' in page and page.index('id="judge_audit"') < page.index('id="shoe_size"')
    assert "Shoe size: measure" in [stage.name for stage in make_plan(project)]
    assert "Shoe size: measure" not in [stage.name for stage in make_plan(project, pairs="hub")]
    assert what_came_out(project, "shoe_size").text.startswith("**Nothing was measured")


def test_lrat_run_finds_the_notebook_of_an_installed_artefact(installed, tmp_path):
    notebook = tmp_path/"shoes.ipynb"
    notebook.write_text("{}")
    installed(RECORD.replace("NOTEBOOK", repr(str(notebook))))
    assert find_notebooks(["shoe_size"]) == [notebook]


def test_an_entry_point_that_is_no_artefact_or_takes_a_name_is_refused(installed, tmp_path):
    installed("artefact = 1\n")
    with pytest.raises(LratError, match="is a int in other_study:artefact; it must be a lrat.paper.artefacts.Artefact"): all_artefacts()
    assert find_artefact("fig1").id == "fig1" # Those of this package are not looked for


def test_an_id_that_is_taken_is_refused(installed):
    installed("from lrat.paper.artefacts import ARTEFACTS\nartefact = ARTEFACTS['fig1']\n", "other_study_2")
    with pytest.raises(LratError, match="the id 'fig1' is taken"): all_artefacts()


# -------------------------------------------------------------------------------------------------------------------- what came out

def difference(artefact, value, low, high, metric="success", **more):
    about = {"system": "+LRAT", "base": "base", "agent": "patient", "benchmark": "world-eval"} | more
    return result_row(artefact, metric=metric, value=value, low=low, high=high, n=300, p=.01, **about)


def came_out(settings, artefact, rows):
    record(settings, artefact, rows, {})
    return what_came_out(settings, artefact).text


@pytest.mark.parametrize("value,low,high,said", [(.1, .05, .15, "The claim held: 1 of 1"), (.1, -.05, .2, "was not shown: 0 of 1"), (-.1, -.2, -.05, "did not hold")])
def test_a_claim_holds_only_where_the_interval_leaves_zero_out(project, value, low, high, said):
    text = came_out(project, "table2", [difference("table2", value, low, high)])
    assert said in text and ("not significant" in text) == (low < 0 < high) and (": worse" in text) == (high < 0)


def test_fewer_steps_are_better(project):
    assert "The claim held" in came_out(project, "table2", [difference("table2", -1., -2., -.5, "steps")])


def test_an_even_spread_is_never_called_proven(project):
    rows = [result_row("fig4c", "shuffled", "chi_square", 9., n=400, p=.4)]
    assert "does not prove an even one" in came_out(project, "fig4c", rows)
    assert "did not hold" in came_out(project, "fig4c", [rows[0] | {"p": .01}])


def test_overlapping_intervals_are_not_significant(project):
    def row(metric, value, low, high): return result_row("judge_audit", "rule", metric, value, low, high, 50, unit="share")
    assert "not significant" in came_out(project, "judge_audit", [row("kept_evidence", .9, .8, .95), row("kept_other", .8, .7, .85)])
    assert "The claim held" in came_out(project, "judge_audit", [row("kept_evidence", .9, .86, .95), row("kept_other", .8, .7, .85)])


def test_what_was_not_measured_says_so(project):
    with pytest.raises(LratError, match="Figure 6: nothing is recorded under smoke"): what_came_out(project, "fig6")
    assert summarise([]).startswith("**Nothing was measured")
