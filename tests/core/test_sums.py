"A byte that changed is found, whatever it is; what was there before there were hashes, or was written by another tool, passes."
import json, random

import pytest
from lrat.core.files import output_lock
from lrat.core.settings import InputError, LratError
from lrat.core.stages import run_stage
from lrat.core.sums import SUMS, changed_file, check_line, check_sealed, check_sums, checked_line, sealed_json, write_record, write_sums
from lrat.data.sources import as_jsonl
from lrat.testing.faults import cut_file, flip_byte
from lrat.testing.museum import TRAJECTORY
from lrat.trajectories.trajectory import read_trajectory, write_trajectory


@pytest.mark.parametrize("seed", range(20))
def test_each_flipped_byte_and_each_lost_end_is_found(tmp_path, seed):
    chance = random.Random(seed)
    for damage in (flip_byte, cut_file):
        path = tmp_path/"a.bin"
        path.write_bytes(chance.randbytes(200))
        write_sums(tmp_path/SUMS, [path])
        check_sums(tmp_path/SUMS, "make it again")
        damage(path, chance)
        with pytest.raises(InputError, match="a.bin: has changed since it was written, .*; make it again"): check_sums(tmp_path/SUMS, "make it again")
        path.write_bytes(b"abc")
        write_sums(tmp_path/SUMS, [path])
        damage(tmp_path/SUMS, chance)
        assert changed_file(tmp_path/SUMS) or (tmp_path/SUMS).read_bytes() == b"" # A list that lost all its lines says nothing


@pytest.mark.parametrize("seed", range(30))
def test_a_trajectory_is_refused_or_the_same(tmp_path, seed):
    path = write_trajectory(tmp_path, TRAJECTORY)
    whole = read_trajectory(path)
    (flip_byte if seed % 2 else cut_file)(path, random.Random(seed))
    try: assert read_trajectory(path) == whole
    except InputError as error: assert str(path) in str(error) and "\n" not in str(error)


def test_another_tools_trajectory_is_read_as_it_is(tmp_path):
    path = write_trajectory(tmp_path, TRAJECTORY)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "stopped"}))
    assert read_trajectory(path).status == "stopped"


def test_lines_and_documents():
    line = checked_line({"read": 12})
    assert check_line({"read": 12}, "l:1", "") == check_line(json.loads(line), "l:1", "") == {"read": 12}
    with pytest.raises(InputError, match="l:1: has changed"): check_line(json.loads(line) | {"read": 13}, "l:1", "correct it")
    text = sealed_json({"a": [1, 2]})
    check_sealed(text, "a.json", "")
    with pytest.raises(InputError, match="a.json: has changed since it was written, by its own hash"): check_sealed(text.replace("2", "3", 1), "a.json", "make it again")


def test_a_record_is_written_last_and_hashed_with_the_others(tmp_path):
    (tmp_path/"a.bin").write_bytes(b"abc")
    write_record(tmp_path/"a.json", {"bytes": 3}, tmp_path/SUMS, [tmp_path/"a.bin"])
    assert changed_file(tmp_path/SUMS) == ""
    (tmp_path/"a.json").write_text('{"bytes": 4}')
    assert "a.json: has changed" in changed_file(tmp_path/SUMS)


def test_a_stage_whose_file_changed_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("lrat.core.stages._checked", set())
    def make(out): (out/"n.txt").write_text("1")
    stage = run_stage("numbers", make, root=tmp_path)
    (stage/"n.txt").write_text("2")
    monkeypatch.setattr("lrat.core.stages._checked", set()) # As another process
    with pytest.raises(LratError, match="n.txt: has changed since it was made; delete the folder numbers-"): run_stage("numbers", make, root=tmp_path)


def test_a_converted_corpus_that_somebody_wrote_into_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("LRAT_CACHE", str(tmp_path/"cache"))
    (tmp_path/"c.tsv").write_text("docid\ttext\n1\tone\n")
    made = as_jsonl(tmp_path/"c.tsv", lambda row, where: row)
    whole = made.read_bytes()
    flip_byte(made, random.Random(1))
    assert as_jsonl(tmp_path/"c.tsv", lambda row, where: row).read_bytes() == whole


def test_halves_of_a_killed_output_are_removed_and_no_others(tmp_path):
    ours = [tmp_path/f".{name}.ab_12cd3.part" for name in ("p.jsonl", "p.jsonl.manifest.json", "p.jsonl.provenance.jsonl", "p.jsonl.sha256")]
    others = [tmp_path/f".{name}.ab_12cd3.part" for name in ("q.jsonl", "pp.jsonl", "p.json")]
    for path in (*ours, *others): path.touch()
    with output_lock(tmp_path/"p.jsonl", "mining"): pass
    assert not any(path.exists() for path in ours) and all(path.exists() for path in others)
