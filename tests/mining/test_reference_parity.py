"""Every preset gives the pairs that were worked out by hand for three small trajectories, which lie beside this file; and the preset
`reference` reproduces what the reference implementation made of five real trajectories, value for value."""
import json, shutil

import pytest

from lrat.core.files import digest, write_jsonl
from lrat.data.corpus import Document, open_corpus, write_corpus
from lrat.mining.mine import mine_to_file
from lrat.mining.rules import PRESETS
from lrat.trajectories.trajectory import iterate_trajectories
from lrat.core.settings import LratError
from paths import RECORDED, TESTS
try: from paths import reference_runs
except ImportError: # Until `lrat fetch reference-trajectories` is there
    def reference_runs(): return RECORDED/"runs" if RECORDED.is_dir() else None

RUNS = reference_runs()
recorded = pytest.mark.skipif(RUNS is None, reason="the reference trajectories are not here; run: lrat fetch reference-trajectories")

# By hand. The trajectories are written as three kinds of agents write them. S is a search, B a browse with the tokens of its notes.
#   run_a: S "maker of lenses" [d1 d2 d3 d4]; B d2 yes, 4
#          S "lamp of brass and glass" [d2 d5 d6 d1]; B d5 no, 2; B d3 yes, 12 (d3 is of the first list)
#          S "lamp fuelled with colza oil" [d2 d5 d6 d4]; B d6 yes, 8; answers rightly
#   run_b: S "rung in fog, a bell" [d7 d8 d9]; B d9 undecided, 6; B d8 yes, no notes; answers rightly
#   run_c: S "frozen harbour" [d10 d11 d12]; B d10 yes, 4; answers wrongly
BY_HAND = TESTS/"mining"/"trajectories"
MAKER, BRASS, OIL, BELL, HARBOUR = "maker of lenses", "lamp of brass and glass", "lamp fuelled with colza oil", "rung in fog, a bell", "frozen harbour"

# Each list without what the agent opened in that trajectory (a: d2 d3 d5 d6). d3 belongs to the first search, the latest that returned it,
# and so has that list's negatives; d5 was rejected, d9 is undecided, d8 has no notes, and run_c answers wrongly.
KEPT = [("run_a", MAKER, "d2", "d1 d4", True, 4), ("run_a", MAKER, "d3", "d1 d4", True, 12), ("run_a", OIL, "d6", "d4", True, 8)]
# beta = median(4, 12, 8) = 8; u = 1 - 2^-(l/8) = 0.29289, 0.64645, 0.5; mu = 0.47978
KEPT_WEIGHTS = [.6104742, 1.3473814, 1.0421445]

