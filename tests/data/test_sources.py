"Rows come from any form of file; what changes while it is read, or ends too early, is an error that names it."
import gzip, json

import pytest
from lrat.core.files import parse_json, read_json, read_jsonl
from lrat.core.rows import IndexedJsonl
from lrat.core.settings import InputError
from lrat.data.corpus import Document, open_corpus, write_corpus
from lrat.data.questions import Question, read_qrels, read_questions, read_trec_run, whole_grades, write_qrels
from lrat.data.sources import as_jsonl, plain_jsonl
from lrat.evaluation.pairs import read_pairs
from lrat.mining.merge import scan_pairs
from lrat.training.dataset import PairsFile

DOCUMENTS = [Document("1", "Owl\nA bird."), Document("2", "Oak\nA tree.")]
ROWS = [{"docid": d.docid, "text": d.text} for d in DOCUMENTS]
PAIRS = [{"query": "q", "pos": ["p"], "neg": ["n", "m"], "reweight_rate": 1., "reasoning_len": 3}, {"query": "r", "pos": ["o"], "neg": ["k", "l"], "reweight_rate": .5}]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch): monkeypatch.setenv("LRAT_CACHE", str(tmp_path/"cache"))


def lines(rows): return "".join(json.dumps(row) + "\n" for row in rows).encode()


def zstd(data):
    arrow = pytest.importorskip("pyarrow")
    sink = arrow.BufferOutputStream()
    with arrow.CompressedOutputStream(sink, "zstd") as out: out.write(data)
    return sink.getvalue().to_pybytes()


def made(form, folder, rows):
    "Rows in one of the forms"
    folder.mkdir()
    if form == "gz": (path := folder/"rows.jsonl.gz").write_bytes(gzip.compress(lines(rows)))
    if form == "zst": (path := folder/"rows.jsonl.zst").write_bytes(zstd(lines(rows)))
    if form == "folder":
        path = folder/"parts"
        path.mkdir()
        (path/"b.jsonl.gz").write_bytes(gzip.compress(lines(rows[1:])))
        (path/"a.JSONL").write_bytes(b"\xef\xbb\xbf" + lines(rows[:1]).replace(b"\n", b"\r\n"))
        (path/"README.md").write_text("# Rows")
    if form in ("parquet", "PARQUET", "table"):
        arrow = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(arrow.Table.from_pylist(rows), path := folder/f"rows.{form}")
    return path


FORMS = ["gz", "zst", "folder", "parquet", "PARQUET", "table"]


@pytest.mark.parametrize("form", FORMS)
def test_corpora_pairs_and_questions_in_any_form(form, tmp_path):
    corpus = open_corpus(made(form, tmp_path/"corpus", ROWS))
    assert list(corpus) == DOCUMENTS and corpus["2"].title == "Oak"
    assert corpus.sha256 == open_corpus(made("gz", tmp_path/"same", ROWS)).sha256
    pairs = made(form, tmp_path/"pairs", PAIRS)
    assert len(read_pairs(pairs)) == len(scan_pairs(pairs).rows) == 2
    assert [PairsFile(plain_jsonl(pairs), 3).pair(n).weight for n in (0, 1)] == [1., .5]
    asked = read_questions(made(form, tmp_path/"questions", [{"_id": "1", "text": "Which owl?", "answer": "Barn"}, {"_id": "2", "text": "Which oak?", "answer": None}]))
    assert asked == [Question("1", "Which owl?", "Barn"), Question("2", "Which oak?")]


@pytest.mark.parametrize("form", ["gz", "zst", "parquet"])
def test_a_file_that_was_cut(form, tmp_path):
    path = made(form, tmp_path/"c", [{"docid": str(n), "text": f"{n * 7919}"} for n in range(3000)])
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"rows.*(cannot be read to its end|is not a valid parquet file)"): open_corpus(path)
    assert not list((tmp_path/"cache").rglob("*.jsonl"))


def test_tsv(tmp_path):
    (tmp_path/"collection.tsv").write_text('1\tOwl "barn\n2\tOak\n')
    (tmp_path/"docs.tsv").write_text("1\thttps://o.example\tOwl\tA bird.\n")
    (tmp_path/"bad.tsv").write_text("1\tOwl\n2\tOak\tTree\n")
    assert list(open_corpus(tmp_path/"collection.tsv")) == [Document("1", 'Owl "barn'), Document("2", "Oak")]
    assert list(open_corpus(tmp_path/"docs.tsv")) == DOCUMENTS[:1]
    with pytest.raises(InputError, match="bad.tsv:2: has 3 columns, but must have 2: docid, text"): open_corpus(tmp_path/"bad.tsv")


