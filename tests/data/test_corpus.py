"The corpus: what must be refused with file and line, and what a first opening that breaks off leaves behind"
import pickle, signal, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor
import pytest
import lrat.core.rows, lrat.data.offsets
from lrat.data.corpus import Document, open_corpus, write_corpus
from lrat.core.settings import InputError
from paths import SHARED


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return path

@pytest.mark.parametrize("text, message", [
    ('{"docid": "1", "text": "a"}\nnot json\n', "c.jsonl:2: is not valid JSON"),
    ('{"docid": "1", "text": "a"}\n\n["2", "b"]\n', "c.jsonl:3: is a JSON list"),
    ('{"docid": "1", "text": "a"}\n{"docid": "2", "te', "c.jsonl:2: is not valid JSON"),
    ('{"text": "a"}\n', "c.jsonl:1: has no docid.*it has: text"),
    ('{"docid": "1"}\n', "c.jsonl:1: has no text"),
    ('{"docid": null, "text": "a"}\n', "c.jsonl:1: field 'docid' is NoneType"),
    ('{"docid": true, "text": "a"}\n', "c.jsonl:1: field 'docid' is bool"),
    ('{"docid": 1.5, "text": "a"}\n', "c.jsonl:1: field 'docid' is float"),
    ('{"docid": "1", "text": ["a"]}\n', "c.jsonl:1: field 'text' is list"),
    ('{"docid": "", "text": "a"}\n', "c.jsonl:1: the docid '' is empty"),
    ('{"docid": "a b", "text": "a"}\n', "c.jsonl:1: the docid 'a b' is empty or holds white space"),
    ('{"docid": "1", "text": "\\ud800"}\n', "c.jsonl:1: holds half of a surrogate pair"),
    ('{"docid": "1", "text": "a"}\n\n{"docid": "2", "text": "b"}\n{"docid": 1, "text": "c"}\n',
     r"c.jsonl:4: docid '1' is used twice \(lines 1 and 4\)"),
    ("", "c.jsonl: holds no document")])
def test_a_corpus_that_is_refused(tmp_path, text, message):
    path = written(tmp_path/"c.jsonl", text)
    with pytest.raises(InputError, match=message): open_corpus(path)
    assert [p.name for p in tmp_path.iterdir()] == ["c.jsonl"]

def test_a_corpus_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(InputError, match="no such corpus"): open_corpus(tmp_path/"none.jsonl")
    with pytest.raises(InputError, match="without JSON lines, Parquet or Arrow files"): open_corpus(tmp_path)
    (tmp_path/"c.jsonl").write_bytes(b'{"docid": "1", "text": "K\xf6ln"}\n')
    with pytest.raises(InputError, match="c.jsonl:1: is not UTF-8"): open_corpus(tmp_path/"c.jsonl")

def test_layouts_marks_and_blank_lines(tmp_path):
    path = tmp_path/"c.jsonl"
    path.write_bytes('\ufeff{"docid": 1, "text": "A\\nb"}\r\n\r\n{"id": "2", "contents": "Ünï"}\n'
                     '{"_id": "3", "title": "C", "text": "\\ud83e\\udd89"}'.encode())
    corpus = open_corpus(path)
    assert list(corpus) == [Document("1", "A\nb"), Document("2", "Ünï"), Document("3", "C\n\U0001F989")]
    assert [corpus.at(row) for row in range(3)] == list(corpus) == [corpus[docid] for docid in corpus.docids]
    assert (corpus.row("3"), "1" in corpus, "4" in corpus, len(corpus)) == (2, True, False, 3)
    with pytest.raises(InputError, match="has no document '4'"): corpus["4"]
    with pytest.raises(IndexError): corpus.at(3)
    with pytest.raises(IndexError): corpus.at(-1)

def test_hashes_may_collide(tmp_path, monkeypatch):
    "With every docid on one hash, lookups and the search for duplicates still compare the docids themselves"
    monkeypatch.setattr(lrat.core.rows, "_name_hash", lambda name: 7)
    write_corpus(tmp_path/"c.jsonl", (Document(f"d{n}", str(n)) for n in range(50)))
    corpus = open_corpus(tmp_path/"c.jsonl")
    assert [corpus.row(f"d{n}") for n in range(50)] == list(range(50)) and "d50" not in corpus
    write_corpus(tmp_path/"c.jsonl", (Document(f"d{n % 49}", str(n)) for n in range(50)))
    with pytest.raises(InputError, match=r"c.jsonl:50: docid 'd0' is used twice \(lines 1 and 50\)"):
        open_corpus(tmp_path/"c.jsonl")

def test_duplicates_across_pieces(tmp_path, monkeypatch):
    "A duplicate is found wherever the sorted array of keys is cut into pieces"
    path, check, done = tmp_path/"c.jsonl", lrat.data.offsets._check_unique, []
    monkeypatch.setattr(lrat.data.offsets, "_check_unique", lambda *given: done.append(given))
    def opened():
        open_corpus(path)
        monkeypatch.setattr(lrat.data.offsets, "_check_unique", check)
        return path, tmp_path/".c.jsonl.offsets", done[-1][2]
    write_corpus(path, (Document(str(min(n, 8)), "") for n in range(10)))
    given = opened()
    for chunk in range(1, 11):
        with pytest.raises(InputError, match=r"c.jsonl:10: docid '8' is used twice \(lines 9 and 10\)"): check(*given, chunk)
    write_corpus(path, (Document(str(n), "") for n in range(10)))
    open_corpus(path)
    for chunk in range(1, 11): check(*given, chunk)