EXPECTED = { # Trajectory, query, positive, negatives, satisfied, tokens of notes; then the weights
    "recommended": (KEPT, KEPT_WEIGHTS),
    "reweight": (KEPT, KEPT_WEIGHTS), # The same rules
    "filter": (KEPT, [1, 1, 1]),
    # d3 is tied to the latest search of all, whose list does not hold it: no pair. d8 weighs 0, as equation 3 has it for no notes.
    # beta = median(4, 8, 0) = 4; u = 1/2, 3/4, 0; mu = 5/12
    "paper": ([("run_a", MAKER, "d2", "d1 d4", True, 4), ("run_a", OIL, "d6", "d4", True, 8), ("run_b", BELL, "d8", "d7", True, 0)], [1.2, 1.8, 0]),
    # Opened documents are not spared. After d2 (yes) the history holds no list, so the second search stands alone: d5 is rejected, and
    # written with satisfied: false; d3 is in no list of the history. d3 was a yes, so the third search stands alone, too. d9 is undecided
    # and no negative of d8, which weighs 1 without notes. Wrong answers are mined. d5's notes are 2 tokens, and beta is over what has notes:
    # beta = median(4, 2, 8, 4) = 4; u = 1/2, 0.29289, 3/4, 1/2; mu = 0.51072
    "reference": ([("run_a", MAKER, "d2", "d1 d3 d4", True, 4), ("run_a", BRASS, "d5", "d2 d6 d1", False, 2), ("run_a", OIL, "d6", "d2 d5 d4", True, 8),
                   ("run_b", BELL, "d8", "d7", True, 0), ("run_c", HARBOUR, "d10", "d11 d12", True, 4)],
                  [.9790037, .5734871, 1.4685055, 1, .9790037]),
    # Before the third search the agent had read d3 and d2 (useful, the last first), and d5 (rejected); d4 was never opened.
    # Before the first search it had read nothing.
    "tiers": ([*KEPT[:2], ("run_a", OIL, "d6", "d3 d2 d5 d4", True, 8)], KEPT_WEIGHTS),
    # No judge is asked: every browse of a list makes a pair, also without notes
    "naive": ([("run_a", MAKER, "d2", "d1 d4", True, 4), ("run_a", BRASS, "d5", "d1", True, 2), ("run_a", MAKER, "d3", "d1 d4", True, 12),
               ("run_a", OIL, "d6", "d4", True, 8), ("run_b", BELL, "d9", "d7", True, 6), ("run_b", BELL, "d8", "d7", True, 0)], [1] * 6),
    # The first of each list against the rest
    "top1": ([("run_a", MAKER, "d1", "d2 d3 d4", True, 0), ("run_a", BRASS, "d2", "d5 d6 d1", True, 0), ("run_a", OIL, "d2", "d5 d6 d4", True, 0),
              ("run_b", BELL, "d7", "d8 d9", True, 0), ("run_c", HARBOUR, "d10", "d11 d12", True, 0)], [1] * 5),
    # The document that shares most words with the query: d3 is a maker of lenses, d6 the lamp, d8 a bell, d11 has a harbour
    "lexical": ([("run_a", MAKER, "d3", "d1 d2 d4", True, 0), ("run_a", BRASS, "d6", "d2 d5 d1", True, 0), ("run_a", OIL, "d6", "d2 d5 d4", True, 0),
                 ("run_b", BELL, "d8", "d7 d9", True, 0), ("run_c", HARBOUR, "d11", "d10 d12", True, 0)], [1] * 5),
}


def mined_by_hand(tmp_path, preset, **changes):
    shutil.copy(BY_HAND/"corpus.jsonl", tmp_path) # Opening it writes its offsets beside it
    mine_to_file([BY_HAND], open_corpus(tmp_path/"corpus.jsonl"), [BY_HAND/"verdicts.jsonl"], preset, "all-MiniLM-L6-v2", tmp_path/"pairs.jsonl",
                 changes=changes)
    return [json.loads(line) for line in open(tmp_path/"pairs.jsonl")]


@pytest.mark.parametrize("preset", PRESETS)
def test_the_pairs_are_those_worked_out_by_hand(preset, tmp_path):
    rows, (expected, weights) = mined_by_hand(tmp_path, preset), EXPECTED[preset]
    assert [(row["trajectory"], row["query"], *row["pos_id"], " ".join(row["neg_id"]), row["satisfied"], row["reasoning_len"]) for row in rows] == expected
    assert [row["reweight_rate"] for row in rows] == pytest.approx(weights, abs=1e-6)
    texts = {row["docid"]: row["text"] for row in map(json.loads, open(BY_HAND/"corpus.jsonl"))}
    for row in rows: assert (row["pos"], row["neg"]) == ([texts[d] for d in row["pos_id"]], [texts[d] for d in row["neg_id"]])


def test_tiers_and_segments_by_hand(tmp_path):
    last = mined_by_hand(tmp_path, "tiers")[-1]
    assert (last["neg_tiers"], last["neg_weights"]) == (["redundant", "redundant", "hard", "weak"], [3, 3, 1, .3])
    # Groups of browses: d2; d5 and d3; d6; d9 and d8; d10. The back holds the second of two, and no lone one. So d2 is left out and does not
    # empty the history: d3 stands against both lists, the later first; d5 is left out and not rejected. d8 stands against d7 and d9.
    first, second = mined_by_hand(tmp_path, "reference", segment="back")
    assert (first["query"], first["pos_id"], first["neg_id"]) == (BRASS, ["d3"], ["d2", "d5", "d6", "d1", "d4"])
    assert (second["query"], second["pos_id"], second["neg_id"], second["segment_tag"]) == (BELL, ["d8"], ["d7", "d9"], "back30")
    assert [(row["traj_id"], row["search_idx"], row["browse_idx_in_search"], row["browse_count_in_search"]) for row in (first, second)] == [
        ("run_a", 1, 1, 2), ("run_b", 0, 1, 2)]


