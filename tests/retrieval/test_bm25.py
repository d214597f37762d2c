"Lucene takes any corpus and any query, and what goes wrong in it is one line."
import json, shutil

import pytest

pytest.importorskip("pyserini")
from lrat.core.settings import LratError
from lrat.data.corpus import open_corpus
from lrat.retrieval.bm25 import BM25Retriever, build_bm25, start_lucene
from lrat.retrieval.index import build_index, index_command, open_index, search_command


def corpus_of(folder, texts):
    (folder/"c.jsonl").write_text("".join(json.dumps({"docid": str(n), "text": text}) + "\n" for n, text in enumerate(texts)))
    return folder/"c.jsonl"


def test_empty_documents_are_kept(tmp_path, capsys):
    corpus = corpus_of(tmp_path, ["uppsala university", "", " \n", "\x00", "\u3000", "!?", "lund"])
    index_command(str(corpus), str(tmp_path/"i"), kind="bm25")
    assert "bm25 index of 7 documents" in capsys.readouterr().out
    assert [hit.docid for hit in open_index(tmp_path/"i").search("uppsala . !?", 9)] == ["0"]
    search_command(str(tmp_path/"i"), "lund", k=9)
    printed = capsys.readouterr()
    assert " 6  " in printed.out and "holds 7 documents, fewer than --k 9" in printed.err


def test_a_query_of_thousands_of_words_is_answered_and_so_are_those_beside_it(tmp_path):
    retriever = open_index(build_index(corpus_of(tmp_path, [f"town {n}" for n in range(9)]), "bm25", tmp_path/"i") and tmp_path/"i")
    long = " ".join(f"w{n}" for n in range(5000)) + " 7"
    assert [[hit.docid for hit in hits][:1] for hits in retriever.search_batch([long, "5", "", "half \ud800 of 3"], 3)] == [["7"], ["5"], [], ["3"]]
    assert retriever.search(long, 1)[0].docid == "7"
    for k in (0, -1):
        with pytest.raises(LratError, match=f"k is {k}; it must be at least 1"): retriever.search("town", k)


def test_what_fails_in_java_is_one_line(tmp_path, monkeypatch):
    corpus = open_corpus(corpus_of(tmp_path, ["uppsala", "lund"]))
    build_bm25(corpus, tmp_path/"i")
    retriever = BM25Retriever(tmp_path/"i", corpus)
    monkeypatch.setattr("lrat.retrieval.bm25.min", lambda *sizes: -1, raising=False) # Lucene is asked for less than nothing
    for queries in (["lund"], ["lund", "uppsala"]):
        with pytest.raises(LratError, match=r"i: could not be searched \(java") as caught: retriever.search_batch(queries, 1)
        assert "\n" not in str(caught.value)
    shutil.rmtree(tmp_path/"i")
    with pytest.raises(LratError, match="is not a Lucene index that can be read"): BM25Retriever(tmp_path/"i", corpus)


def test_a_build_is_counted_before_it_takes_its_name(tmp_path, monkeypatch):
    corpus = corpus_of(tmp_path, ["uppsala", "lund", "oslo"])
    _, indexing = start_lucene()
    from jnius import JavaException # Not before the virtual machine has its options
    add, added = indexing.LuceneIndexer.add_doc_dict, []
    def losing(indexer, row):
        added.append(row)
        if len(added) != 2: add(indexer, row)
    with monkeypatch.context() as patch:
        patch.setattr(indexing.LuceneIndexer, "add_doc_dict", losing)
        with pytest.raises(LratError, match="Lucene kept 2 of 3 documents"): build_index(corpus, "bm25", tmp_path/"i")
    close = indexing.LuceneIndexer.close
    def full(indexer):
        close(indexer)
        raise JavaException("No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr(indexing.LuceneIndexer, "close", full)
        with pytest.raises(LratError, match="could not be built .No space left on device"): build_index(corpus, "bm25", tmp_path/"i")
    assert not (tmp_path/"i"/"index.json").exists() and not (tmp_path/"i"/"lucene").exists()
    build_index(corpus, "bm25", tmp_path/"i")
    assert open_index(tmp_path/"i").search("lund", 1)[0].docid == "1"


THAI = ["มหาวิทยาลัยอุปซอลาเป็นมหาวิทยาลัยที่เก่าแก่ที่สุดในสแกนดิเนเวีย", "กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทย", "สวัสดี", ""]


def test_a_build_that_failed_can_be_done_again_by_the_same_process(tmp_path, monkeypatch):
    corpus = corpus_of(tmp_path, ["uppsala", "lund"])
    with monkeypatch.context() as patch:
        patch.setattr("lrat.retrieval.bm25._BLANK", None.__class__) # Fails at the first document
        with pytest.raises(TypeError): build_index(corpus, "bm25", tmp_path/"i")
    assert build_index(corpus, "bm25", tmp_path/"i")["documents"] == 2


def test_languages(tmp_path, capsys):
    corpus = corpus_of(tmp_path, THAI)
    index_command(str(corpus), str(tmp_path/"en"), kind="bm25")
    assert "looks like th, but is indexed as en; if it is, build another index with --language th" in capsys.readouterr().err
    assert open_index(tmp_path/"en").search("มหาวิทยาลัย", 3) == []
    index_command(str(corpus), str(tmp_path/"th"), kind="bm25", language="th")
    assert "looks like" not in capsys.readouterr().err
    thai = open_index(tmp_path/"th")
    assert [[hit.docid for hit in hits][:1] for hits in thai.search_batch(["มหาวิทยาลัย", "เมืองหลวง", "Oslo"], 3)] == [["0"], ["1"], []]
    assert thai.identity()["language"] == "th"
    with pytest.raises(LratError, match="holds another index .language th, not en"): build_index(corpus, "bm25", tmp_path/"th")
    with pytest.raises(LratError, match="unknown language 'klingon'; choose --language from en, ar"): build_index(corpus, "bm25", tmp_path/"x", language="klingon")
    with pytest.raises(LratError, match="kind dense matches no words of a language"): build_index(corpus, "dense", tmp_path/"x", language="th")
    german = corpus_of(tmp_path, ["Die Häuser von Lund", "Ein Turm"])
    build_index(german, "bm25", tmp_path/"de", language="de")
    assert [hit.docid for hit in open_index(tmp_path/"de").search("das Haus", 2)] == ["0"]
