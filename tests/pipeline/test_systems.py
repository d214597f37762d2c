"Systems as records: equal records are one model, and their names tell the others apart."
import dataclasses

import pytest

from lrat.core.settings import LratError, load_settings
from lrat.pipeline.systems import SYSTEMS, Fused, System, collecting, is_trained, systems

CHANGES = dict(preset="naive", retrievers=("bm25",), policies=("hasty",), correct=False, pairs=9, loop=2, held_out=.1, replay=.5,
               training=(("learning_rate", 1e-5),), query_max_length=128, alpha=.5, judge="noisy:0.1,0",
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


def test_a_fusion_is_trained_if_one_of_its_parts_is_or_its_weights_are():
    def fused(*of, **more): return System(fused=Fused(of, **more))
    known = SYSTEMS | {"plain": fused("base", "bm25"), "deep": fused("plain", "+LRAT + BM25"), "shallow": fused("plain", "other/encoder"), "learned": fused("base", "bm25", learned=True)}
    assert [is_trained(name, known) for name in ("plain", "deep", "shallow", "learned", "nowhere")] == [False, True, False, True, False]


@pytest.mark.parametrize("more,said", [({"weights": (1, 2, 3)}, "3 weights are given for 2 indexes"), ({"weights": (0, 0)}, "one of them more than 0"), ({"method": "mean"}, "choose one of: rrf"),
                                       ({"method": "temperature"}, "set learned"), ({"weights": (1, 2), "learned": True}, "either given or learned")])
def test_a_fusion_that_cannot_be_searched_is_refused_before_anything_is_made(more, said):
    with pytest.raises(LratError, match=said): Fused(("base", "bm25"), **more)


def test_agents_do_not_collect_with_what_their_trajectories_train():
    assert collecting(("bm25", "base + BM25", "another/encoder"), SYSTEMS) == ("bm25", "base + BM25", "another/encoder")
    for name in ("+LRAT", "+LRAT + BM25"):
        with pytest.raises(LratError, match="is trained on what is collected"): collecting(("bm25", name), SYSTEMS)
