"Every kind of index opens through `open_index`, says how exact it is, and refuses what it was not built of."
import json
import shutil
import sys

import numpy as np
import pytest

from lrat.data.corpus import Document, write_corpus
from lrat.data.questions import read_trec_run, write_trec_run
from lrat.evaluation.scores import score_rankings
from lrat.retrieval.dense import DenseRetriever, on_gpus
from lrat.retrieval.encoder import Encoder
from lrat.retrieval.fusion import HybridRetriever, fuse
from lrat.retrieval.index import KINDS, build_index, open_index
from lrat.retrieval.retriever import Hit, Retriever, best_hits
from lrat.retrieval.shards import write_shard
from lrat.core.settings import LratError, RetrieverSettings
from lrat.testing.encoders import save_tiny


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
    ("hybrid", ["dense", "elsewhere"], "another corpus"), ("colbert", [], "choose one of: bm25, dense, reasonir, sparse, late-interaction, hnsw, ivf, hybrid"),
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
    with pytest.raises(LratError, match="vectors.faiss: has changed since it was written, by the hash in vectors.sha256"): open_index(tmp_path/"i")
    (tmp_path/"i"/"vectors.sha256").unlink()  # As beside an index of an earlier version
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


def test_an_approximate_index_of_documents_without_titles(tmp_path):
    (tmp_path/"c.jsonl").write_text("".join(json.dumps({"docid": str(n), "text": f"\nlund {n}"}) + "\n" for n in range(3)))
    (tmp_path/"e.jsonl").write_text("".join(json.dumps({"docid": str(n), "text": " \n"}) + "\n" for n in range(3)))
    model = save_tiny(tmp_path/"tiny")
    for name, queries in (("c", 3), ("e", None)): # Other lines than the first serve as queries; without any, recall is left out
        build_index(tmp_path/f"{name}.jsonl", "dense", tmp_path/name, str(model))
        for kind in ("hnsw", "ivf"):
            about = build_index(tmp_path/f"{name}.jsonl", kind, tmp_path/f"{name}-{kind}", of=[tmp_path/name])
            assert about.get("queries") == queries and ("recall" in about) == bool(queries)
            assert len(open_index(tmp_path/f"{name}-{kind}").search("lund", 3)) == 3


def test_a_corpus_that_moved_is_noted_and_another_is_refused(tmp_path):
    model = save_tiny(tmp_path/"tiny")
    (tmp_path/"new").mkdir()
    (tmp_path/"c.jsonl").write_text('{"docid":"1","text":"baran"}\n')
    build_index(tmp_path/"c.jsonl", "dense", tmp_path/"i", str(model))
    (tmp_path/"c.jsonl").rename(tmp_path/"new"/"c.jsonl")
    with pytest.raises(LratError, match="its corpus is not at .*c.jsonl; if it was moved, run the command that built this index with the new place"):
        open_index(tmp_path/"i")
    before = (tmp_path/"i"/"shard-00000.npy").stat().st_mtime_ns
    assert build_index(tmp_path/"new"/"c.jsonl", "dense", tmp_path/"i", str(model))["corpus"] == "../new/c.jsonl"
    assert open_index(tmp_path/"i").search("baran", 1)[0].docid == "1" and (tmp_path/"i"/"shard-00000.npy").stat().st_mtime_ns == before
    (tmp_path/"other.jsonl").write_text('{"docid":"1","text":"cesel"}\n')
    with pytest.raises(LratError, match="holds another index .corpus_sha256"): build_index(tmp_path/"other.jsonl", "dense", tmp_path/"i", str(model))
    assert open_index(tmp_path/"i").document("1").text == "baran"


def test_every_build_is_counted_before_it_counts_as_finished(tmp_path, monkeypatch):
    model = save_tiny(tmp_path/"tiny")
    write_corpus(tmp_path/"c.jsonl", [Document(str(n), f"baran {n}") for n in range(5)])
    def lost(corpus, encoder, out): write_shard(out, 0, encoder.encode_documents(["baran"] * 4), list("0123"))
    with pytest.raises(LratError, match="holds vectors of 4 of 5 documents"): build_index(tmp_path/"c.jsonl", "dense", tmp_path/"i", str(model), fill=lost)
    assert not (tmp_path/"i"/"index.json").exists()
    build_index(tmp_path/"c.jsonl", "dense", tmp_path/"dense", str(model))
    import faiss
    class Losing:
        def __init__(self, *arguments): self.index, self.is_trained, self.ntotal = None, True, 4
        def add(self, vectors): pass
    with monkeypatch.context() as patch:
        patch.setattr(faiss, "index_factory", Losing)
        patch.setattr(faiss.ParameterSpace, "set_index_parameters", lambda *arguments: None)
        with pytest.raises(LratError, match="took 4 of 5 vectors"): build_index(tmp_path/"c.jsonl", "hnsw", tmp_path/"g", of=[tmp_path/"dense"])
    assert not (tmp_path/"g"/"vectors.faiss").exists()