# What the reference implementation made of five real trajectories. Its files are not ours to publish, so a digest of each row stands in
# `reference_digests.json`; where the files themselves lie in `shared/recorded`, rows are compared value for value as well.

JUDGES = {"all_relevant": lambda reasoning: True, "min_40_words": lambda reasoning: len(reasoning.split()) >= 40}
DIGESTS = json.loads((TESTS/"mining"/"reference_digests.json").read_text())
FIELDS = ("trajectory", "query", "pos_id", "neg_id", "reasoning_len", "satisfied", "reweight_rate")
SEGMENTED = (*FIELDS[1:6], "segment_mode", "segment_tag", "traj_id", "search_idx", "browse_idx_in_search", "browse_count_in_search")  # Its files say no more


def row_digest(row, fields=FIELDS): return digest([f"{row[name]:.6f}" if name == "reweight_rate" else row[name] for name in fields])[:12]


def theirs(name):
    "The rows of the reference's file; None where it is not here"
    path = RECORDED/f"expected_{name}.jsonl"
    return [json.loads(line) for line in open(path)] if path.is_file() else None


def build(tmp_path, judge, **more):
    "The five trajectories, judged and mined; their texts play no part, so a docid is its own text"
    trajectories = list(iterate_trajectories(RUNS))
    if not (corpus := tmp_path/"corpus.jsonl").is_file():
        write_corpus(corpus, [Document(docid, docid) for docid in sorted({d for one in trajectories for s in one.searches() for d in s.docids})])
    write_jsonl(tmp_path/"verdicts.jsonl", ({"run": one.name, "step": b.step, "docid": b.docid, "verdict": "yes" if judge(b.reasoning) else "no"}
                                            for one in trajectories for b in one.browses()))
    mine_to_file([RUNS], open_corpus(corpus), [tmp_path/"verdicts.jsonl"], "reference", "all-MiniLM-L6-v2", tmp_path/"pairs.jsonl", **more)
    return [json.loads(line) for line in open(tmp_path/"pairs.jsonl")]


@recorded
@pytest.mark.parametrize("name", JUDGES)
def test_reference_is_matched(name, tmp_path):
    pairs, expected = build(tmp_path, JUDGES[name]), theirs(name)
    assert [row_digest(row) for row in pairs] == DIGESTS[name]
    for ours, row in zip(pairs, expected or []):
        for field in FIELDS[:-1]: assert ours[field] == row[field], field
        assert abs(ours["reweight_rate"] - row["reweight_rate"]) < 1e-9


@recorded
def test_recorded_trajectories_are_read_whole():
    runs = {run.name: run for run in iterate_trajectories(RUNS)}
    assert len(runs) == 5
    for run in runs.values():
        assert len(run.searches()) == run.tool_call_counts["search"]
        assert sorted({d for s in run.searches() for d in s.docids}) == sorted(run.retrieved_docids)


@recorded
@pytest.mark.parametrize("processes", [1, 2])
def test_segments_are_matched(tmp_path, processes):
    "The segmented builder: each mode is a build of its own over the five trajectories"
    found, expected = [], theirs("segmented_min_40_words")
    for segment in ("front", "middle", "back", "full"):
        try: found += build(tmp_path, JUDGES["min_40_words"], changes={"segment": segment, "least_browses": 1}, processes=processes)
        except LratError as error: assert segment == "middle" and "no pair is left" in str(error)
    assert [row_digest(row, SEGMENTED) for row in found] == DIGESTS["segmented_min_40_words"] and len(found) == 30
    for ours, row in zip(found, expected or []): assert {name: ours[name] for name in row} == row


@recorded
def test_the_whole_segment_is_the_unsegmented_build(tmp_path):
    plain, whole = build(tmp_path, JUDGES["min_40_words"]), build(tmp_path, JUDGES["min_40_words"], changes={"segment": "full"})
    assert [{name: row[name] for name in plain[0]} for row in whole] == plain


def test_the_digests_are_those_of_the_files_of_the_reference():
    for name in DIGESTS:
        if (expected := theirs(name)) is None: pytest.skip("the files of the reference implementation are not beside this checkout")
        assert [row_digest(row, SEGMENTED if "segmented" in name else FIELDS) for row in expected] == DIGESTS[name]
