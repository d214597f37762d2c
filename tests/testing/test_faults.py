"The short form of `make faults`: kills, damaged files and bad endpoints; and that the suite finds what it is there to find."
import random

import pytest
from lrat.core.files import read_json, write_json
from lrat.core.settings import LratError
from lrat.testing.damage import KEPT, Kept, damaged, judged_by
from lrat.testing.fault_table import SHORT, WHOLE, Plan, faults, try_faults
from lrat.testing.faults import Ended
from lrat.testing.interruptions import Workplace, full_disk, killed, two_at_once
from lrat.testing.small_disk import why_not_small
from lrat.testing.toy_stages import STAGES, ToyStage


def test_the_short_form_loses_nothing():
    rows = list(try_faults(SHORT))
    assert not [(row["about"], why) for row in rows for why in row["lost"]]
    assert sum(row["tried"] for row in rows if row["fault"] == "kill -9") == sum(SHORT.kills.values()) and all(row["tried"] for row in rows)


def test_the_whole_plan_covers_every_stage_and_every_kind_of_file():
    assert set(WHOLE.kills) == set(STAGES) and set(WHOLE.damages) == set(KEPT) and sum(WHOLE.kills.values()) == 100


def appends(given, out):
    "Loses what a kill leaves: the second attempt counts on"
    with open(out/"a.txt", "a") as file:
        for n in range(30): file.write(f"{n}\n"); file.flush(); write_json(out/"n.json", n)


def overwrites(given, out):
    "Two processes write one file in place"
    with open(out/"a.txt", "a") as file:
        for n in range(200): open(out/"n.txt", "w").write(str(n)); file.write(f"{n}\n")


def test_a_careless_stage_is_found(tmp_path):
    row = killed(Workplace(ToyStage(appends), tmp_path, tmp_path), 6, random.Random(1))
    assert row.survived < row.tried == 6 and "a.txt differs" in row.lost[0]
    assert two_at_once(Workplace(ToyStage(overwrites), tmp_path, tmp_path), 1, random.Random(1)).survived == 0


def silent(given, out):
    "Takes a full disk for the end of its work"
    try: write_json(out/"a.json", "x" * 100_000)
    except LratError: (out/"a.json").write_text("")


def test_a_disk_that_was_full_without_a_word_is_found(tmp_path):
    (tmp_path/"try").mkdir()
    if why := why_not_small(tmp_path/"try"): pytest.skip(why)
    row = full_disk(Workplace(ToyStage(silent), tmp_path, tmp_path), 2, random.Random(1))
    assert row.survived == 0 and "nothing was said: a.json differs" in row.lost[0]


def test_what_is_read_as_right_is_found(tmp_path):
    write_json(tmp_path/"given"/"n.json", "abc" * 100)
    row = damaged(Kept("n.json", lambda folder: read_json(folder/"n.json"), ("n.json",)), tmp_path/"given", tmp_path, 10, random.Random(1))
    assert row.survived < row.tried and any("was read as right" in why for why in row.lost)
    assert judged_by(Ended(1, "Traceback\nKeyError: 'x'", 0.), None, "right") == "ended with 1: KeyError: 'x'"


def test_the_table_says_what_was_lost(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(STAGES, "careless", ToyStage(appends))
    monkeypatch.setattr("lrat.testing.fault_table.write_given", lambda given, copies, dense: given.mkdir())
    monkeypatch.setattr("lrat.testing.fault_table.bad_endpoints", lambda *_: {})
    with pytest.raises(LratError, match="[1-9] of 6 faults lost something"): faults(Plan({"careless": 6}, 0, 0, {}), tmp_path/"f.json")
    said = capsys.readouterr().out
    assert "a.txt differs" in said and read_json(tmp_path/"f.json")["rows"][0]["lost"]
