"A claim is confirmed, refuted or undecided, and the power is that of a paired difference of this width"
import numpy as np
import pytest

from lrat.core.settings import load_settings
from lrat.paper.artefacts import ARTEFACTS
from lrat.paper.comprehension import comparisons, reader_arms, reader_pipeline, tried
from lrat.paper.plan import describe_plan, make_plan
from lrat.paper.power import certainty, claims_table
from lrat.paper.report import build_report
from lrat.paper.results import make_artefact, record, result_row
from lrat.pipeline.pipeline import Pipeline
from lrat.testing.invented_scores import invent_scores


def difference(value, half, metric="success"): return result_row("fig7", "+filter", metric, value, value - half, value + half, 300, "patient", "world-eval", base="+naive")


@pytest.mark.parametrize("value, half, says", [(.03, .02, "confirmed"), (.005, .004, "confirmed"), (.0, .01, "refuted"), (-.03, .02, "refuted"), (.0, .03, "undecided"),
                                               (.019, .02, "undecided"), (-.03, .049, "refuted"), (-.03, .051, "undecided")])
def test_the_verdict_is_that_of_the_interval(value, half, says): assert certainty(difference(value, half)).verdict == says


def test_fewer_steps_are_better():
    assert [certainty(difference(v, .1, "steps")).verdict for v in (-.3, .3, .0)] == ["confirmed", "refuted", "refuted"]


def test_power_is_the_share_of_experiments_that_would_have_seen_the_effect():
    drawn = np.random.default_rng(1).normal(.02, .012 / 1.959964, 20_000)
    sure = certainty(difference(0., .012))
    assert sure.power == pytest.approx((np.abs(drawn) > .012).mean(), abs=.01)
    assert certainty(difference(0., .012 * .02 / sure.detectable)).power == pytest.approx(.8, abs=.001)


def test_the_report_says_which_claims_held(empty_project):
    settings = load_settings("smoke", evaluation__resamples=100)
    for artefact in ("table2", "fig7"): make_artefact(artefact, settings, invent_scores(Pipeline(settings)))
    table = claims_table("smoke")
    assert {row[0] for row in table.rows} == {"Table 2", "Figure 7"} and {row[-1] for row in table.rows} <= {"confirmed", "refuted", "undecided"}
    page = build_report("smoke").read_text(encoding="utf-8")
    assert '<section id="claims"' in page and table.caption in page and 'href="#claims"' in page


def test_an_empty_report_says_that_nothing_was_recorded(empty_project):
    assert "Nothing was recorded that a claim is about." in build_report("smoke").read_text(encoding="utf-8")


def test_a_claim_without_a_paired_difference_has_no_power(empty_project):
    rows = [result_row("judge_audit", "rule", metric, value, value - .02, value + .02, 200, unit="share") for metric, value in (("kept_evidence", .9), ("kept_other", .5))]
    (name, *_, power, detectable, verdict), = claims_table("smoke", {"judge_audit": {"rows": rows}}).rows
    assert (name, power, detectable, verdict) == ("Judge audit", "-", "-", "confirmed")


def test_the_plan_of_power_says_hours_and_that_of_named_notebooks_is_a_part():
    settings = load_settings("power")
    def hours(**more): return sum(stage.cpu_hours for stage in make_plan(settings, **more))
    assert 5 < hours() < 12 and hours(notebooks=["53_ablation"]) < hours()
    assert 8 < hours(notebooks=["74_reader"]) < 16 and 1 < hours(notebooks=["75_human_questions"]) < 6
    assert not [stage for stage in make_plan(settings) if stage.name.startswith(("Simulated readers", "Human questions"))] # Ablations are run by name
    assert any("hours (rates measured on a quiet machine" in line for line in describe_plan(make_plan(settings)))
    assert not sum(stage.cpu_hours for stage in make_plan(load_settings("paper"), notebooks=["55_scaling"])) # Nobody would do without a GPU


def test_the_reader_s_arms_are_trained_once_each_and_all_compared_with_the_base():
    for profile in ("smoke", "mini", "power"):
        settings, arms = load_settings(profile), reader_arms(load_settings(profile))
        compared = comparisons(settings)
        assert len({(arm.name, arm.judge) for arm in arms.values()}) == len(arms) and {s for s, base in compared if base == "base"} == set(arms)
        assert all(base == "base" or base in arms for _, base in compared)
    assert tried(load_settings("power")) == ((0., .5, 1.), (.3,))
    assert reader_pipeline(load_settings("mini")).settings.mining.correct_only is False


def test_a_simulation_says_so_wherever_it_shows(empty_project):
    rows = [result_row("reader", "comprehension 1, filter", "success", .1, .05, .15, 24, "patient", "world-eval", 2025, base="base", p=.01)]
    record(load_settings("smoke"), "reader", rows, {})
    assert "Simulated readers: how good must your agent" in build_report("smoke").read_text(encoding="utf-8") and ARTEFACTS["reader"].own
