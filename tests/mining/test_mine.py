"Labels come from verdicts alone, and a manifest says what became of everything else."
import json

import pytest

from lrat.data.corpus import Document, open_corpus, write_corpus
from lrat.core.files import write_jsonl
from lrat.mining.mine import PRESETS, mine_to_file
from lrat.data.questions import Question
from lrat.trajectories.trajectory import Trajectory, Step, write_trajectory
from lrat.core.settings import InputError, LratError


def listed(*docids): return "\n\n".join(f"DocID:{d}\n[T{d}]\nwords" for d in docids)


def run(name, *events):
    "A trajectory of searches (tuples of query and docids) and browses (pairs of docid and reasoning)"
    steps = []
    for kind, value, more in events:
        if kind == "search": steps.append(Step("tool_call", "search", json.dumps({"query": value}), listed(*more)))
        else: steps += [Step("tool_call", "get_document", json.dumps({"docid": value}), "text"), Step("reasoning", output=more)]
    return Trajectory(name, "?", "completed", [*steps, Step("output_text", output="T1")])


@pytest.fixture
def world(tmp_path):
    write_corpus(tmp_path/"corpus.jsonl", [Document(str(n), f"T{n}\nwords of document {n}") for n in range(1, 10)])
    write_trajectory(tmp_path/"runs", run("a", ("search", "first", (1, 2, 3)), ("open", "1", "long and useful reasoning " * 5),
                                   ("search", "second", (1, 4, 5)), ("open", "4", "short note"), ("open", "2", "older list")))
    write_trajectory(tmp_path/"runs", run("b", ("search", "third", (6, 7)), ("open", "6", "something"), ("open", "99", "never returned")))
    return tmp_path


def mine(world, verdicts, preset="recommended", **more):
    write_jsonl(world/"v.jsonl", ({"run": r, "step": s, "docid": d, "verdict": v} for (r, s, d), v in verdicts.items()))
    manifest = mine_to_file([world/"runs"], open_corpus(world/"corpus.jsonl"), [world/"v.jsonl"], preset, "all-MiniLM-L6-v2", world/"p.jsonl", **more)
    return manifest, [json.loads(line) for line in open(world/"p.jsonl")]


ALL_YES = {("run_a", 1, "1"): "yes", ("run_a", 4, "4"): "yes", ("run_a", 6, "2"): "yes", ("run_b", 1, "6"): "yes", ("run_b", 3, "99"): "yes"}


def test_a_browse_is_tied_to_the_list_that_returned_it(world):
    _, pairs = mine(world, ALL_YES)
    assert [(p["query"], p["pos_id"], p["neg_id"]) for p in pairs] == [
        ("first", ["1"], ["3"]), ("second", ["4"], ["5"]), ("first", ["2"], ["3"]), ("third", ["6"], ["7"])]
    _, paper = mine(world, ALL_YES, "paper")
    assert [(p["query"], p["pos_id"]) for p in paper] == [("first", ["1"]), ("second", ["4"]), ("third", ["6"])]


def test_an_opened_document_is_never_a_negative(world):
    _, pairs = mine(world, ALL_YES)
    opened = {"run_a": {"1", "2", "4"}, "run_b": {"6", "99"}}
    assert {p["trajectory"] for p in pairs} == opened.keys()
    for p in pairs: assert not opened[p["trajectory"]] & set(p["neg_id"])


@pytest.mark.parametrize("verdict", ["no", "undecided", "failed"])
def test_only_a_yes_becomes_a_label(world, verdict):
    manifest, pairs = mine(world, ALL_YES | {("run_a", 4, "4"): verdict})
    assert ["4"] not in [p["pos_id"] for p in pairs] and manifest["skipped"][f"verdict {verdict}"] == 1


def test_a_browse_without_a_verdict_is_counted(world):
    manifest, pairs = mine(world, {k: v for k, v in ALL_YES.items() if k[1] != 4})
    assert manifest["skipped"]["verdict missing"] == 1 and manifest["pairs"] == len(pairs) == 3


def test_weights_average_to_one_and_grow_with_reasoning(world):
    _, pairs = mine(world, ALL_YES)
    assert abs(sum(p["reweight_rate"] for p in pairs) / len(pairs) - 1) < 1e-12
    assert pairs[0]["reweight_rate"] == max(p["reweight_rate"] for p in pairs)
    assert {p["reweight_rate"] for p in mine(world, ALL_YES, "filter")[1]} == {1.}


def test_the_same_bytes_twice_and_nothing_half_written(world):
    for preset in PRESETS:
        mine(world, ALL_YES, preset)
        first = (world/"p.jsonl").read_bytes()
        mine(world, ALL_YES, preset)
        assert (world/"p.jsonl").read_bytes() == first
    assert not list(world.glob(".p.jsonl*"))


def test_bad_verdict_files(world):
    with pytest.raises(LratError, match="no pair is left.*verdict missing"):
        mine(world, {("run_z", 1, "1"): "yes"})
    with pytest.raises(InputError, match="v.jsonl:1: verdict is 'good'"): mine(world, {("run_a", 1, "1"): "good"})
    with pytest.raises(LratError, match="no pair is left under preset 'recommended'"): mine(world, {("run_a", 1, "1"): "no"})
    assert not list(world.glob("*p.jsonl*"))


