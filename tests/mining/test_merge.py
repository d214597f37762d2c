"Files of pairs are merged on one scale and counted without their texts; what cannot be put together or read is one line."
import json

import pytest

from lrat.evaluation.trajectories import stats_command
from lrat.data.corpus import Document, open_corpus, write_corpus
from lrat.core.files import read_json, write_jsonl
from lrat.mining.merge import merge_command, merge_pairs, scan_pairs
from lrat.mining.mine import mine_to_file
from lrat.evaluation.pairs import pair_statistics, read_pairs
from lrat.trajectories.trajectory import Trajectory, Step, write_trajectory
from lrat.core.settings import InputError, LratError


def pair(n, length=10, **more):
    return {"query": f"query {n}", "pos": [f"text {n}"], "neg": ["a", "b"], "pos_id": [f"p{n}"], "neg_id": ["a", "b"], "reasoning_len": length,
            "satisfied": True, "trajectory": f"run_{n}"} | more


def read(path): return [json.loads(line) for line in open(path)]


def run(name, words):
    listed = "\n\n".join(f"DocID:{d}\n[T{d}]\nwords" for d in (1, 2, 3))
    return Trajectory(name, "?", "completed", [Step("tool_call", "search", '{"query": "q"}', listed), Step("tool_call", "visit", '{"docid": "1"}', "t"),
                                        Step("reasoning", output="so " * words), Step("output_text", output="T1")])


@pytest.mark.parametrize("preset", ["reference", "paper", "naive"])
def test_merged_pairs_weigh_what_they_would_if_mined_together(preset, tmp_path):
    corpus = open_corpus(write_corpus(tmp_path/"corpus.jsonl", [Document(str(n), f"T{n}\nwords {n}") for n in range(1, 4)]) and tmp_path/"corpus.jsonl")
    for folder, names in (("a", "uv"), ("b", "wxyz")):
        for n, name in enumerate(names): write_trajectory(tmp_path/folder, run(name, 3 + 10 * n))
    write_trajectory(tmp_path/"b", run("silent", 0)) # A pair without reasoning: 0 or 1 by preset
    for name in "ab": write_jsonl(tmp_path/f"{name}.verdicts", ({"run": p.stem, "step": 1, "verdict": "yes"} for p in (tmp_path/name).glob("run_*")))
    def mine(names, out): mine_to_file([tmp_path/n for n in names], corpus, [tmp_path/f"{n}.verdicts" for n in names], preset, "all-MiniLM-L6-v2", tmp_path/out)
    mine("ab", "whole.jsonl"); mine("a", "a.jsonl"); mine("b", "b.jsonl")
    manifest = merge_pairs([tmp_path/"a.jsonl", tmp_path/"b.jsonl"], tmp_path/"merged.jsonl", seed=3)
    whole, merged = ({row["trajectory"]: row for row in read(tmp_path/name)} for name in ("whole.jsonl", "merged.jsonl"))
    assert len(whole) == len(merged) == 7
    for name, row in whole.items():
        assert merged[name]["reweight_rate"] == pytest.approx(row["reweight_rate"], abs=1e-12)
        assert {k: v for k, v in merged[name].items() if k != "reweight_rate"} == {k: v for k, v in row.items() if k != "reweight_rate"}
    mined = read_json(tmp_path/"whole.jsonl.manifest.json")
    assert {k: manifest[k] for k in ("beta", "mu", "pairs", "satisfied", "skipped", "preset")} == {k: mined[k] for k in ("beta", "mu", "pairs", "satisfied", "skipped", "preset")}


def test_the_seed_gives_the_order_and_the_draw(tmp_path):
    for name, count in (("a", 40), ("b", 15)): write_jsonl(tmp_path/name, (pair(f"{name}{n}", n + 1) for n in range(count)))
    def merged(**more):
        merge_pairs([tmp_path/"a", tmp_path/"b"], tmp_path/"out", **more)
        return (tmp_path/"out").read_bytes(), [row["query"] for row in read(tmp_path/"out")]
    one, again, other = merged(seed=1), merged(seed=1), merged(seed=2)
    assert one == again and one != other and sorted(one[1]) == sorted(other[1])
    equal = merged(seed=1, equal=True)[1]
    assert len(equal) == len(set(equal)) == 30 and sum(q.startswith("query a") for q in equal) == 15
    assert "reweight_rate" not in read(tmp_path/"out")[0] # None had weights


@pytest.mark.parametrize("rows,says", [
    ([], "b: holds no pair"), (["{"], "b:1: is not valid JSON"), ([json.dumps(pair(1, reweight_rate=1.1)), '{"query": "x"}'], "b:2: is not a training pair"),
    ([json.dumps(pair(1))], "b: has no weights, but other files have"), ([json.dumps(pair(1, length=None, reweight_rate=2.))], "b: pair 1 has a weight, but no 'reasoning_len'"),
    ([json.dumps(pair(1, length="long"))], "b:1: field 'reasoning_len' is str"), (["\x89PNG"], "b:1: is not UTF-8 text")])
def test_what_cannot_be_merged_is_one_line(rows, says, tmp_path):
    write_jsonl(tmp_path/"a", [pair(n, n + 1, reweight_rate=.5 + n) for n in range(3)])
    (tmp_path/"b").write_bytes("\n".join(rows).encode("latin-1"))
    with pytest.raises(LratError) as caught: merge_command([str(tmp_path/"a"), str(tmp_path/"b")], str(tmp_path/"out"))
    assert says in str(caught.value) and "\n" not in str(caught.value) and not (tmp_path/"out").exists()


