"One rule for the fields of documents, whatever the layout; what cannot be read by it is refused, or named with --fields."
import gzip

import pytest
from lrat.core.settings import InputError, LratError
from lrat.data.corpus import Document, describe_documents, open_corpus
from lrat.mining.mine import mine_command
from lrat.retrieval.index import build_index, index_command, open_index

TEXT = "Uppsala\nIts university was founded in 1477."
BODY = TEXT.partition("\n")[2]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch): monkeypatch.setenv("LRAT_CACHE", str(tmp_path/"cache"))


def corpus_of(tmp_path, rows, name="c.jsonl"):
    import json
    (tmp_path/name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path/name


@pytest.mark.parametrize("row, text", [
    ({"docid": "1", "title": "Uppsala", "text": BODY}, TEXT), # Tevatron
    ({"_id": "1", "title": "Uppsala", "text": BODY, "metadata": {}}, TEXT), # BEIR
    ({"id": "1", "title": "Uppsala", "contents": BODY}, TEXT), # Pyserini
    ({"id": "1", "contents": TEXT}, TEXT),
    ({"id": "1", "contents": f'"Uppsala"\n{BODY}', "title": "Uppsala", "text": BODY}, f'"Uppsala"\n{BODY}'), # FlashRAG
    ({"id": 1, "title": "Uppsala", "text": TEXT}, TEXT),
    ({"docid": "1", "url": "https://u.example", "title": "Uppsala", "body": BODY}, TEXT), # MS MARCO
    ({"docid": "1", "url": "u", "title": "Uppsala", "headings": "History\nToday", "body": BODY}, f"Uppsala\nHistory\nToday\n{BODY}"),
    ({"docid": "1#0", "title": "Uppsala", "headings": "History", "segment": BODY, "start_char": 0}, f"Uppsala\nHistory\n{BODY}"),
    ({"pid": "p1", "passage": BODY, "spans": "(0,9)", "docid": "page"}, BODY),
    ({"doc_id": "1", "text": BODY, "title": "Uppsala", "url": "u"}, TEXT), # ir_datasets
    ({"doc_id": "1", "title": "Uppsala", "abstract": "A city.", "body": BODY}, f"Uppsala\nA city.\n{BODY}"),
    ({"doc_id": "1", "title": None, "text": BODY, "body": None}, BODY),
    ({"docid": "1", "text": "a", "contents": "b"}, "a\nb"), # Nothing is dropped
    ({"docid": "1", "text": "a", "contents": "a"}, "a"),
    ({"docid": "1", "text": ""}, ""),
    ({"docid": "1", "text": TEXT}, TEXT)])
def test_layouts(tmp_path, row, text):
    document, = open_corpus(corpus_of(tmp_path, [row]))
    assert document == Document(str(row.get("pid") or row.get("docid") or row.get("_id") or row.get("id") or row.get("doc_id")), text)


@pytest.mark.parametrize("row, says", [
    ({"docid": "1", "story": "x"}, "c.jsonl:1: has no text; .*--fields; it has: docid, story"),
    ({"name": "1", "text": "x"}, "c.jsonl:1: has no docid; .*--fields; it has: name, text"),
    ({"docid": "1", "text": "x", "body": {"p": 1}}, "c.jsonl:1: field 'body' is dict, but must be a string"),
    ({"docid": "1", "title": 7, "text": "x"}, "c.jsonl:1: field 'title' is int"),
    ({"docid": "a\0b", "text": "x"}, "c.jsonl:1: the docid .* is empty or holds white space")])
def test_what_the_rule_cannot_read(tmp_path, row, says):
    with pytest.raises(InputError, match=says): open_corpus(corpus_of(tmp_path, [row]))


def test_named_fields(tmp_path):
    path = corpus_of(tmp_path, [{"name": "1", "head": "Uppsala", "story": [BODY, "End."], "text": "not this"}, {"name": "2", "story": "Only this."}])
    corpus = open_corpus(path, ["name", "head", "story"])
    assert list(corpus) == [Document("1", f"{TEXT}\nEnd."), Document("2", "Only this.")] and corpus.path == path
    with pytest.raises(InputError, match="c.jsonl:2: has no field 'head', which --fields names; it has: name, story"): open_corpus(path, ["name", "head"])
    with pytest.raises(InputError, match="c.jsonl:1: has no field 'nome'"): open_corpus(path, ["nome", "head"])
    with pytest.raises(LratError, match="one or more of the text"): open_corpus(path, ["name"])


def test_the_bytes_of_a_plain_corpus_are_its_own(tmp_path):
    "Corpora of docid and text, as the profiles have them, are read where they lie"
    path = corpus_of(tmp_path, [{"docid": "1", "text": " A \n\nb "}])
    assert open_corpus(path).file == path and open_corpus(path)["1"].text == " A \n\nb " and not (tmp_path/"cache").exists()


def test_an_index_knows_its_fields_and_shows_them(tmp_path, capsys):
    pytest.importorskip("torch")
    from lrat.testing.encoders import save_tiny
    path = corpus_of(tmp_path, [{"name": "1", "head": "Uppsala", "story": BODY, "url": "u"}])
    index_command(str(path), str(tmp_path/"i"), "dense", model=str(save_tiny(tmp_path/"tiny")), fields=["name", "head", "story"])
    said = capsys.readouterr()
    assert "c.jsonl: the text is head + story; left out: url (--fields says otherwise)" in said.err and f"1: Uppsala | {BODY}" in said.err
    assert "dense index of 1 documents" in said.out and open_index(tmp_path/"i").document("1").text == TEXT
    with pytest.raises(InputError, match="has no docid"): build_index(path, "bm25", tmp_path/"j")


def test_mining_takes_fields(tmp_path):
    path = corpus_of(tmp_path, [{"name": "1", "story": BODY}])
    with pytest.raises(LratError, match="holds no trajectory files"): mine_command([str(tmp_path)], str(path), [], str(tmp_path/"p.jsonl"), set=["filter=false"], fields=["name", "story"])


def test_the_first_documents_are_described_in_every_form(tmp_path):
    with gzip.open(tmp_path/"c.gz", "wt") as file: file.write('{"docid": "1", "title": "A", "text": "b", "url": "u"}\n{"docid": "2", "text": "c"}\n')
    assert describe_documents(tmp_path/"c.gz") == ["c.gz: the text is title + text; left out: url (--fields says otherwise)", "  1: A | b", "  2: c"]
    (tmp_path/"e.jsonl").write_text("\n")
    with pytest.raises(InputError, match="e.jsonl: holds no document"): describe_documents(tmp_path/"e.jsonl")