@pytest.mark.parametrize("verdict", ["undecided", "failed"])
def test_the_reference_labels_nobody_without_a_yes_or_no(world, verdict):
    manifest, pairs = mine(world, ALL_YES | {("run_a", 4, "4"): verdict}, "reference")
    for p in pairs: assert p["pos_id"] != ["4"] and not (p["trajectory"] == "run_a" and "4" in p["neg_id"])
    assert manifest["skipped"][f"verdict {verdict}"] == 1


def test_a_verdict_with_a_docid_is_for_that_document_alone(world):
    write_trajectory(world/"runs", Trajectory("c", "?", "completed", [
        Step("tool_call", "search", '{"query": "both"}', listed(1, 2, 3)),
        Step("tool_call", "get_document", '{"docid": ["1", "2"]}', "texts"), Step("reasoning", output="one of them"),
        Step("output_text", output="T1")]))
    _, pairs = mine(world, {("run_c", 1, "2"): "yes", ("run_c", 1, "1"): "no"})
    assert [(p["pos_id"], p["neg_id"]) for p in pairs] == [(["2"], ["3"])]


def empty_reasoning(world):
    write_trajectory(world/"runs", Trajectory("c", "?", "completed", [
        Step("tool_call", "search", '{"query": "silent"}', listed(8, 9)), Step("tool_call", "get_document", '{"docid": "8"}', "text"),
        Step("output_text", output="T8")]))
    return ALL_YES | {("run_c", 1, "8"): "yes"}


@pytest.mark.parametrize("preset,weight", [("paper", 0.), ("reference", 1.), ("naive", 1.)])
def test_what_a_pair_without_reasoning_weighs(world, preset, weight):
    _, pairs = mine(world, empty_reasoning(world), preset)
    assert [(p["reasoning_len"], p["reweight_rate"]) for p in pairs if p["trajectory"] == "run_c"] == [(0, weight)]


def test_recommended_skips_a_pair_without_reasoning(world):
    manifest, pairs = mine(world, empty_reasoning(world))
    assert manifest["skipped"]["empty reasoning"] == 1 and "run_c" not in [p["trajectory"] for p in pairs]


def test_the_arms_differ_in_one_thing_each(world):
    verdicts = ALL_YES | {("run_a", 4, "4"): "no"}
    arms = {name: mine(world, verdicts, name)[1] for name in ("naive", "filter", "reweight", "recommended")}
    plain = lambda pairs: [{k: v for k, v in p.items() if k != "reweight_rate"} for p in pairs]
    assert [p for p in arms["naive"] if p["pos_id"] != ["4"]] == arms["filter"] and len(arms["naive"]) == len(arms["filter"]) + 1
    assert plain(arms["filter"]) == plain(arms["reweight"]) and arms["filter"] != arms["reweight"] == arms["recommended"]


def test_controls_choose_without_the_agent(world):
    (world/"corpus.jsonl").unlink()
    write_corpus(world/"corpus.jsonl", [Document(str(n), f"T{n}\n{'second' if n == 5 else 'words'} of document") for n in range(1, 10)])
    assert [p["pos_id"] for p in mine(world, {}, "top1")[1]] == [["1"], ["1"], ["6"]]
    assert [p["pos_id"] for p in mine(world, {}, "lexical")[1]] == [["1"], ["5"], ["6"]]


def test_wrong_and_failed_runs_are_left_out(world):
    questions = [Question("a", "?", "T1"), Question("b", "?", "another")]
    manifest, pairs = mine(world, ALL_YES, questions=questions)
    assert {p["trajectory"] for p in pairs} == {"run_a"} and manifest["skipped"]["run answers wrongly"] == 1
    assert mine(world, ALL_YES, questions=questions, correct_only=False)[0]["runs_mined"] == 2
    assert mine(world, ALL_YES, "reference", questions=questions)[0]["runs_mined"] == 2
    assert mine(world, ALL_YES)[0]["runs_without_answer_key"] == 2
    write_trajectory(world/"runs", Trajectory("d", "?", "failed: no connection", []))
    assert mine(world, ALL_YES)[0]["skipped"]["run failed"] == 1


def test_texts_that_the_corpus_lacks_are_counted(world):
    (world/"corpus.jsonl").unlink()
    write_corpus(world/"corpus.jsonl", [Document(str(n), f"T{n}\nwords") for n in (1, 3, 4)])
    manifest, pairs = mine(world, ALL_YES)
    assert [p["pos_id"] for p in pairs] == [["1"]]
    assert manifest["skipped"]["text not in the corpus"] == 3 and manifest["negatives_not_in_the_corpus"] == 2


def test_folders_share_one_scale(world):
    write_jsonl(world/"v.jsonl", ({"run": r, "step": s, "docid": d, "verdict": v} for (r, s, d), v in ALL_YES.items()))
    corpus = open_corpus(world/"corpus.jsonl")
    both = mine_to_file([world/"runs"] * 2, corpus, [world/"v.jsonl"] * 2, "recommended", "all-MiniLM-L6-v2", world/"p.jsonl")
    rates = [json.loads(line)["reweight_rate"] for line in open(world/"p.jsonl")]
    assert both["pairs"] == 8 and abs(sum(rates) / 8 - 1) < 1e-12
    with pytest.raises(LratError, match="2 folders of trajectories, but 1 verdict files"):
        mine_to_file([world/"runs"] * 2, corpus, [world/"v.jsonl"], "recommended", "all-MiniLM-L6-v2", world/"p.jsonl")