def test_lengths_of_two_tokenizers_are_not_compared(tmp_path):
    for name in "ab":
        write_jsonl(tmp_path/name, [pair(n, n + 1, reweight_rate=.5 + n) for n in range(3)])
        (tmp_path/f"{name}.manifest.json").write_text(json.dumps({"tokenizer": f"model-{name}", "beta": 2., "mu": .5}))
    with pytest.raises(LratError, match="counted by model-a and by model-b; mine again with one tokenizer"): merge_pairs([tmp_path/"a", tmp_path/"b"], tmp_path/"out")
    with pytest.raises(InputError, match="there is no such file"): merge_pairs([tmp_path/"a", tmp_path/"none"], tmp_path/"out")
    with pytest.raises(LratError, match="name two or more"): merge_pairs([tmp_path/"a"], tmp_path/"out")


def test_a_single_pair_of_weight_one_counts_as_weighted_by_its_manifest(tmp_path):
    write_jsonl(tmp_path/"a", [pair(1, reweight_rate=1.)])
    assert not scan_pairs(tmp_path/"a").weighted
    (tmp_path/"a.manifest.json").write_text('{"beta": 10.0, "mu": 0.5}')
    assert scan_pairs(tmp_path/"a").weighted


def test_statistics_by_hand(tmp_path, capsys):
    rows = [pair(n % 8, n, segment_tag=f"front{30 * (n % 2 + 1)}", neg_id=["r", "s"], satisfied=n < 6) for n in range(10)] # Two are there twice
    write_jsonl(tmp_path/"pairs", rows)
    (tmp_path/"qrels").write_text("0 Q0 r 1\n1 Q0 s 0\n")
    (tmp_path/"against.qrels").write_text("e Q0 p0 1\n")
    (tmp_path/"against.tsv").write_text("e\tQUERY  3\nf\tquery 99\n")
    stats_command(str(tmp_path/"pairs"), qrels=str(tmp_path/"qrels"), against=str(tmp_path/"against.tsv"), against_qrels=str(tmp_path/"against.qrels"))
    said = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert (said["pairs"], said["queries"], said["negatives per pair"], said["duplicates"]) == ("10", "8", "2", "0.2000 of 10")
    assert (said["mean reasoning length"], said["median reasoning length"], said["P90 of reasoning length"]) == ("4.5", "4.5", "8.1")
    assert (said["segment front30"], said["segment front60"]) == ("5", "5")
    assert said["satisfied"].startswith("0.6000 [") and said["empty reasoning"].startswith("0.1000 [")
    assert said["queries that are evaluation questions"] == "0.1000 of 10" and said["evaluation questions among the queries"] == "0.5000 of 2"
    assert said["positives relevant in the evaluation"] == "0.2000 of 10"
    assert said["negatives that are relevant"] == "0.2500 [0.0715, 0.5907] of 8" # Two of the eight negatives of questions 0 and 1; Wilson


def test_statistics_do_not_invent(tmp_path):
    write_jsonl(tmp_path/"pairs", [{"query": "a", "pos": ["b"], "neg": []}])
    table = pair_statistics(tmp_path/"pairs")
    assert table["pairs without negatives"] == 1
    assert not {"satisfied", "mean reasoning length", "negatives that are relevant", "positives relevant in the evaluation"} & table.keys()


@pytest.mark.parametrize("line,says", [('{"query": 7, "pos": [], "neg": []}', "query must be text"), ('{"query": "q", "pos": "p", "neg": []}', "pos, neg, pos_id and neg_id lists"),
                                       (json.dumps(pair(1, reweight_rate="heavy")), "field 'reweight_rate' is str, not a number"), ("[1]", "is a JSON list")])
def test_a_line_that_is_not_a_pair_is_named(line, says, tmp_path):
    (tmp_path/"pairs").write_text(f"{json.dumps(pair(1))}\n{line}\n")
    with pytest.raises(InputError) as caught: read_pairs(tmp_path/"pairs")
    assert str(caught.value).startswith(f"{tmp_path/'pairs'}:2: ") and says in str(caught.value)


def test_weights_of_one_folder_each_are_not_put_on_one_scale(tmp_path):
    for name in "ab":
        write_jsonl(tmp_path/f"{name}.jsonl", [{"query": name, "pos": ["a"], "neg": ["b"], "reasoning_len": 9, "reweight_rate": 1.}])
        (tmp_path/f"{name}.jsonl.manifest.json").write_text('{"beta": [9.0], "mu": [0.5], "rules": {"scale": "folder"}}')
    with pytest.raises(LratError, match="scaled by folder; mine all files with scale=file"):
        merge_pairs([tmp_path/"a.jsonl", tmp_path/"b.jsonl"], tmp_path/"c.jsonl")


def test_a_merge_in_the_place_of_mined_pairs_has_their_hash(tmp_path):
    "Training refuses pairs that are not what their hash says"
    from lrat.core.sums import changed_file
    for name in ("a", "b"): (tmp_path/name).write_text(json.dumps({"query": name, "pos": [name], "neg": ["n"], "pos_id": [name], "neg_id": ["n"]}) + "\n")
    (tmp_path/"pairs.jsonl.sha256").write_text(f"{'0' * 64}  pairs.jsonl\n")  # Of what lay there before
    merge_pairs([tmp_path/"a", tmp_path/"b"], tmp_path/"pairs.jsonl")
    assert changed_file(tmp_path/"pairs.jsonl.sha256") == ""
