"Rerankers as a second stage, and indexes of sparse and late-interaction models: order, identity, resuming, and mistakes in one line."
import json

import numpy as np
import pytest

pytest.importorskip("sentence_transformers")
import lrat
from lrat.agents.actions import Budget
from lrat.agents.collect import collect, collection_metadata, open_policy
from lrat.core.cli import main
from lrat.core.files import read_json, write_json
from lrat.core.settings import LratError, RetrieverSettings
from lrat.data.corpus import Document, open_corpus, write_corpus
from lrat.retrieval.array_shards import best_rows
from lrat.retrieval.index import build_index, open_index
from lrat.retrieval.library_models import model_kind
from lrat.retrieval.query_forms import form_of
from lrat.retrieval.rerank import RerankedRetriever, Reranker
from lrat.retrieval.retriever import Retriever
from lrat.serving.command import make_service
from lrat.testing.encoders import WORDS, save_tiny
from lrat.testing.museum import DOCUMENTS, QUESTIONS, write_museum
from lrat.testing.retriever import WordRetriever


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    "The museum, a model of each kind, and an index of each of two kinds"
    from sentence_transformers import MultiVectorEncoder, SparseEncoder
    folder = tmp_path_factory.mktemp("made")
    corpus, _ = write_museum(folder)
    words = sorted({word for d in DOCUMENTS for word in d.text.replace(",", " ").replace(".", " ").split()})
    save_tiny(folder/"encoder", words=words)
    save_tiny(folder/"reranker", head="SequenceClassification", words=words)
    save_tiny(folder/"base", head="MaskedLM", words=words)
    SparseEncoder(str(folder/"base"), device="cpu").save_pretrained(str(folder/"sparse"), create_model_card=False)
    MultiVectorEncoder(str(folder/"encoder"), device="cpu").save_pretrained(str(folder/"late-interaction"), create_model_card=False)
    for kind in ("sparse", "late-interaction"): build_index(corpus, kind, folder/f"{kind}-index", folder/kind)
    return folder


def run(capsys, *words):
    status = 0
    try: main([str(word) for word in words])
    except SystemExit as error: status = error.code
    return status, *capsys.readouterr()


# The second stage

