"A model on a task of mteb that the test builds: our vectors reach it, its number is explained by the queries, and a folder is resumed"
import functools, importlib.util, json
from types import SimpleNamespace
import numpy as np, pytest
from lrat.core.settings import LratError
from lrat.evaluation.mteb_tasks import evaluate_on_mteb, find_tasks, mteb_section, read_mteb
from lrat.evaluation.files import read_scores
from lrat.retrieval.encoder import Encoder
from lrat.testing.encoders import WORDS, save_tiny

# mteb takes seconds to load, so nothing of it is imported before a test runs
pytestmark = [pytest.mark.slow, pytest.mark.skipif(importlib.util.find_spec("mteb") is None, reason="the mteb extra is not installed")]


def about(name, **more):
    from mteb.abstasks.task_metadata import TaskMetadata
    return TaskMetadata(name=name, description="Invented words", reference=None, type="Retrieval", category="t2t", modalities=["text"], eval_splits=["test"],
                        eval_langs=more.get("langs", ["eng-Latn"]), main_score="ndcg_at_10", dataset={"path": "none", "revision": "1"}, date=("2025-01-01", "2025-01-02"),
                        domains=["Written"], task_subtypes=[], license="cc0-1.0", annotations_creators="derived", dialect=[], sample_creation="created", bibtex_citation="")


def split(first, count):
    "Queries of one word each; the relevant document begins with it"
    import datasets
    corpus = [{"id": f"d{n}", "title": WORDS[n], "text": WORDS[(n + 7) % 50]} for n in range(50)]
    queries = [{"id": f"q{n}", "text": WORDS[n]} for n in range(first, first + count)]
    return {"corpus": datasets.Dataset.from_list(corpus), "queries": datasets.Dataset.from_list(queries), "top_ranked": None,
            "relevant_docs": {row["id"]: {f"d{row['id'][1:]}": 1} for row in queries}}


@functools.cache
def tasks():
    "Two tasks, as classes of mteb's"
    from mteb.abstasks import AbsTaskRetrieval
    class Words(AbsTaskRetrieval):
        metadata = about("Words")
        def load_data(self, **unused):
            self.dataset, self.data_loaded = {"default": {"test": split(0, 20)}}, True

    class TwoParts(AbsTaskRetrieval):
        "Two subsets of unequal size, as BRIGHT has"
        metadata = about("TwoParts", langs={"few": ["eng-Latn"], "many": ["eng-Latn"]})
        def load_data(self, **unused):
            self.dataset, self.data_loaded = {"few": {"test": split(0, 3)}, "many": {"test": split(3, 15)}}, True
    return SimpleNamespace(Words=Words, TwoParts=TwoParts)


@pytest.fixture(scope="module")
def model(tmp_path_factory): return save_tiny(tmp_path_factory.mktemp("models")/"tiny")


def test_scores_of_two_tasks_with_intervals_and_queries(model, tmp_path):
    rows = {row["task"]: row for row in evaluate_on_mteb(model, [tasks().Words(), tasks().TwoParts()], tmp_path/"out", resamples=500)}
    encoder = Encoder(model)
    queries = encoder.encode_queries([WORDS[n] for n in range(20)])
    documents = encoder.encode_documents([f"{WORDS[n]} {WORDS[(n + 7) % 50]}" for n in range(50)])
    ranks = [1 + int((scores > scores[n]).sum()) for n, scores in enumerate(queries @ documents.T)]
    by_hand = np.array([1 / np.log2(rank + 1) if rank <= 10 else 0 for rank in ranks])
    kept = read_scores(tmp_path/"out"/"Words.jsonl")
    for query, score in zip(kept.query_ids, kept.column("ndcg_at_10")): assert abs(score - by_hand[int(query.removeprefix("default/test/q"))]) < 1e-4
    assert abs(rows["Words"]["value"] - by_hand.mean()) < 1e-4 and rows["Words"]["n"] == 20
    assert rows["TwoParts"]["n"] == 18 and abs(rows["TwoParts"]["value"] - (by_hand[:3].mean() + by_hand[3:18].mean()) / 2) < 1e-4
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows.values())
    assert read_mteb(tmp_path/"out") == rows


def test_resumed_refused_and_compared(model, tmp_path):
    class Counted(tasks().Words):
        asked = 0
        def load_data(self, **unused): type(self).asked += 1; super().load_data()
    for _ in range(2): evaluate_on_mteb(model, [Counted()], tmp_path/"one", resamples=100)
    assert Counted.asked >= 1 and json.loads((tmp_path/"one"/"Words.json").read_text())["model"] == "tiny"
    loaded = Counted.asked
    evaluate_on_mteb(model, [Counted()], tmp_path/"one", resamples=100)
    assert Counted.asked == loaded  # Finished tasks are not even loaded
    other = save_tiny(tmp_path/"other", seed=3)
    with pytest.raises(LratError, match="holds scores of another model"): evaluate_on_mteb(other, [tasks().Words()], tmp_path/"one")
    evaluate_on_mteb(other, [tasks().Words()], tmp_path/"two", resamples=100)
    assert "| Words | ndcg_at_10 | " in mteb_section(tmp_path/"two", tmp_path/"one")


def test_unknown_names_and_data_that_is_not_there(model, tmp_path):
    assert [task.metadata.name for task in find_tasks("SciFact, NFCorpus")] == ["SciFact", "NFCorpus"]
    assert len(find_tasks("BEIR")) > 10
    with pytest.raises(LratError, match="knows no task or benchmark 'SciFacts'"): find_tasks("SciFacts")
    class Gone(tasks().Words):
        metadata = about("Gone")
        def load_data(self, **unused): raise ConnectionError("no route to the hub")
    with pytest.raises(LratError, match=r"Gone: its data could not be loaded \(no route to the hub\)"): evaluate_on_mteb(model, [Gone()], tmp_path/"out")
