"What the plan takes for granted is what was measured, and models need the memory of their checkpoints."
import pytest

from lrat.core.files import read_json
from lrat.core.settings import load_settings
from lrat.paper.estimates import MODELS, Assumed, Measured, forward_hours, model_facts, plan_index, plan_training, serving_gib
from lrat.paper.plan import describe_plan, make_plan
from paths import ROOT

FIGURES = {row["name"]: row for row in read_json(ROOT/"figures"/"gpu"/"h200.json")}
ENCODER = model_facts("Qwen/Qwen3-Embedding-0.6B")


def test_the_rates_are_those_of_the_figures():
    assert Measured.encoding_share == pytest.approx(FIGURES["encode_corpus"]["share_of_peak"], abs=.01)
    assert Measured.training_share == pytest.approx(FIGURES["train_ours"]["share_of_peak"], abs=.01)
    assert Measured.peak_teraflops == pytest.approx(FIGURES["matrix_peak"]["value"], rel=.02)


@pytest.mark.parametrize("name,passes,share", [("encode_corpus", 1, Measured.encoding_share), ("train_ours", 3, Measured.training_share)])
def test_planned_hours_are_those_that_the_card_took(name, passes, share):
    row = FIGURES[name]
    planned = 3600 * passes * forward_hours(row["tokens"], ENCODER.active, share, Assumed())
    assert planned == pytest.approx(row["seconds"], rel=.1)


def test_planned_memory_is_what_was_measured():
    paper, assumed = load_settings("paper"), Assumed()
    assert plan_index(paper, "infoseek-eval", "base", assumed).gpu_gib == pytest.approx(FIGURES["encode_corpus"]["memory_gib"], rel=.1)
    token = assumed.activation_bytes * ENCODER.active * 1e9 / ENCODER.dimensions
    measured = [row["activation_bytes_a_token"] for name, row in FIGURES.items() if name.startswith("train_ours")]
    assert max(measured) == pytest.approx(token, rel=.05) and min(measured) > .7 * token
    small, large = (plan_training("train", load_settings("paper", training__tokens_at_once=size), [32], assumed).gpu_gib for size in (8192, 16384))
    assert large - small == pytest.approx(8192 * token / 2**30) and small < FIGURES["train_ours"]["memory_gib"]


@pytest.mark.parametrize("name,gib", [("gpt-oss-120b", 60.8), ("MiniMax-M2.1", 214), ("GLM-4.7", 661)])
def test_checkpoints_have_their_published_size(name, gib):
    assert MODELS[name].gib == pytest.approx(gib, rel=.02)


def test_a_quantised_agent_fits_the_card_it_is_made_for():
    assert serving_gib(MODELS["gpt-oss-120b"], Assumed()) < 80
    stage = next(stage for stage in make_plan(load_settings("paper")) if stage.name == "evaluate infoseek-eval gpt-oss-120b")
    assert stage.gpu_gib < 80
    assert "measured on an H200" in list(describe_plan([stage]))[-1]
