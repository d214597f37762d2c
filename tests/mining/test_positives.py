"What any pair of a file calls a positive of a query is no negative of that query: at mining and merging, by text and by docid."
import json

import pytest

from lrat.core.files import read_json, write_json, write_jsonl
from lrat.core.settings import InputError
from lrat.data.corpus import Document, open_corpus, write_corpus
from lrat.mining import mine as module
from lrat.mining.merge import merge_command, merge_pairs
from lrat.mining.mine import mine_to_file
from lrat.mining.positives import KnownPositives, pair_keys, text_key
from lrat.mining.rules import PRESETS
from lrat.mining.subsets import mix_pairs
from lrat.trajectories.trajectory import Step, Trajectory, write_trajectory

TEXTS = {"t": "Thames\nA river.", "d": "Danube\nAnother river.", "dd": "danube\n another  RIVER.", "o": "Oak\nA tree.", "e": "Elm\nA tree."}


def asked(name, query, listed, opened):
    "A trajectory with one search, which opens some documents and writes the more about each the later it comes"
    steps = [Step("tool_call", "search", {"query": query}, "\n\n".join(f"DocID:{d}\n[{d}]\nwords" for d in listed.split()))]
    for n, docid in enumerate(opened.split()): steps += [Step("tool_call", "get_document", {"docid": docid}, "text"), Step("reasoning", output="note " * (3 + n))]
    return Trajectory(name, "?", "completed", [*steps, Step("output_text", output="x")])


def mine(folder, trajectories, preset, **more):
    "The rows and the manifest; every verdict is yes"
    write_corpus(folder/"corpus.jsonl", [Document(docid, text) for docid, text in TEXTS.items()])
    for one in trajectories: write_trajectory(folder/"runs", one)
    write_jsonl(folder/"verdicts.jsonl", ({"run": f"run_{one.query_id}", "step": b.step, "docid": b.docid, "verdict": "yes"} for one in trajectories for b in one.browses()))
    manifest = mine_to_file([folder/"runs"], open_corpus(folder/"corpus.jsonl"), [folder/"verdicts.jsonl"], preset, "all-MiniLM-L6-v2", folder/"pairs.jsonl", **more)
    return read(folder/"pairs.jsonl"), manifest


def read(path): return [json.loads(line) for line in open(path)]


def conflicts(rows):
    known = KnownPositives()
    for row in rows: known.add(pair_keys(row, ""))
    return sum(len(row["neg"]) - len(known.negatives_left(pair_keys(row, ""))) for row in rows)


RIVERS = [asked("a", "river", "t d o", "t"), asked("b", "River ", "t d e dd", "d"), asked("c", "tree", "d o", "o")]


@pytest.mark.parametrize("preset", [name for name in PRESETS if name not in ("reference", "top1", "lexical")])
def test_another_trajectorys_positive_is_no_negative_of_the_same_query(preset, tmp_path):
    rows, manifest = mine(tmp_path, RIVERS, preset)
    assert [(row["query"], row["pos_id"], row["neg_id"]) for row in rows] == [("river", ["t"], ["o"]), ("River ", ["d"], ["e"]), ("tree", ["o"], ["d"])]
    for row in rows: assert len(row["neg"]) == len(row["neg_id"]) == len(row.get("neg_tiers", row["neg"])) == len(row.get("neg_weights", row["neg"]))
    assert manifest["negatives_positive_elsewhere"] == 3 and manifest["pairs"] == manifest["satisfied"] == 3  # d; t and dd, whose text is d's


@pytest.mark.parametrize("preset", ["top1", "lexical"])
def test_controls_are_held_to_it_too(preset, tmp_path):
    again = [asked("a", "river", "t d o", ""), asked("b", "river", "d t e", ""), asked("c", "river", "o t d e", "")]
    rows, manifest = mine(tmp_path, again, preset)
    assert conflicts(rows) == 0 and manifest["negatives_positive_elsewhere"] > 0


def test_a_pair_without_a_negative_left_is_skipped_and_weighs_nothing(tmp_path):
    rows, manifest = mine(tmp_path, [*RIVERS, asked("z", "river", "t d", "t")], "recommended")
    assert [row["trajectory"] for row in rows] == ["run_a", "run_b", "run_c"] and manifest["skipped"] == {"no negatives are left": 1}
    assert rows == mine(tmp_path/"alone", RIVERS, "recommended")[0]  # The scale of weights is that of the pairs that stay
    assert [line["run"] for line in read(tmp_path/"pairs.jsonl.provenance.jsonl")] == ["run_a", "run_b", "run_c"]


