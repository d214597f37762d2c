"What belongs to which trajectory, and that nothing is left out without a note."
import dataclasses, json

import pytest
from lrat.core.files import write_json, write_jsonl
from lrat.core.settings import InputError, LratError
from lrat.data.corpus import Document, open_corpus, write_corpus
from lrat.judging.command import make_judge
from lrat.judging.judge import judge_trajectories
from lrat.mining.mine import mine_to_file
from lrat.testing.museum import DOCUMENTS, TRAJECTORY
from lrat.trajectories.trajectory import Step, write_trajectory
from lrat.viewer.command import view_command
from lrat.viewer.folder import TrajectoryFolder, list_notes, list_rows, page_json, show_trajectory

PAIR = {"query": "lamp", "pos": ["Lantern"], "neg": ["Bell"], "pos_id": ["m07"], "neg_id": ["m03"], "trajectory": "run_q1", "step": 5, "reweight_rate": 1.}


@pytest.fixture
def runs(tmp_path):
    write_trajectory(tmp_path/"runs", TRAJECTORY)
    return tmp_path/"runs"


def pairs_of(shown): return [(d["docid"], p["query"]) for e in shown["events"] for d in e.get("documents", ()) for p in d.get("pairs", ())]


def test_mined_pairs_stand_beside_the_documents_they_were_mined_from(runs, tmp_path):
    write_corpus(tmp_path/"corpus.jsonl", DOCUMENTS)
    judge_trajectories(runs, make_judge("rule"), tmp_path/"verdicts.jsonl")
    mine_to_file([runs], open_corpus(tmp_path/"corpus.jsonl"), [tmp_path/"verdicts.jsonl"], "recommended", "all-MiniLM-L6-v2", tmp_path/"pairs.jsonl")
    known = TrajectoryFolder(runs, tmp_path/"verdicts.jsonl", tmp_path/"pairs.jsonl")
    shown, mined = show_trajectory(known, "run_q1"), [json.loads(line) for line in open(tmp_path/"pairs.jsonl")]
    assert pairs_of(shown) == [(row["pos_id"][0], row["query"]) for row in mined] != []
    assert [d["verdict"]["verdict"] for e in shown["events"] for d in e.get("documents", ())] == ["undecided", "yes"]
    assert not any(d["verdict"]["stale"] for e in shown["events"] for d in e.get("documents", ()))
    assert list(list_rows(known))[0]["pairs"] == len(mined) and list_notes(known) == []


def test_a_verdict_on_other_notes_is_out_of_date(runs, tmp_path):
    judge_trajectories(runs, make_judge("rule"), tmp_path/"verdicts.jsonl")
    changed = [step if step.type != "reasoning" else dataclasses.replace(step, output="Something else.") for step in TRAJECTORY.steps]
    write_trajectory(runs, dataclasses.replace(TRAJECTORY, steps=changed))
    shown = show_trajectory(TrajectoryFolder(runs, tmp_path/"verdicts.jsonl"), "run_q1")
    assert [d["verdict"]["stale"] for e in shown["events"] for d in e.get("documents", ())] == [True, True]


def test_pairs_of_two_folders_with_the_same_names_are_told_apart(tmp_path):
    for name in ("bm25", "dense"): write_trajectory(tmp_path/name/"runs", TRAJECTORY)
    write_jsonl(tmp_path/"pairs.jsonl", [PAIR | {"query": name} for name in ("bm25", "dense", "dense")])
    write_jsonl(tmp_path/"pairs.jsonl.provenance.jsonl", [{"folder": n} for n in (0, 1, 1)])
    write_json(tmp_path/"pairs.jsonl.manifest.json", {"folders": ["elsewhere/bm25/runs", "elsewhere/dense/runs"]})
    for name, count in (("bm25", 1), ("dense", 2)):
        known = TrajectoryFolder(tmp_path/name/"runs", pairs=tmp_path/"pairs.jsonl")
        assert pairs_of(show_trajectory(known, "run_q1")) == [("m07", name)] * count
        assert list(list_rows(known))[0]["pairs"] == count and not list_notes(known)
    write_jsonl(tmp_path/"pairs.jsonl.provenance.jsonl", [{"folder": 0}])
    with pytest.raises(InputError, match="has 1 lines for 3 pairs"): TrajectoryFolder(tmp_path/"bm25"/"runs", pairs=tmp_path/"pairs.jsonl")


def test_pairs_without_a_document_or_a_step_are_shown_too(runs, tmp_path):
    write_jsonl(tmp_path/"pairs.jsonl", [PAIR | {"step": 4, "query": "of a search"}, PAIR | {"pos_id": ["m99"], "query": "of another document"}, PAIR | {"step": 77, "query": "of no step"},
                                         {name: value for name, value in PAIR.items() if not name.endswith("_id")}])
    events = show_trajectory(TrajectoryFolder(runs, pairs=tmp_path/"pairs.jsonl"), "run_q1")["events"]
    assert [(e["kind"], [p["query"] for p in e["pairs"]]) for e in events if e.get("pairs")] == [
        ("search", ["of a search"]), ("open", ["of another document", "lamp"]), ("pairs", ["of no step"])]


