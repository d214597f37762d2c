"Every kind of index opens through `open_index`, says how exact it is, and refuses what it was not built of."
import json
import shutil
import sys

import numpy as np
import pytest

from lrat.data.corpus import Document, write_corpus
from lrat.retrieval.dense import on_gpus
from lrat.retrieval.fusion import HybridRetriever, fuse
from lrat.retrieval.index import KINDS, build_index, open_index
from lrat.retrieval.retriever import Hit, Retriever, best_hits
from lrat.core.settings import LratError, RetrieverSettings


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "A corpus of 120 documents with a BM25 and a dense index"
    folder = tmp_path_factory.mktemp("kinds")
    write_corpus(folder/"c.jsonl", [Document(f"{n:03}", f"Number {n}\nThe number {n} comes after {n - 1}.") for n in range(120)])
    write_corpus(folder/"other.jsonl", [Document("1", "Another corpus")])
    short = RetrieverSettings(query_max_length=16, document_max_length=16)
    build_index(folder/"c.jsonl", "bm25", folder/"bm25")
    build_index(folder/"c.jsonl", "dense", folder/"dense", retriever=short)
    build_index(folder/"other.jsonl", "bm25", folder/"elsewhere")
    return folder


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_recall_is_measured_against_exact_search_and_kept(folder, kind):
    about = build_index(folder/"c.jsonl", kind, folder/kind, of=[folder/"dense"])
    retriever, exact = open_index(folder/kind), open_index(folder/"dense")
    titles = [retriever.corpus.at(int(row)).title for row in np.linspace(0, 119, 120).astype(int)]
    pairs = zip(retriever.search_batch(titles, 10), exact.search_batch(titles, 10))
    shared = np.mean([len({h.docid for h in ours} & {h.docid for h in theirs}) / 10 for ours, theirs in pairs])
    assert about["recall"] == pytest.approx(shared, abs=.01) # Ties at the cut may be counted either way
    assert json.loads((folder/kind/"index.json").read_text())["recall"] == about["recall"]
    assert build_index(folder/"c.jsonl", kind, folder/kind, of=[folder/"dense"]) == about
    assert isinstance(retriever, Retriever) and retriever.identity()["kind"] == kind != exact.identity()["kind"]


def test_a_dense_index_is_what_it_was(folder):
    about = json.loads((folder/"dense"/"index.json").read_text())
    assert list(about) == ["kind", "corpus", "corpus_sha256", "documents", "model", "retriever", "encoder"]
    assert list(json.loads((folder/"bm25"/"index.json").read_text())) == ["kind", "corpus", "corpus_sha256", "documents", "k1", "b"]


@pytest.mark.parametrize("kind,of,says", [
    ("hnsw", [], "one finished dense index"), ("hnsw", ["dense", "dense"], "one finished dense index"), ("ivf", ["bm25"], "of kind bm25"),
    ("hybrid", ["dense"], "two finished indexes or more"), ("hybrid", ["dense", "nowhere"], "holds no finished index"),
    ("hybrid", ["dense", "elsewhere"], "another corpus"), ("colbert", [], "choose one of: bm25, dense, reasonir, hnsw, ivf, hybrid"),
])
def test_what_an_index_cannot_be_built_of(folder, tmp_path, kind, of, says):
    with pytest.raises(LratError, match=says): build_index(folder/"c.jsonl", kind, tmp_path/"i", of=[folder/name for name in of])
    assert not (tmp_path/"i"/"index.json").exists()


def test_an_index_whose_dense_index_was_built_anew_is_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path/"all")
    at = tmp_path/"all"
    build_index(at/"c.jsonl", "hnsw", at/"graph", of=[at/"dense"])
    about = json.loads((at/"dense"/"index.json").read_text())
    about["encoder"]["query_prompt"] = "query: "
    (at/"dense"/"index.json").write_text(json.dumps(about))
    with pytest.raises(LratError, match="another state of"): open_index(at/"graph")
    shutil.rmtree(at/"dense")
    with pytest.raises(LratError, match="holds no finished index"): open_index(at/"graph")


def test_a_killed_build_of_a_graph_is_done_again(folder, tmp_path, monkeypatch):
    def killed(*args): raise KeyboardInterrupt
    with monkeypatch.context() as patch:
        patch.setattr("lrat.retrieval.index.measured_recall", killed)
        with pytest.raises(KeyboardInterrupt): build_index(folder/"c.jsonl", "hnsw", tmp_path/"i", of=[folder/"dense"])
    with pytest.raises(LratError, match="no finished index"): open_index(tmp_path/"i")
    assert build_index(folder/"c.jsonl", "hnsw", tmp_path/"i", of=[folder/"dense"])["recall"] > .9


def test_a_graph_cut_short_is_refused(folder, tmp_path):
    build_index(folder/"c.jsonl", "hnsw", tmp_path/"i", of=[folder/"dense"])
    with open(tmp_path/"i"/"vectors.faiss", "r+b") as file: file.truncate(1000)
    with pytest.raises(LratError, match="not a complete FAISS index"): open_index(tmp_path/"i")


def test_hybrid_is_the_sum_of_reciprocal_ranks(folder, tmp_path):
    build_index(folder/"c.jsonl", "hybrid", tmp_path/"i", of=[folder/"bm25", folder/"dense"])
    hybrid, lists = open_index(tmp_path/"i"), [open_index(folder/kind).search("number 17", 100) for kind in ("bm25", "dense")]
    scores = {}
    for hits in lists:
        for rank, hit in enumerate(hits): scores[hit.docid] = scores.get(hit.docid, 0) + 1 / (61 + rank)
    assert hybrid.search("number 17", 7) == best_hits(scores.items(), 7) == hybrid.search_batch(["other", "number 17"], 7)[1]
    assert fuse([[], []], 5) == [] and fuse([[Hit("b", 1.)], [Hit("a", 9.)]], 5) == [Hit("a", 1/61), Hit("b", 1/61)]
    assert hybrid.document("017").title == "Number 17"


def test_retrievers_over_different_corpora_are_not_fused(folder):
    with pytest.raises(LratError, match="different corpora"): HybridRetriever([open_index(folder/"bm25"), open_index(folder/"elsewhere")])


def test_on_a_gpu_results_are_the_same_and_k_is_bounded(folder, monkeypatch):
    "FAISS with a GPU is not to be had everywhere; here one is made out of the CPU's own index"
    import faiss
    before = open_index(folder/"dense").search("number 17", 20)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(faiss, "index_cpu_to_all_gpus", faiss.clone_index, raising=False)
    moved = open_index(folder/"dense")
    assert moved.search("number 17", 20) == before
    with pytest.raises(LratError, match="at most 2048"): moved.search("number 17", 3000)
    graph = faiss.index_factory(4, "HNSW32,Flat", faiss.METRIC_INNER_PRODUCT)
    assert on_gpus(graph) == (graph, sys.maxsize) # FAISS keeps graphs on the CPU


def test_the_models_own_code_runs_only_where_it_is_named(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("LRAT_TRUST_REMOTE_CODE", "another/model,reasonir")
    with pytest.raises(LratError, match="export LRAT_TRUST_REMOTE_CODE=reasonir/ReasonIR-8B"):
        build_index(folder/"c.jsonl", "reasonir", tmp_path/"i")
    assert KINDS["reasonir"].settings.query_prompt.endswith("<|embed|>\n")