def test_both_places_of_a_docid_that_is_used_twice(tmp_path):
    path = made("folder", tmp_path/"c", [ROWS[0], ROWS[0]])
    with pytest.raises(InputError, match=r"b.jsonl.gz:1: docid '1' is used twice \(first in .*a.JSONL:1\); .*rename or delete one"): open_corpus(path)
    with pytest.raises(InputError, match=r"rows.jsonl.gz:3: docid '1' is used twice \(first in .*rows.jsonl.gz:1\)"): open_corpus(made("gz", tmp_path/"d", [*ROWS, ROWS[0]]))
    (tmp_path/"q.jsonl").write_text('{"_id": "1", "text": "a"}\n{"_id": "1", "text": "b"}\n')
    with pytest.raises(InputError, match="q.jsonl:2: query id '1' was used in line 1"): read_questions(tmp_path/"q.jsonl")


def test_a_corpus_that_changes_while_it_is_read(tmp_path):
    write_corpus(tmp_path/"c.jsonl", DOCUMENTS)
    corpus = open_corpus(tmp_path/"c.jsonl")
    with pytest.raises(InputError, match="c.jsonl: has changed since it was opened; run the same command again"):
        for _ in corpus: write_corpus(tmp_path/"c.jsonl", [*DOCUMENTS, Document("3", "Elm")])
    def grow(row, where):
        with open(tmp_path/"p.jsonl", "a") as file: file.write("\n")
    (tmp_path/"p.jsonl").write_bytes(lines(PAIRS))
    with pytest.raises(InputError, match="p.jsonl: has changed while it was read"): IndexedJsonl(tmp_path/"p.jsonl", grow)
    (tmp_path/"p.gz").write_bytes(gzip.compress(lines(PAIRS)))
    def touched(row, where):
        (tmp_path/"p.gz").touch()
        return row
    with pytest.raises(InputError, match="p.gz: has changed while it was read"): as_jsonl(tmp_path/"p.gz", touched)


@pytest.mark.parametrize("text, says", [
    ("NaN", "holds NaN"), ("-Infinity", "holds -Infinity"), ("1e999", "holds 1e999"), ("1" + 400 * "0", "not a finite number"), ('"\\ud83d"', "half of a surrogate pair"),
    ('"a\0b"', "it holds NUL bytes"), ("\0\0\0", "it holds NUL bytes"), ("[" * 99999, "nested too deeply"), ("1" * 5000, "not a finite number")])
def test_one_reader_of_json_refuses_what_no_one_can_use(text, says, tmp_path):
    with pytest.raises(InputError, match=f"x.jsonl:3: .*{says}"): parse_json(text, "x.jsonl:3")
    (tmp_path/"p.jsonl").write_text(f'{{"query": "q", "pos": ["p"], "neg": ["n"], "reweight_rate": {text}}}\n')
    for read in (lambda path: list(read_jsonl(path)), scan_pairs, read_pairs, lambda path: PairsFile(path, 2)):
        with pytest.raises(InputError, match=f"p.jsonl:1: .*{says}"): read(tmp_path/"p.jsonl")
    (tmp_path/"run_1.json").write_text(f'{{\n "query_id": "NaN",\n "usage": {text}\n}}')
    with pytest.raises(InputError, match=rf"run_1.json(:3)?: .*{says}"): read_json(tmp_path/"run_1.json")
    assert parse_json('{"a": ["NaN", -1.5e-9, null, "\\ud83e\\udd89", 99999999999999999999]}', "x:1")["a"][0] == "NaN"


def test_judgements_and_rankings_are_numbers(tmp_path):
    (tmp_path/"j.qrels").write_text("q Q0 a 0.5\nq Q0 b 2\nq Q0 c -1\n")
    judged = read_qrels(tmp_path/"j.qrels")
    assert judged == {"q": {"a": .5, "b": 2, "c": -1}} and type(judged["q"]["b"]) is int
    write_qrels(tmp_path/"k.qrels", judged)
    assert read_qrels(tmp_path/"k.qrels") == judged and whole_grades(judged) == {"q": {"a": 1, "b": 4, "c": -2}}
    for text in ("nan", "inf", "-Infinity", "1_0", "0x1", "1e999", "high"):
        (tmp_path/"j.qrels").write_text(f"q Q0 a {text}\n")
        with pytest.raises(InputError, match="j.qrels:1: relevance is .* but must be a number"): read_qrels(tmp_path/"j.qrels")
        (tmp_path/"r.run").write_text(f"q Q0 a 1 {text} x\n")
        with pytest.raises(InputError, match="r.run:1: score is .* but must be a number"): read_trec_run(tmp_path/"r.run")


def test_graded_judgements_are_scored():
    from lrat.evaluation.scores import score_rankings
    run = {"q": {"a": 3., "b": 2.}}
    halves, whole = (score_rankings(run, {"q": grades}).values for grades in ({"a": .5, "b": 2, "z": 1}, {"a": 1, "b": 4, "z": 2}))
    assert {name: values.tolist() for name, values in halves.items()} == {name: values.tolist() for name, values in whole.items()}
    assert halves["ndcg_at_10"][0] < 1 and halves["mrr"][0] == 1
