"Files are whole or not there; lines are found again by row and by name, and a file that changed is an error, never another row."
import json, pickle, subprocess, sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np, pytest
import lrat.core.rows
from lrat.core.files import read_jsonl, read_lines, read_text, scan_jsonl, write_jsonl
from lrat.core.rows import IndexedJsonl, find_rows, name_key, same_names
from lrat.core.settings import InputError

LINES = ['\ufeff{"n": 0}', "", '{"n": 1, "text": "one\u2028line"}', " \t", '{"n": 2, "text": "\U0001F989"}\r', '\ufeff{"n": 3}']


@pytest.fixture
def path(tmp_path):
    (tmp_path/"rows.jsonl").write_bytes("\n".join(LINES).encode())
    return tmp_path/"rows.jsonl"


def test_rows_are_what_a_stream_gives(path):
    rows, streamed = IndexedJsonl(path), list(read_jsonl(path))
    assert list(rows) == [rows[n] for n in range(len(rows))] == [row for _, row in streamed] and len(rows) == 4
    assert [rows.line_number(n) for n in range(4)] == [number for number, _ in streamed] == [1, 3, 5, 6]
    raw = path.read_bytes()
    for _, start, row in scan_jsonl(path): assert json.loads(raw[start:].partition(b"\n")[0].decode("utf-8-sig")) == row
    for row in (-1, 4): pytest.raises(IndexError, rows.__getitem__, row)


def test_a_file_without_rows(tmp_path):
    (tmp_path/"e.jsonl").write_text("\n \n")
    assert len(IndexedJsonl(tmp_path/"e.jsonl")) == 0 and list(IndexedJsonl(tmp_path/"e.jsonl")) == []


def test_a_check_sees_every_row_and_names_the_line(path):
    seen = []
    IndexedJsonl(path, lambda row, where: seen.append((row["n"], where)))
    assert seen == [(0, f"{path}:1"), (1, f"{path}:3"), (2, f"{path}:5"), (3, f"{path}:6")]
    path.write_text('{"n": 0}\n[1]\n')
    with pytest.raises(InputError, match="rows.jsonl:2: is a JSON list"): IndexedJsonl(path)


def test_memory_and_pickles_hold_offsets_and_no_text(tmp_path):
    write_jsonl(tmp_path/"big.jsonl", ({"text": "word " * 200} for _ in range(5000)))
    rows = IndexedJsonl(tmp_path/"big.jsonl")
    assert len(pickle.dumps(rows)) < 8 * 5000 + 1000 and pickle.loads(pickle.dumps(rows))[4999] == rows[4999]


def test_threads_share_the_file(tmp_path):
    write_jsonl(tmp_path/"r.jsonl", ({"n": n, "text": "x" * (n % 90)} for n in range(500)))
    rows = IndexedJsonl(tmp_path/"r.jsonl")
    with ThreadPoolExecutor(8) as pool: assert list(pool.map(lambda n: rows[n % 500]["n"], range(4000))) == [n % 500 for n in range(4000)]


@pytest.mark.parametrize("content, says", [
    ('{"n": 10}\n\n{"n": 1}\n', "no line begins here"), ('{"n": 0}\n{"n": 1\n', "is not valid JSON"), ('{"n": 0}\n', "is not valid JSON|no line begins"),
    ('{"n": 0}\n["list"]\n', "is a JSON list"), ('{"n": 0}\n\u00ff\u00ff\n', "is not valid JSON")])
def test_a_file_that_was_changed_in_place(tmp_path, content, says):
    path = tmp_path/"r.jsonl"
    path.write_text('{"n": 0}\n{"n": 1}\n')
    rows = IndexedJsonl(path)
    path.write_text(content)
    with pytest.raises(InputError, match=rf"r.jsonl \(byte 9; has it changed since it was opened\?\): ({says})"): rows[1]


def test_a_file_that_was_replaced_is_still_read_but_not_sent(tmp_path):
    path = tmp_path/"r.jsonl"
    write_jsonl(path, [{"n": 0}, {"n": 1}])
    rows = IndexedJsonl(path)
    write_jsonl(path, [{"n": 7}])
    assert rows[1] == {"n": 1}
    with pytest.raises(InputError, match="r.jsonl: has changed since it was opened"): pickle.loads(pickle.dumps(rows))
    path.unlink()
    with pytest.raises(InputError, match="r.jsonl: there is no such file"): pickle.loads(pickle.dumps(rows))


def test_offsets_of_another_time_are_for_the_same_bytes(path):
    starts = IndexedJsonl(path)._starts
    assert IndexedJsonl(path, starts=starts)[2]["n"] == 2
    with pytest.raises(InputError, match="has changed since it was opened"): IndexedJsonl(path, starts=starts[:-1])


@pytest.mark.parametrize("hashes", [1, 3, None])
def test_names_are_found_when_hashes_collide(hashes, monkeypatch):
    if hashes: monkeypatch.setattr(lrat.core.rows, "_name_hash", lambda name: int(name[1:]) % hashes)
    names = [f"n{n % 70}" for n in range(100)]
    keys = np.sort(np.array([name_key(name, row) for row, name in enumerate(names)], dtype="<u8"))
    for name in (*names, "n99"):
        assert [row for row in find_rows(keys, name) if names[row] == name] == [row for row, other in enumerate(names) if other == name]
    for chunk in (1, 2, 7, 1000):
        groups = list(same_names(keys, chunk))
        assert all(group == sorted(group) and len(group) > 1 for group in groups) and len(groups) == (hashes or 30)
        assert {row for group in groups for row in group} >= {row for row, name in enumerate(names) if names.count(name) > 1}


def test_text_is_read_as_people_save_it(tmp_path):
    (tmp_path/"t.txt").write_bytes("\ufeffone\r\ntwo\r\n".encode())
    assert read_text(tmp_path/"t.txt") == "one\ntwo\n" and list(read_lines(tmp_path/"t.txt")) == [(1, "one"), (2, "two")]
    (tmp_path/"t.txt").write_bytes(b"K\xf6ln\n")
    with pytest.raises(InputError, match="is not UTF-8 text .byte 1"): read_text(tmp_path/"t.txt")
    with pytest.raises(InputError, match="t.txt:1: is not UTF-8 text"): list(read_lines(tmp_path/"t.txt"))
    with pytest.raises(InputError, match="is a folder, not a file"): read_text(tmp_path)
    with pytest.raises(InputError, match="there is no such file"): list(read_lines(tmp_path/"none"))


def test_a_log_hears_of_progress_every_few_seconds():
    program = "import time\nfrom lrat.core.files import progress\nfor _ in progress(range(120), 'waiting'): time.sleep(.1)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 2 <= done.stderr.count("waiting:") <= 6
