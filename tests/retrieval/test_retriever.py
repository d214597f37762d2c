"Indexes survive a kill, know their model, and order what they find the same way every time."
import json, re

import numpy as np, pytest

from lrat.data.corpus import Document, open_corpus, write_corpus
from lrat.retrieval.dense import DenseRetriever
from lrat.retrieval.encode_corpus import build_dense
from lrat.retrieval.shards import shard_paths
from lrat.retrieval.encoder import Encoder
from lrat.retrieval.index import build_index, open_index
from lrat.retrieval.retriever import best_hits, snippet
from lrat.core.settings import InputError, LratError, RetrieverSettings

TEXTS = ["Oslo\nCapital of Norway.", "Bergen\nRainy city in the west of Norway.", "Uppsala\nOld university town in Sweden.",
         "Cheese\nFood made from milk.", "Milk\nA white drink from cows.", "Telescope\nLooks at stars.", "Comet\nIce with a tail.",
         "Loom\nWeaves cloth.", "Harbour\nShips lie here.", "Lighthouse\nA lamp for ships."]


@pytest.fixture(scope="module")
def encoder(): return Encoder("all-MiniLM-L6-v2", document_max_length=32)


@pytest.fixture
def corpus(tmp_path):
    write_corpus(tmp_path/"corpus.jsonl", [Document(f"d{n}", text) for n, text in enumerate(TEXTS)])
    return open_corpus(tmp_path/"corpus.jsonl")


def test_dense_search_is_exact(corpus, encoder, tmp_path):
    build_dense(corpus, encoder, tmp_path/"i", shard_size=3)
    scores = encoder.encode_documents(TEXTS) @ encoder.encode_queries(["something to eat"])[0]
    hits = DenseRetriever(tmp_path/"i", corpus, encoder).search("something to eat", 100)
    assert [h.docid for h in hits] == [f"d{n}" for n in np.argsort(-scores)]
    assert np.allclose([h.score for h in hits], np.sort(scores)[::-1], atol=1e-5)


def test_more_equal_documents_than_asked_for_are_ordered_by_docid(encoder, tmp_path):
    write_corpus(tmp_path/"c.jsonl", [Document(f"{n:03}", "The very same text") for n in reversed(range(40))])
    corpus = open_corpus(tmp_path/"c.jsonl")
    build_dense(corpus, encoder, tmp_path/"i")
    assert [h.docid for h in DenseRetriever(tmp_path/"i", corpus, encoder).search("text", 3)] == ["000", "001", "002"]


def test_a_killed_build_encodes_only_what_is_missing(corpus, encoder, tmp_path, monkeypatch):
    whole = tmp_path/"whole"
    assert build_dense(corpus, encoder, whole, shard_size=3) == 4
    encode, calls = encoder.encode_documents, []

    def killed_at_the_third(texts, **options):
        calls.append(len(texts))
        if len(calls) == 3: raise KeyboardInterrupt
        return encode(texts, **options)

    monkeypatch.setattr(encoder, "encode_documents", killed_at_the_third)
    with pytest.raises(KeyboardInterrupt): build_dense(corpus, encoder, tmp_path/"half", shard_size=3)
    assert len(list((tmp_path/"half").glob("shard-*.npy"))) == 2
    monkeypatch.setattr(encoder, "encode_documents", encode)
    assert build_dense(corpus, encoder, tmp_path/"half", shard_size=3) == 2
    for number in range(4):
        for one, other in zip(shard_paths(whole, number), shard_paths(tmp_path/"half", number)): assert one.read_bytes() == other.read_bytes()


def test_an_index_of_another_model_is_refused(corpus, tmp_path):
    build_index(corpus.path, "dense", tmp_path/"i", retriever=RetrieverSettings(query_max_length=16))
    with pytest.raises(LratError, match="holds another index"):
        build_index(corpus.path, "dense", tmp_path/"i", retriever=RetrieverSettings(query_max_length=16, query_prompt="query: "))
    about = json.loads((tmp_path/"i"/"index.json").read_text())
    about["encoder"]["weights"] = ["0" * 64]
    (tmp_path/"i"/"index.json").write_text(json.dumps(about))
    with pytest.raises(LratError, match="built with another model .*weights 000000000000"): open_index(tmp_path/"i")


def test_unfinished_missing_and_damaged_indexes(corpus, tmp_path):
    with pytest.raises(LratError, match="holds no finished index"): open_index(tmp_path/"none")
    (tmp_path/"i").mkdir()
    (tmp_path/"i"/"index.json").write_text("{}")
    with pytest.raises(InputError, match="has no field 'kind'"): open_index(tmp_path/"i")


def test_a_changed_corpus_is_noticed(corpus, tmp_path):
    build_index(corpus.path, "bm25", tmp_path/"i")
    write_corpus(corpus.path, [Document("d0", "Other")])
    with pytest.raises(LratError, match="another state of"): open_index(tmp_path/"i")


def test_bm25_takes_any_text(corpus, tmp_path):
    build_index(corpus.path, "bm25", tmp_path/"i")
    retriever = open_index(tmp_path/"i")
    assert retriever.search("  ", 3) == [] and retriever.search("zebra", 3) == []
    for query in ('oslo AND (', '"oslo', "oslo *~^[:", "oslo \\"): assert retriever.search(query, 3)[0].docid == "d0"
    assert {h.docid for h in retriever.search("norway", 100)} == {"d0", "d1"}
    assert retriever.document("d3").title == "Cheese"


def test_snippets_are_cut_from_the_text():
    text = "Uppsala\n" + "Many words follow here. " * 200
    cut = snippet(text, 64)
    assert text.startswith(cut) and len(re.findall(r"\w+|[^\w\s]", cut)) == 64
    assert snippet("", 5) == "" and snippet(" " * 5000, 5) == ""


def test_ties_go_by_docid():
    assert [h.docid for h in best_hits([("b", 1.), ("a", 1.), ("c", 2.)], 2)] == ["c", "a"]
