"The preset `reference` reproduces what the reference implementation made of five real runs, value for value."
import json
from pathlib import Path

import pytest

from lrat.data.corpus import open_corpus
from lrat.core.files import write_jsonl
from lrat.mining.mine import mine_to_file
from lrat.trajectories.trajectory import iterate_trajectories
from lrat.core.settings import LratError
from paths import RECORDED

pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded runs are not beside this checkout")

JUDGES = {"all_relevant": lambda reasoning: True, "min_40_words": lambda reasoning: len(reasoning.split()) >= 40}


def write_verdicts(tmp_path, judge):
    write_jsonl(tmp_path/"verdicts.jsonl", ({"run": run.name, "step": b.step, "docid": b.docid, "verdict": "yes" if judge(b.reasoning) else "no"}
                                            for run in iterate_trajectories(RECORDED/"runs") for b in run.browses()))


def build(tmp_path, **more):
    mine_to_file([RECORDED/"runs"], open_corpus(RECORDED/"corpus.jsonl"), [tmp_path/"verdicts.jsonl"], "reference", "all-MiniLM-L6-v2",
                 tmp_path/"pairs.jsonl", **more)
    return [json.loads(line) for line in open(tmp_path/"pairs.jsonl")]


def mined(tmp_path, judge):
    write_verdicts(tmp_path, judge)
    return build(tmp_path)


@pytest.mark.parametrize("name", JUDGES)
def test_reference_is_matched(name, tmp_path):
    expected = [json.loads(line) for line in open(RECORDED/f"expected_{name}.jsonl")]
    pairs = mined(tmp_path, JUDGES[name])
    assert len(pairs) == len(expected)
    for ours, theirs in zip(pairs, expected):
        for field in ("trajectory", "query", "pos_id", "neg_id", "reasoning_len", "satisfied"): assert ours[field] == theirs[field], field
        assert abs(ours["reweight_rate"] - theirs["reweight_rate"]) < 1e-9


def test_recorded_runs_are_read_whole():
    runs = {run.name: run for run in iterate_trajectories(RECORDED/"runs")}
    assert len(runs) == 5
    for run in runs.values():
        assert len(run.searches()) == run.tool_call_counts["search"]
        assert sorted({d for s in run.searches() for d in s.docids}) == sorted(run.retrieved_docids)


@pytest.mark.parametrize("processes", [1, 2])
def test_segments_are_matched(tmp_path, processes):
    "The segmented builder: each mode is a build of its own over the five runs"
    expected = [json.loads(line) for line in open(RECORDED/"expected_segmented_min_40_words.jsonl")]
    write_verdicts(tmp_path, JUDGES["min_40_words"])
    found = []
    for segment in ("front", "middle", "back", "full"):
        try: found += build(tmp_path, changes={"segment": segment, "least_browses": 1}, processes=processes)
        except LratError as error: assert segment == "middle" and "no pair is left" in str(error)
    assert len(found) == len(expected) == 30
    for ours, theirs in zip(found, expected):
        assert {name: ours[name] for name in theirs} == theirs


def test_the_whole_segment_is_the_unsegmented_build(tmp_path):
    plain, whole = mined(tmp_path, JUDGES["min_40_words"]), build(tmp_path, changes={"segment": "full"})
    assert [{name: row[name] for name in plain[0]} for row in whole] == plain
