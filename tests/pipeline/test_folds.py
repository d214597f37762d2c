"Human questions: each is evaluated in one fold, and no fold is trained on what it evaluates"
import pytest

from lrat.core.settings import LratError, WorldSettings, load_settings
from lrat.data.fanoutqa import build_fold
from lrat.data.questions import read_qrels, read_questions
from lrat.pipeline.pipeline import Pipeline
from lrat.pipeline.systems import System

WORLD = WorldSettings(leaf_questions=60, fanout_questions=40)


@pytest.fixture(scope="module")
def folds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds")
    return [(folder/str(n), build_fold("wikipedia-leads", WORLD, n, 2, 7, folder/str(n))) for n in range(2)]


def ids(path): return [q.query_id for q in read_questions(path)]


def test_each_question_is_evaluated_once_and_trains_the_other_fold(folds):
    for name, count in ("leaf", 60), ("fanout", 40):
        (one, _), (other, _) = folds
        assert len(ids(one/f"{name}.tsv")) + len(ids(other/f"{name}.tsv")) == count
        assert set(ids(one/f"{name}.tsv")) <= set(ids(other/"train.tsv")) and not set(ids(one/f"{name}.tsv")) & set(ids(one/"train.tsv"))


def test_every_question_has_evidence_and_training_ones_no_answer_that_would_be_compared(folds):
    for folder, report in folds:
        train = list(read_questions(folder/"train.tsv"))
        assert {q.query_id for q in train} == set(read_qrels(folder/"train.qrels")) and all(q.answer is None for q in train)
        assert 0 <= report["evidence_pages_seen_in_training"] <= report["evidence_pages"] and report["train_questions"] == len(train)


def test_too_many_folds_are_refused(tmp_path):
    with pytest.raises(LratError, match="lacks questions .*use fewer folds"): build_fold("wikipedia-leads", WorldSettings(leaf_questions=1, fanout_questions=1), 0, 50, 7, tmp_path)


def test_a_system_with_its_own_judge_has_verdicts_and_pairs_of_its_own(tmp_path, monkeypatch):
    made = []
    def stage(self, name, function, modules, parameters, asks=None, **inputs):
        made.append((name, parameters.get("judge")))
        return type("Named", (), {"name": name, "key": name, "__truediv__": lambda self, other: tmp_path/other})()
    monkeypatch.setattr(Pipeline, "_stage", stage)
    pipeline = Pipeline(load_settings("smoke"), tmp_path)
    pipeline.systems = pipeline.systems | {"noisy": System("filter", retrievers=("bm25",), judge="noisy:0.5,0"), "plain": System("filter", retrievers=("bm25",))}
    for system in ("noisy", "plain"): pipeline.pairs(system)
    assert ("verdicts-world-train-patient-bm25-noisy-0.5-0", "noisy:0.5,0") in made and ("verdicts-world-train-patient-bm25", "rule") in made
    assert {name for name, _ in made if name.startswith("pairs")} == {"pairs-filter-noisy-0.5-0", "pairs-filter"}