def test_a_changed_corpus_is_checked_again(tmp_path):
    path = written(tmp_path/"c.jsonl", '{"docid": "1", "text": "a"}\n')
    first = open_corpus(path).sha256
    written(path, '{"docid": "1", "text": "a"}\n{"docid": "1", "text": "b"}\n')
    with pytest.raises(InputError, match="used twice"): open_corpus(path)
    written(path, '{"docid": "1", "text": "a"}\n{"docid": "2", "text": "b"}\n')
    assert len(open_corpus(path)) == 2 and open_corpus(path).sha256 != first

def test_a_second_opening_reads_no_document(tmp_path, monkeypatch):
    write_corpus(tmp_path/"c.jsonl", (Document(str(n), "word " * 50) for n in range(10_000)))
    open_corpus(tmp_path/"c.jsonl")
    def scan(path): raise AssertionError("read again")
    monkeypatch.setattr(lrat.data.offsets, "scan_jsonl", scan)
    monkeypatch.setattr(lrat.core.rows, "scan_jsonl", scan)
    monkeypatch.setattr(lrat.data.corpus, "scan_jsonl", scan)
    start = time.perf_counter()
    assert len(open_corpus(tmp_path/"c.jsonl")) == 10_000
    assert time.perf_counter() - start < 1

def test_a_folder_that_is_not_ours(tmp_path, monkeypatch):
    "Beside a read-only corpus nothing is written; the offsets go to the cache"
    monkeypatch.setenv("LRAT_CACHE", str(tmp_path/"cache"))
    (tmp_path/"theirs").mkdir()
    path = written(tmp_path/"theirs"/"c.jsonl", '{"docid": "1", "text": "a"}\n')
    (tmp_path/"theirs").chmod(0o555)
    try:
        assert open_corpus(path)["1"].text == "a"
        assert [p.name for p in path.parent.iterdir()] == ["c.jsonl"]
    finally: (tmp_path/"theirs").chmod(0o755)

def test_a_kill_in_the_first_opening(tmp_path):
    write_corpus(tmp_path/"c.jsonl", (Document(str(n), "a") for n in range(1000)))
    script = ("import os, signal, sys, lrat.data.corpus as c, lrat.data.offsets as o\n"
              "o._check_unique = lambda *given: os.kill(os.getpid(), signal.SIGKILL)\n"
              "c.open_corpus(sys.argv[1])")
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path/"c.jsonl")], stderr=subprocess.DEVNULL)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path/".c.jsonl.offsets").exists()
    assert len(open_corpus(tmp_path/"c.jsonl")) == 1000
    assert sorted(p.name for p in tmp_path.iterdir()) == [".c.jsonl.offsets", "c.jsonl"]

def test_threads_and_processes_share_a_corpus(tmp_path):
    write_corpus(tmp_path/"c.jsonl", (Document(str(n), str(n) * 9) for n in range(500)))
    corpus = pickle.loads(pickle.dumps(open_corpus(tmp_path/"c.jsonl")))
    with ThreadPoolExecutor(8) as pool: texts = list(pool.map(lambda n: corpus[str(n % 500)].text, range(4000)))
    assert texts == [str(n % 500) * 9 for n in range(4000)]

def test_memory_does_not_grow_with_the_corpus(tmp_path):
    script = ("import resource, sys, lrat.data.corpus as c\n"
              "base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
              "c.open_corpus(sys.argv[1])\n"
              "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base)")
    write_corpus(tmp_path/"c.jsonl", (Document(str(n), "word " * 400) for n in range(20_000))) # 40 MB
    grown = int(subprocess.run([sys.executable, "-c", script, str(tmp_path/"c.jsonl")], capture_output=True, text=True).stdout)
    assert grown < 20_000 # KiB

def test_tables(tmp_path, monkeypatch):
    arrow, _ = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    monkeypatch.setenv("LRAT_CACHE", str(tmp_path/"cache"))
    table = arrow.table({"_id": ["a", "b"], "title": ["A", ""], "text": ["x", "y"], "vector": [[1.0], [2.0]]})
    expected = [Document("a", "A\nx"), Document("b", "y")]
    arrow.parquet.write_table(table, tmp_path/"c.parquet")
    with arrow.OSFile(str(tmp_path/"file.arrow"), "wb") as out, arrow.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table)
    saved = tmp_path/"saved"
    saved.mkdir()
    with arrow.OSFile(str(saved/"data-00000-of-00001.arrow"), "wb") as out, arrow.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    (saved/"state.json").write_text("{}")
    for path in (tmp_path/"c.parquet", tmp_path/"file.arrow", saved): assert list(open_corpus(path)) == expected
    arrow.parquet.write_table(arrow.table({"docid": ["a", "a"], "text": ["x", "y"]}), tmp_path/"c.parquet")
    with pytest.raises(InputError, match="docid 'a' is used twice"): open_corpus(tmp_path/"c.parquet")
    arrow.parquet.write_table(arrow.table({"name": ["a"], "text": ["x"]}), tmp_path/"c.parquet")
    with pytest.raises(InputError, match="c.parquet, row 1: has no docid"): open_corpus(tmp_path/"c.parquet")
    (tmp_path/"c.parquet").write_bytes(b"no table")
    with pytest.raises(InputError, match="is not a valid parquet file"): open_corpus(tmp_path/"c.parquet")

@pytest.mark.skipif(not SHARED.is_dir(), reason="the recorded runs are not beside this checkout")
def test_the_recorded_corpus(tmp_path):
    (tmp_path/"corpus.jsonl").write_bytes((SHARED/"recorded"/"corpus.jsonl").read_bytes())
    corpus = open_corpus(tmp_path/"corpus.jsonl")
    assert len(corpus) == 242 and corpus["7563"].title == "Abdul Rashid Dostum"