@pytest.mark.parametrize("row,says", [({"trajectory": None}, "field 'trajectory' is NoneType"), ({"step": "5"}, "field 'step' is str"), ({"neg": None}, "field 'neg' is NoneType")], ids=str)
def test_a_bad_pair_is_named(runs, tmp_path, row, says):
    write_jsonl(tmp_path/"pairs.jsonl", [PAIR, PAIR | row])
    with pytest.raises(InputError) as caught: TrajectoryFolder(runs, pairs=tmp_path/"pairs.jsonl")
    assert "pairs.jsonl:2: " in str(caught.value) and says in str(caught.value)


def test_what_is_not_shown_is_noted(runs, tmp_path):
    for n in range(3): (runs/f"run_z{n}.json").write_text("{" * n)
    write_jsonl(tmp_path/"pairs.jsonl", [PAIR, PAIR | {"trajectory": "run_q7"}])
    write_jsonl(tmp_path/"verdicts.jsonl", [{"run": "run_q7", "step": 2, "verdict": "yes"}])
    known = TrajectoryFolder(runs, tmp_path/"verdicts.jsonl", tmp_path/"pairs.jsonl")
    assert len(list(list_rows(known))) == 1
    notes = list_notes(known)
    assert notes[0].startswith("3 of 4 files cannot be read; the first: run_z0.json") and str(tmp_path) not in notes[0]
    assert notes[1].startswith("none of the 1 verdicts is on an opened document") and notes[2:] == ["1 of 2 pairs are of other trajectories"]
    known = TrajectoryFolder(runs, limit=1)
    assert len(list(list_rows(known))) == 1 and list_notes(known) == ["the first 1 of 4 trajectories are shown"]


def test_documents_that_the_corpus_lacks_are_named(runs, tmp_path):
    write_corpus(tmp_path/"corpus.jsonl", [d for d in DOCUMENTS if d.docid != "m11"] + [Document("m99", "never listed")])
    shown = show_trajectory(TrajectoryFolder(runs, corpus=open_corpus(tmp_path/"corpus.jsonl")), "run_q1")
    assert shown["missing"] == ["m11"] and "m99" not in shown["documents"] and shown["documents"]["m07"] == DOCUMENTS[7].text


def test_values_of_other_types_do_not_stop_the_page(tmp_path):
    steps = [Step("tool_call", "search", {"query": "half"}, [{"docid": "m07", "score": None, "snippet": ""}])]
    row = {"query_id": "q", "query": ["a", "list"], "status": None, "metadata": {"inf": "inf"}, "result": [dataclasses.asdict(step) for step in steps]}
    (tmp_path/"run_q.json").write_text(json.dumps(row))
    known = TrajectoryFolder(tmp_path)
    shown = json.loads(page_json(show_trajectory(known, "run_q")))
    assert shown["metadata"] == {"inf": "inf"} and json.loads(page_json(list(list_rows(known))))[0]["question"] == "a\nlist"


def test_a_file_with_values_that_json_lacks_is_named(tmp_path):
    for name, value in (("run_a", "1"), ("run_b", "Infinity"), ("run_c", '"\\ud800"')):
        (tmp_path/f"{name}.json").write_text('{"query_id": "q", "query": "q", "result": [], "metadata": {"x": %s}}' % value)
    known = TrajectoryFolder(tmp_path)
    rows = json.loads(page_json(list(list_rows(known))))
    assert len(rows) == 1 and "holds Infinity" in str(known.unreadable) and "run_b" in str(known.unreadable)


@pytest.mark.parametrize("options,says", [
    ({"trajectories": "none"}, "holds no trajectory files"), ({"other": "runs"}, "is named twice"), ({"verdicts": ["a", "b"]}, "2 files for --verdicts, but 1 folder"),
    ({"pairs": ["a", "b"]}, "2 files for --pairs"), ({"pairs": ["none.jsonl"]}, "no such file"), ({"corpus": "none.jsonl"}, "no such corpus"), ({"limit": 0}, "--limit is 0"),
    ({"host": "0.0.0.0"}, "clients need a token"), ({"token_file": "none"}, "no such file")], ids=str)
def test_mistakes_are_one_line(runs, monkeypatch, options, says):
    monkeypatch.chdir(runs.parent)
    monkeypatch.delenv("LRAT_SERVE_TOKEN", raising=False)
    with pytest.raises(LratError) as caught: view_command(**({"trajectories": "runs"} | options))
    assert says in str(caught.value) and "\n" not in str(caught.value)
