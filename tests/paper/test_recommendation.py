"Which retriever to deploy: one rule, from recorded rows alone; what differs between machines is kept apart."
import json

import pytest

from lrat.core.files import write_json
from lrat.core.settings import LratError, load_settings
from lrat.paper.deployment import deployment_pipeline, leading
from lrat.paper.recommendation import recommend, recommend_command, recommended
from lrat.paper.report import build_report
from lrat.paper.results import make_artefact, result_row, results_folder
from lrat.testing.invented_scores import invent_scores

GAINED, LOST = ("world-eval", "success"), ("fanoutqa-leaf", "recall_at_1")


def rows_of(system, gain, loss, indexes=1, encodings=0, width=.02, **against):
    def difference(base, what, v): return result_row("deployment", system, what[1], v, v - width, v + width, 300, benchmark=what[0], base=base, seed=1)
    return [difference("base", GAINED, gain), difference("base", LOST, loss), *(difference(base, GAINED, v) for base, v in against.items()),
            result_row("deployment", system, "indexes", indexes), result_row("deployment", system, "corpus_encodings", encodings)]


def advised(*candidates): return recommend([row for rows in candidates for row in rows], GAINED, LOST)


@pytest.mark.parametrize("gain,loss,fine", [(.1, -.03, True), (.1, -.031, False), (.02, 0., False), (.021, .05, True), (-.1, .0, False)])
def test_a_candidate_qualifies_by_the_interval_of_its_gain_and_by_its_loss(gain, loss, fine):
    advice = advised(rows_of("x", gain, loss))
    assert advice.system == ("x" if fine else "base") and (advice.candidates[0].verdict == "qualifies") == fine and advice.best == ("x" if fine else None)


def test_what_forgets_too_much_is_not_the_best_either():
    assert advised(rows_of("a", .3, -.2), rows_of("b", .1, 0.)).best == "b"


def test_of_equals_the_cheaper_is_taken_and_of_equally_cheap_ones_the_better():
    best = rows_of("best", .12, 0., indexes=3, encodings=1)
    assert advised(best, rows_of("few", .10, 0., 1, 1, best=-.01), rows_of("old", .11, 0., 2, 0, best=-.01)).system == "old"
    assert advised(best, rows_of("few", .10, 0., 1, 0, best=-.01), rows_of("old", .11, 0., 2, 0, best=-.01)).system == "few"
    assert advised(best, rows_of("one", .10, 0., 1, 0, best=-.01), rows_of("two", .11, 0., 1, 0, best=-.01)).system == "two"
    assert advised(best, rows_of("weak", .05, 0., 1, 0, best=-.07)).system == "best"


def test_a_mean_over_seeds_counts_and_not_a_seed_alone():
    rows = rows_of("x", .1, 0.)
    alone = [row | {"seed": 2, "value": -.5, "low": -.6, "high": -.4} for row in rows[:2]]
    together = [row | {"seed": None, "seeds": [1, 2]} for row in rows[:2]]
    assert recommend([*alone, *together, *rows[2:]], GAINED, LOST).system == "x" and leading([*alone, *together], GAINED, LOST) == "x"


def test_costs_of_a_machine_change_the_page_and_not_the_recommendation(empty_project, capsys):
    settings = load_settings("smoke", evaluation__resamples=200)
    make_artefact("deployment", settings, invent_scores(deployment_pipeline(settings)))
    recorded, advice = (results_folder("smoke")/"deployment.json").read_bytes(), recommended("smoke")
    for ms in (1.5, 99.):
        write_json(results_folder("smoke")/"deployment_costs.json", {"+LRAT": {"milliseconds": ms, "megabytes": 7.}})
        recommend_command("smoke", json=True)
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [line["milliseconds"] for line in lines if "milliseconds" in line] == [ms] and recommended("smoke") == advice
        assert [line["system"] for line in lines if line["recommended"]] == [advice.system] * (advice.system != "base")
        assert f"{ms:.1f}" in build_report("smoke").read_text(encoding="utf-8").partition('<section id="deploy"')[2]
    assert (results_folder("smoke")/"deployment.json").read_bytes() == recorded and b"milliseconds" not in recorded


def test_what_was_not_compared_is_named_with_the_command(empty_project):
    with pytest.raises(LratError, match="nothing is recorded under smoke; run: lrat run deployment --profile smoke"): recommend_command("smoke")
    with pytest.raises(LratError, match="unknown profile"): recommend_command("huge")
