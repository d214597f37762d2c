"Systems as records: equal records are one model, and their names tell the others apart."
import dataclasses

import pytest

from lrat.core.settings import load_settings
from lrat.pipeline.systems import SYSTEMS, Fused, System, collecting, is_trained, systems

CHANGES = dict(preset="naive", retrievers=("bm25",), policies=("hasty",), correct=False, pairs=9, loop=2, held_out=.1, replay=.5,
               training=(("learning_rate", 1e-5),), query_max_length=128, alpha=.5,
               fused=Fused(("base", "bm25")))


def test_every_field_of_a_system_is_open_until_it_is_set():
    assert set(CHANGES) == {f.name for f in dataclasses.fields(System)}
    assert System() == SYSTEMS["+LRAT"] == SYSTEMS["+reweight"] and System().plain


@pytest.mark.parametrize("field", CHANGES)
def test_released_pairs_stand_for_no_system_that_changes_more_than_how_many(field):
    assert System(**{field: CHANGES[field]}).plain == (field == "pairs")


@pytest.mark.parametrize("field", [f for f in CHANGES if f not in ("retrievers", "alpha")]) # Stages tell these two apart by their inputs
def test_folders_of_models_tell_systems_apart(field):
    assert System(**{field: CHANGES[field]}).label != System().label


@pytest.mark.parametrize("profile", ["smoke", "mini", "paper"])
def test_the_systems_of_a_profile_do_not_replace_each_other(profile):
    evaluation = load_settings(profile).evaluation
    assert len(systems(evaluation)) == len(SYSTEMS) + len(set(evaluation.training_sizes)) + 2 + evaluation.flywheel_loops