class Lengths:
    "A reranker that prefers short documents, and gives some the same score"
    def __init__(self): self.asked = []
    def identity(self): return {"kind": "lengths"}
    def scores(self, query, texts):
        self.asked.append((query, len(texts)))
        return [-(len(text) // 40) for text in texts]


def test_it_orders_the_first_documents_and_breaks_ties_by_docid():
    words = WordRetriever()
    first = [hit.docid for hit in words.search(QUESTIONS[0].text, 8)]
    found = RerankedRetriever(words, Lengths(), depth=8).search(QUESTIONS[0].text, 3)
    expected = sorted(first, key=lambda docid: (len(words.document(docid).text) // 40, docid))
    assert [hit.docid for hit in found] == expected[:3]


def test_depth_k_and_repeated_queries():
    ranker = Lengths()
    both = RerankedRetriever(WordRetriever(), ranker, depth=4)
    lists = both.search_batch(["lens", "bell", "lens"], 2)
    assert lists[0] == lists[2] and [len(found) for found in lists] == [2, 2, 2] and {n for _, n in ranker.asked} == {4}
    assert len(both.search("lens", 9)) == 9 and ranker.asked[-1][1] == 9
    assert isinstance(both, Retriever) and both.search_batch([], 3) == []
    with pytest.raises(LratError, match="k is 0"): both.search("lens", 0)
    with pytest.raises(LratError, match="depth is 0"): RerankedRetriever(WordRetriever(), Lengths(), 0)


def test_fewer_documents_than_asked_for_and_scores_that_are_not_finite():
    class Broken(Lengths):
        def scores(self, query, texts): return [float("nan")] * len(texts)
    few = RerankedRetriever(WordRetriever(DOCUMENTS[:2]), Lengths())
    assert len(few.search("lens", 10)) == 2
    with pytest.raises(LratError, match="score of document .* is nan"): RerankedRetriever(WordRetriever(), Broken()).search("lens", 2)


@pytest.mark.parametrize("kind", ["reranker", "late-interaction"])
def test_a_score_does_not_depend_on_what_stands_beside_it(made, kind):
    ranker, texts = Reranker(made/kind, device="cpu"), [d.text for d in DOCUMENTS]
    whole = ranker.scores("a lens", texts)
    assert whole.dtype == np.float32 and (ranker.scores("a lens", texts) == whole).all() and len(set(whole.tolist())) > 8
    both = RerankedRetriever(WordRetriever(), ranker, 6)
    alone, together = both.search("lens of a lamp", 4), both.search_batch(["a bell", "lens of a lamp"], 4)[1]
    assert alone == together
    assert ranker.scores("half \ud800", texts[:1]).shape == (1,) # Half a character, as language models write


def test_the_identity_names_both_stages_and_reaches_trajectories_and_servers(made, tmp_path):
    index = made/"sparse-index"
    plain, both, deeper, other = (open_index(index, rerank=model, depth=depth) for model, depth in
                                  (("", None), (made/"reranker", None), (made/"reranker", 7), (made/"late-interaction", None)))
    assert both.identity()["of"] == plain.identity() and both.identity()["depth"] == 100
    assert len({json.dumps(r.identity()) for r in (plain, both, deeper, other)}) == 4
    policy = open_policy("hasty", plain.corpus)
    assert collection_metadata(both, policy, Budget(), "words")["index"] == both.identity()
    service = make_service(str(index), "http", str(tmp_path/"recorded"), rerank=str(made/"reranker"), depth=5)
    assert service.retriever.identity()["depth"] == 5 and service.retriever.name == "sparse+rerank"


def test_a_collection_with_another_reranker_is_refused(made, tmp_path):
    def go(**options): return lrat.collect(made/"questions.tsv", lrat.open_index(made/"sparse-index", **options), tmp_path/"runs", agent="hasty", rounds=3)
    run = read_json(next(iter(go(rerank=made/"reranker", depth=4).path.glob("run_*.json"))))
    assert run["metadata"]["index"]["kind"] == "reranked" and run["metadata"]["index"]["depth"] == 4
    go(rerank=str(made/"reranker"), depth=4) # Nothing is left to do
    for options in ({}, {"rerank": made/"reranker"}):
        with pytest.raises(LratError, match="was made with"): go(**options)


def test_the_query_form_of_the_first_stage_holds(made):
    class Encoder: folder = made/"formed"
    class First(WordRetriever): encoder = Encoder()
    from lrat.retrieval.query_forms import query_form, write_query_form
    (made/"formed").mkdir()
    write_query_form(made/"formed", query_form("question"))
    assert form_of(RerankedRetriever(First(), Lengths())) == query_form("question") and form_of(RerankedRetriever(WordRetriever(), Lengths())).name == "query"


@pytest.mark.parametrize("options,said", [
    (["--rerank", "encoder"], "is a bert model, not a reranker or a late-interaction model"),
    (["--rerank", "all-MiniLM-L6-v2"], "is an encoder, not a reranker or a late-interaction model (index with it by lrat index --kind dense --model); "
                                       "train one from it with lrat train --kind reranker --model all-MiniLM-L6-v2"),
    (["--rerank", "sparse"], "is a sparse encoder, not a reranker"), (["--depth", "5"], "--depth 5 means nothing without --rerank"),
    (["--rerank", "reranker", "--depth", "0"], "--depth is 0"), (["--rerank", "nowhere"], "nowhere"), (["--rerank", "pickled"], "never opened here"),
    (["--rerank", "labels"], "gives 3 scores"), (["--rerank", "adapter"], "holds an adapter"), (["--rerank", "damaged"], "that can be loaded")])
def test_what_cannot_rerank_is_one_line(made, capsys, monkeypatch, options, said):
    monkeypatch.chdir(made)
    spoil(made)
    status, out, wrong = run(capsys, "search", "sparse-index", "a lens", *options)
    assert status == 2 and not out and said in wrong.strip().splitlines()[-1] and "Traceback" not in wrong


def spoil(made):
    "Folders that are no rerankers"
    if (made/"pickled").exists(): return
    import shutil, transformers
    write_json(made/"pickled"/"config.json", {"architectures": ["BertForSequenceClassification"]})
    (made/"pickled"/"pytorch_model.bin").write_bytes(b"")
    save_tiny(made/"labels", head="SequenceClassification")
    config = transformers.BertConfig.from_pretrained(made/"labels", num_labels=3)
    transformers.BertForSequenceClassification(config).save_pretrained(made/"labels")
    for name in ("adapter", "damaged"): shutil.copytree(made/"reranker", made/name)
    write_json(made/"adapter"/"adapter_config.json", {})
    (made/"damaged"/"model.safetensors").write_bytes(b"nothing")


# Indexes

def test_a_reranker_or_sparse_model_is_no_encoder(made, tmp_path, capsys):
    from sentence_transformers import CrossEncoder
    CrossEncoder(str(made/"reranker"), device="cpu").save_pretrained(str(made/"saved"), create_model_card=False)
    for name, kind, use in (("saved", "reranker", "--rerank"), ("sparse", "sparse", "--kind sparse"), ("late-interaction", "late-interaction", "--kind late-interaction")):
        assert model_kind(made/name) == kind
        status, _, wrong = run(capsys, "index", made/"corpus.jsonl", "--model", made/name, "--out", tmp_path/"new")
        assert status == 2 and use in wrong.strip().splitlines()[-1] and wrong.strip().endswith("name an encoder")


@pytest.mark.parametrize("kind", ["sparse", "late-interaction"])
def test_an_index_knows_its_model_and_its_corpus(made, tmp_path, kind, capsys):
    import shutil
    for name in (f"{kind}-index", kind, "corpus.jsonl"): (shutil.copytree if (made/name).is_dir() else shutil.copy)(made/name, tmp_path/name)
    before = [hit for question in QUESTIONS for hit in open_index(tmp_path/f"{kind}-index").search(question.text, 5)]
    assert before == [hit for found in open_index(made/f"{kind}-index").search_batch([q.text for q in QUESTIONS], 5) for hit in found]
    save_tiny(tmp_path/"other", seed=5, head="MaskedLM" if kind == "sparse" else "")
    from safetensors.numpy import load_file, save_file
    weights = load_file(tmp_path/kind/"model.safetensors")
    save_file({name: value * np.float32(1.5) for name, value in weights.items()}, tmp_path/kind/"model.safetensors", metadata={"format": "pt"})
    with pytest.raises(LratError, match="was built with another model"): open_index(tmp_path/f"{kind}-index")
    with pytest.raises(LratError, match="holds another index"): build_index(tmp_path/"corpus.jsonl", kind, tmp_path/f"{kind}-index", tmp_path/kind)


@pytest.mark.parametrize("kind", ["sparse", "late-interaction"])
def test_a_byte_that_changed_is_not_searched(made, tmp_path, kind):
    import shutil
    for name in (f"{kind}-index", kind, "corpus.jsonl"): (shutil.copytree if (made/name).is_dir() else shutil.copy)(made/name, tmp_path/name)
    array = max((tmp_path/f"{kind}-index").rglob("shard-00000.*.npy"), key=lambda path: path.stat().st_size)
    data = array.read_bytes()
    array.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(LratError, match=f"{array.name}: has changed since it was written"): open_index(tmp_path/f"{kind}-index")


@pytest.mark.parametrize("kind", ["sparse", "late-interaction"])
def test_a_build_that_was_stopped_resumes(made, tmp_path, monkeypatch, kind):
    from lrat.retrieval import index as module
    encoder, build, retriever = module._MODELS[kind]
    monkeypatch.setitem(module._MODELS, kind, (encoder, lambda c, e, out: build(c, e, out, 5), retriever))
    calls, encode = [], encoder.encode if kind == "sparse" else encoder.documents
    def stopped(self, texts, *args, **kwargs):
        calls.append(len(texts))
        if len(calls) == 3: raise KeyboardInterrupt
        return encode(self, texts, *args, **kwargs)
    monkeypatch.setattr(encoder, "encode" if kind == "sparse" else "documents", stopped)
    with pytest.raises(KeyboardInterrupt): build_index(made/"corpus.jsonl", kind, tmp_path/"index", made/kind)
    with pytest.raises(LratError, match="holds no finished index"): open_index(tmp_path/"index")
    build_index(made/"corpus.jsonl", kind, tmp_path/"index", made/kind)
    assert calls == [5, 5, 5, 5, 1]
    small, large = open_index(tmp_path/"index"), open_index(made/f"{kind}-index") # Shards of another size give the same results
    for question in QUESTIONS[:2]:
        one, other = small.search(question.text, 6), large.search(question.text, 6)
        assert [hit.score for hit in one] == pytest.approx([hit.score for hit in other], abs=2e-2)


def test_equal_scores_are_ordered_by_docid_and_a_cut_drops_none_of_the_better(made, tmp_path):
    documents = [Document(f"d{n:02}", DOCUMENTS[n % 3].text) for n in reversed(range(12))]
    write_corpus(tmp_path/"corpus.jsonl", documents)
    for kind in ("sparse", "late-interaction"):
        build_index(tmp_path/"corpus.jsonl", kind, tmp_path/kind, made/kind)
        found = open_index(tmp_path/kind).search("lens", 5)
        whole = open_index(tmp_path/kind).search("lens", 12)
        assert found == whole[:5]
        for score in {np.float32(hit.score) for hit in whole}:
            same = [hit.docid for hit in whole if np.float32(hit.score) == score]
            assert same == sorted(same)
    assert best_rows(np.array([1., 1., 0.]), 1).tolist() == [0, 1]


@pytest.mark.parametrize("words,said", [
    (["--kind", "sparse"], "--model is missing; name a sparse encoder"), (["--kind", "sparse", "--model", "reranker"], "is a reranker, not a sparse encoder"),
    (["--kind", "late-interaction", "--model", "encoder"], "is a bert model, not a late-interaction model"),
    (["--kind", "sparse", "--model", "sparse", "--pooling", "cls"], "leave out pooling"), (["--kind", "sparse", "--model", "sparse", "--processes", "2"], "leave out pooling"),
    (["--kind", "late-interaction", "--model", "late-interaction", "--store_dtype", "float16"], "leave out pooling")])
def test_what_cannot_be_indexed_is_one_line(made, tmp_path, capsys, monkeypatch, words, said):
    monkeypatch.chdir(made)
    status, _, wrong = run(capsys, "index", "corpus.jsonl", "--out", tmp_path/"new", *words)
    assert status == 2 and said in wrong.strip().splitlines()[-1] and not (tmp_path/"new"/"index.json").exists()


def test_they_are_parts_of_hybrids(made, tmp_path):
    of = [made/"sparse-index", made/"late-interaction-index"]
    build_index(made/"corpus.jsonl", "hybrid", tmp_path/"both", of=of)
    assert len(open_index(tmp_path/"both", rerank=made/"reranker", depth=6).search("a lens", 4)) == 4


def test_an_option_of_a_missing_library_names_the_extra(monkeypatch):
    import importlib
    real = importlib.import_module
    def missing(name, *args):
        if name.startswith("sentence_transformers"): raise ModuleNotFoundError(name=name)
        return real(name, *args)
    monkeypatch.setattr(importlib, "import_module", missing)
    from lrat.retrieval.library_models import load_library_model
    with pytest.raises(LratError, match=r"pip install 'lrat\[dense\]'"): load_library_model("reranker", "all-MiniLM-L6-v2")