def test_the_reference_writes_them_and_says_so(tmp_path, capsys):
    rows, manifest = mine(tmp_path, RIVERS, "reference")
    assert conflicts(rows) == manifest["negatives_positive_elsewhere"] == 3
    assert conflicts(mine(tmp_path, RIVERS, "reference", changes={"spare_positives": "true"})[0]) == 0


def test_shards_do_not_matter(tmp_path, monkeypatch):
    many = [asked(f"{n:02}", f"river {n % 3}", "t d o e", "td"[n % 2]) for n in range(12)]
    whole = mine(tmp_path, many, "naive")
    monkeypatch.setattr(module, "SHARD_SIZE", 2)
    assert mine(tmp_path, many, "naive") == whole == mine(tmp_path, many, "naive", processes=2)
    assert conflicts(whole[0]) == 0


def pair(query, positive, negatives, **more): return {"query": query, "pos": [positive], "neg": negatives} | more


@pytest.mark.parametrize("first,second,left", [
    (pair("river", "thames", ["danube", "oak"]), pair("river", "danube", ["elm"]), [["oak"], ["elm"]]),
    (pair("river", "thames", ["danube", "oak"]), pair(" RIVER", "Danube ", ["elm"]), [["oak"], ["elm"]]),
    (pair("river", "thames", ["danube", "oak"], neg_id=["d", "o"]), pair("river", "a longer text", ["elm"], pos_id=["d"]), [["oak"], ["elm"]]),
    (pair("river", "thames", ["danube", "oak"], neg_id=[7, 8], neg_weights=[3, 1]), pair("river", "other", ["elm"], pos_id=["7"]), [["oak"], ["elm"]]),
    (pair("river", "thames", ["danube", "oak"]), pair("tree", "danube", ["elm"]), [["danube", "oak"], ["elm"]]),
    (pair("river", "thames", ["danube"]), pair("river", "danube", ["elm"]), [["elm"]]),
    (pair("river", "thames", []), pair("river", "danube", ["elm"]), [[], ["elm"]])])
def test_merged_files_hold_to_it(first, second, left, tmp_path, capsys):
    for name, row in (("a", first), ("b", second)): write_jsonl(tmp_path/name, [row])
    merge_command([str(tmp_path/"a"), str(tmp_path/"b")], str(tmp_path/"out"))
    rows, manifest = read(tmp_path/"out"), read_json(tmp_path/"out.manifest.json")
    assert sorted(row["neg"] for row in rows) == sorted(left) and manifest["pairs"] == len(left)
    for row in rows: assert all(len(row[name]) == len(row["neg"]) for name in ("neg_id", "neg_weights") if name in row)
    lost = manifest["negatives_positive_elsewhere"]
    assert lost == len(first["neg"] + second["neg"]) - sum(map(len, left))
    assert (f"{lost} negatives were left out: they are positives of the same query in another pair" in capsys.readouterr().out) == bool(lost)


def test_docids_that_do_not_fit_their_texts_are_named(tmp_path):
    write_jsonl(tmp_path/"a", [pair("river", "thames", ["oak"])])
    write_jsonl(tmp_path/"b", [pair("river", "thames", ["oak", "elm"], neg_id=["o"])])
    with pytest.raises(InputError, match="b:1: has 2 texts in 'neg', but 1 in 'neg_id'"): merge_pairs([tmp_path/"a", tmp_path/"b"], tmp_path/"out")


def test_general_queries_are_held_to_it(tmp_path):
    write_jsonl(tmp_path/"pairs", [pair("river", "thames", ["danube", "oak"], reweight_rate=1.)] * 4)
    write_json(tmp_path/"pairs.manifest.json", {"pairs": 4})
    write_jsonl(tmp_path/"general", [{"query": "river", "documents": ["danube", "thames", "elm"]}])
    mix_pairs(tmp_path/"pairs", tmp_path/"general", tmp_path/"mixed", .2, 1)
    assert [row["neg"] for row in read(tmp_path/"mixed")] == [["oak"]] * 4 + [["elm"]]
    assert read_json(tmp_path/"mixed.manifest.json")["negatives_positive_elsewhere"] == 5


def test_half_a_surrogate_pair_has_a_key():
    assert text_key("river \ud83d") != text_key("river")
