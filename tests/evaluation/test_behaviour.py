"Any folder of trajectories goes through Table 1 and Figures 4 and 6; the recorded ones are counted here by a path of their own."
import json

import numpy as np
import pytest

from lrat.evaluation.trajectories import count_trajectories, stats_command, trajectory_statistics
from lrat.evaluation.behaviour import accuracy_by_evidence, observe_trajectories, reasoning_lengths, transitions
from lrat.paper.reasoning import fig4d, fig6
from lrat.evaluation.position_bias import browse_positions
from lrat.evaluation.statistics import resampled_medians
from lrat.trajectories.trajectory import Trajectory, Step, write_trajectory
from lrat.core.settings import InputError, LratError
from paths import RECORDED

recorded = pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded trajectories are not beside this checkout")
SEARCH, BROWSE = "search", ("get_document", "visit")


def raw_files(): return [json.loads(path.read_text()) for path in sorted((RECORDED/"runs").glob("run_*.json"))]


def raw_calls(raw): return [s["tool_name"] for s in raw["result"] if s["type"] == "tool_call"]


@recorded
def test_table_1_of_the_recorded_trajectories_agrees_with_the_raw_files():
    calls = [raw_calls(raw) for raw in raw_files()]
    searches, browses = sum(c.count(SEARCH) for c in calls), sum(c.count(b) for c in calls for b in BROWSE)
    found = trajectory_statistics(count_trajectories(RECORDED/"runs"), 200)["total"]
    assert (searches, browses, len(calls)) == (36, 16, 5)
    assert (found["runs"].value, found["searches"].value, found["browses"].value) == (5, searches / 5, browses / 5)
    assert found["browses_per_search"].value == pytest.approx(browses / searches) and found["steps"].value == (searches + browses) / 5


@recorded
def test_transitions_of_the_recorded_trajectories_agree_with_the_raw_files():
    kinds = [["S" if name == SEARCH else "B" for name in raw_calls(raw)] for raw in raw_files()]
    pairs = [pair for kind in kinds for pair in zip(kind, kind[1:])]
    found = transitions(observe_trajectories(RECORDED/"runs"), 200)["total"]
    for first in "SB":
        after = [b for a, b in pairs if a == first]
        assert found[f"{first}->S"].value == pytest.approx(after.count("S") / len(after))
        assert found[f"{first}->S"].n == len(after)


@recorded
def test_reasoning_lengths_of_the_recorded_trajectories_are_those_of_the_reference():
    expected = [json.loads(line) for line in open(RECORDED/"expected_all_relevant.jsonl")]
    lengths = sorted(reasoning_lengths(observe_trajectories(RECORDED/"runs"), 200).values["correct"])
    lengths.remove(120) # The reference makes no pair of this browse: no list since the last useful document holds what was opened
    assert lengths == sorted(row["reasoning_len"] for row in expected)


@recorded
def test_the_command_and_the_figures_take_the_recorded_trajectories_as_they_are(tmp_path, capsys):
    (tmp_path/"qrels").write_text("".join(f"{r['query_id']} 0 {r['retrieved_docids'][0]} 1\n" for r in raw_files()))
    stats_command(str(RECORDED/"runs"), qrels=str(tmp_path/"qrels"))
    said = capsys.readouterr().out
    assert "total\t5\t7.20" in said and "S->S\t0.59" in said and "all browses (beta)\t171.0" in said and "share of correct trajectories" in said
    lengths = reasoning_lengths(observe_trajectories(RECORDED/"runs"), 200)
    assert fig6(lengths.values["correct"], lengths.whole.value).axes[1].lines[1].get_ydata()[1] == .5
    with pytest.raises(LratError, match="no reasoning lengths"): fig4d([])


def test_a_qrels_file_of_three_columns_is_named(tmp_path):
    write_trajectory(tmp_path/"runs", Trajectory("1", "Who?", "completed", [Step("output_text", output="x")], "Ada"))
    (tmp_path/"qrels").write_text("1 d1 1\n")
    with pytest.raises(InputError, match="qrels:1: has 3 columns"): stats_command(str(tmp_path/"runs"), qrels=str(tmp_path/"qrels"))


def runs_of_an_agent(folder, pick, k=10, runs=300):
    "Trajectories that open the document of each shuffled list that `pick` chooses from the docids"
    chance = np.random.default_rng(3)
    for n in range(runs):
        docids = [str(d) for d in chance.permutation(k)]
        found = "\n\n".join(f"DocID:{d}\n[T{d}]\ntext" for d in docids)
        steps = [Step("tool_call", "search", {"query": "q"}, found), Step("tool_call", "get_document", {"docid": pick(docids)}, "text")]
        write_trajectory(folder, Trajectory(str(n), "Who?", "completed", [*steps, Step("output_text", output="Ada")], "Ada"))
    return observe_trajectories(folder)


def test_an_agent_that_reads_is_told_from_one_that_opens_the_top(tmp_path):
    reads = browse_positions(runs_of_an_agent(tmp_path/"reads", lambda docids: "7"), 10, 300)
    top = browse_positions(runs_of_an_agent(tmp_path/"top", lambda docids: docids[0] if int(docids[0]) < 5 else "7"), 10, 300)
    assert reads.p > .05 and reads.mean.low < 5.5 < reads.mean.high and reads.counts.sum() == 300
    assert top.p < 1e-6 and top.mean.high < 5.5
    with pytest.raises(LratError, match="from a list of 5"): browse_positions(observe_trajectories(tmp_path/"top"), 5, 300)


def test_a_trajectory_that_opens_no_evidence_counts_and_one_without_judgements_does_not(tmp_path):
    for number, answer in (("1", "Ada"), ("2", "Bob"), ("3", "Bob")):
        write_trajectory(tmp_path, Trajectory(number, "Who?", "completed", [Step("output_text", output=answer)], "Ada"))
    found = accuracy_by_evidence(observe_trajectories(tmp_path, qrels={"1": {"d": 1}, "2": {"d": 1}, "3": {"d": 0}}))
    assert {label: (one.value, one.n) for label, one in found.items()} == {"0": (.5, 2)}


def test_intervals_of_medians_grow_when_browses_come_in_trajectories():
    values = np.repeat(np.arange(10.), 20) # Twenty alike in each of ten trajectories
    width = lambda runs: np.ptp(np.quantile(resampled_medians(values, runs, [np.ones(200, bool)], 2000), [.025, .975]))
    assert width(np.repeat(np.arange(10), 20)) > 2 * width(np.arange(200))