def trec_eval(rankings, qrels):
    "What trec_eval itself says of a run file's scores, which it keeps as float32"
    return pytest.importorskip("pytrec_eval").RelevanceEvaluator(qrels, {"recip_rank"}).evaluate(rankings)


def test_every_reader_of_a_run_file_keeps_our_order(tmp_path):
    "Duplicates of a dense index, two lists of a hybrid that swap two documents, and scores that float32 cannot tell apart"
    model = save_tiny(tmp_path/"tiny")
    write_corpus(tmp_path/"c.jsonl", [Document(str(n), "the very same") for n in range(14)])
    build_index(tmp_path/"c.jsonl", "dense", tmp_path/"i", str(model))
    duplicates = open_index(tmp_path/"i").search("same", 14)
    swapped = fuse([[Hit("10", 2.), Hit("9", 1.)], [Hit("9", 2.), Hit("10", 1.)]], 2)
    near = best_hits([("b", .3), ("a", .1 + .2 - 1e-10), ("c", .2)], 3)
    assert [h.docid for h in swapped] == ["10", "9"] and [h.docid for h in near] == ["a", "b", "c"]
    for hits in (duplicates, swapped, near, [Hit("z", 0.), Hit("y", 0.), Hit("x", 0.)], [Hit("z", -1.), Hit("y", -1.)]):
        write_trec_run(tmp_path/"run", {"q": hits}, "x")
        read, order = read_trec_run(tmp_path/"run"), [hit.docid for hit in hits]
        assert sorted(read["q"], key=lambda docid: -np.float32(read["q"][docid])) == order and len(set(map(np.float32, read["q"].values()))) == len(hits)
        for rank, docid in enumerate(order, 1):
            assert trec_eval(read, {"q": {docid: 1}})["q"]["recip_rank"] == pytest.approx(1 / rank)
            if docid in ("a", "b", "c", "9", "10"): assert score_rankings(read, {"q": {docid: 1}}).column("mrr")[0] == pytest.approx(1 / rank)
        if len({np.float32(hit.score) for hit in hits}) < len(hits) and hits is not near: # In memory equal scores stand by docid
            assert score_rankings({"q": {h.docid: h.score for h in hits}}, {"q": {sorted(order)[0]: 1}}).column("mrr")[0] == 1


def test_scores_and_vectors_that_are_not_numbers_name_their_place(tmp_path):
    model = save_tiny(tmp_path/"tiny")
    write_corpus(tmp_path/"c.jsonl", [Document(str(n), f"baran {n}") for n in range(5)])
    build_index(tmp_path/"c.jsonl", "dense", tmp_path/"i", str(model))
    for bad in (float("nan"), float("inf")):
        with pytest.raises(LratError, match=f"the score of document b is {bad}"): best_hits([("a", 1.), ("b", bad)], 1)
    retriever = open_index(tmp_path/"i")
    damaged = open_index(tmp_path/"i")
    next(damaged.encoder.model.parameters()).data.fill_(float("nan"))
    with pytest.raises(LratError, match="the vector of the query 'cesel' is not finite"): damaged.search("cesel", 2)
    path = tmp_path/"i"/"shard-00000.npy"
    vectors = np.load(path)
    vectors[3, 0] = np.nan
    np.save(path, vectors)
    with pytest.raises(LratError, match="shard-00000.npy: has changed since it was written, .*; delete the index"): open_index(tmp_path/"i")
    path.with_suffix(".sha256").unlink() # As in an index of an earlier version
    with pytest.raises(LratError, match="shard-00000.npy: the vector of document 3 is not finite; delete the index"): open_index(tmp_path/"i")
    disk = DenseRetriever(tmp_path/"i", retriever.corpus, Encoder(str(model)), memory=0)
    with pytest.raises(LratError, match="the vector of document 3 is not finite"): disk.search("baran", 2)
    for k in (0, -3):
        with pytest.raises(LratError, match=f"k is {k}; it must be at least 1"): retriever.search("baran", k)
    assert len(retriever.search("baran", 50)) == 5
