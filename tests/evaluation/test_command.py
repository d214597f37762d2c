"The commands `eval` and `compare`: answer judges that break, trajectories of BrowseComp-Plus, and what is kept when an input is bad."
import json, time

import numpy as np, pytest

from lrat.core.files import write_jsonl
from lrat.core.settings import InputError, LratError
from lrat.data.canary import encrypt
from lrat.data.questions import read_questions
from lrat.evaluation.browsecomp import calibration_error, iterate_browsecomp, to_browsecomp, write_browsecomp
from lrat.evaluation.command import compare_command, eval_command
from lrat.evaluation.files import read_scores, write_scores
from lrat.evaluation.scores import ScoreTable, score_trajectories
from lrat.judging.answers import AnswerJudge, judge_answers, read_answer_verdicts
from lrat.llm.client import ChatModel
from lrat.testing.server import completion, stand_in
from lrat.trajectories.trajectory import Step, Trajectory, read_trajectory, write_trajectory
from paths import RECORDED
from program import lrat


def make_trajectory(number, answer, query="Which city?", **more):
    return Trajectory(str(number), query, "completed", [Step("output_text", output=answer)], tool_call_counts={"search": 1},
               tool_call_counts_all={"search": 1}, **more)


@pytest.fixture
def folder(tmp_path):
    (tmp_path/"q.tsv").write_text("".join(f"{n}\tWhich city?\tOslo\n" for n in range(1, 31)))
    for n in range(1, 31): write_trajectory(tmp_path/"runs", make_trajectory(n, "It is Oslo." if n <= 20 else "Bergen"))
    return tmp_path


def scored(folder, runs="runs", **options):
    eval_command(str(folder/runs), questions=str(folder/"q.tsv"), out=str(folder/"out.jsonl"), **options)
    return read_scores(folder/"out.jsonl")


def reader(request):
    return completion(f"correct: {'yes' if 'It is Oslo' in request['messages'][0]['content'] else 'no'}")


# -------------------------------------------------------------------------------------------------------------- answer judges

def test_verdicts_are_kept_and_the_denominator_is_what_was_asked(folder):
    for n in (29, 30): (folder/"runs"/f"run_{n}.json").unlink()
    with stand_in(reader) as server:
        first = scored(folder, answer_judge="model", endpoint=server.url, model="m")
        calls = len(server.requests)
        again = scored(folder, answer_judge="model", endpoint=server.url, model="m")
        assert len(server.requests) == calls == 28
    assert np.nanmean(first.column("success")) == 20/30 and first.statuses == again.statuses
    assert scored(folder, verdicts=str(folder/"out.jsonl.verdicts.jsonl")).column("success").sum() == 20


def test_a_judge_that_returns_nonsense_keeps_the_rest(folder):
    count = iter(range(1000))
    def broken(request): return reader(request) if next(count) < 10 else completion("Lovely city!")
    with stand_in(broken) as server:
        with pytest.raises(LratError, match=r"calls to the judge returned no verdict \(\d+ unreadable, 0 failed") as error:
            scored(folder, answer_judge="model", endpoint=server.url, model="m", concurrency=1)
    assert "\n" not in str(error.value)
    table = read_scores(folder/"out.jsonl")
    judged = ~np.isnan(table.column("success"))
    assert judged.sum() == 10 and table.statuses.count("unjudged") == 20 and (table.column("steps") == 1).all()
    with stand_in(reader) as server: # Repaired, it asks only for what is open
        scored(folder, answer_judge="model", endpoint=server.url, model="m")
        assert len(server.requests) == 20


def test_a_judge_that_times_out_does_not_make_an_answer_wrong(folder):
    def slow(request):
        if "Bergen" in request["messages"][0]["content"]: time.sleep(2.5)
        return reader(request)
    with stand_in(slow) as server:
        judge = AnswerJudge(ChatModel(server.url, "m", timeout=1, attempts=1), concurrency=8)
        asked = read_questions(folder/"q.tsv")
        with pytest.raises(LratError, match=r"0 unreadable, \d+ failed; last: no reply within"): judge_answers(folder/"runs", asked, judge, folder/"v.jsonl")
    table = score_trajectories(folder/"runs", asked, correct=read_answer_verdicts(folder/"v.jsonl"))
    verdicts = [json.loads(line)["verdict"] for line in open(folder/"v.jsonl")]
    assert set(verdicts) == {"correct", "failed"} and np.nansum(table.column("success")) == verdicts.count("correct") # How many, the machine's load decides
    assert 0 not in table.column("success")
    assert "answers without a verdict (not counted as wrong" in table.note


def test_a_verdict_file_with_a_missing_question(folder, capsys):
    write_jsonl(folder/"v.jsonl", ({"query_id": str(n), "verdict": "correct"} for n in range(1, 30)))
    table = scored(folder, verdicts=str(folder/"v.jsonl"))
    assert table.statuses[29] == "unjudged" and np.nansum(table.column("success")) == 29
    assert "1 answers without a verdict" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------------- bad input, rest kept

def test_questions_that_are_still_encrypted_are_one_line(folder):
    (folder/"q.tsv").write_text(f"1\t{encrypt('Which city lies on a fjord?')}\t{encrypt('Bergen')}\n")
    with pytest.raises(InputError, match="q.tsv:1: the question '1' is still encrypted; "): scored(folder)


def test_qrels_of_three_columns_keep_the_other_scores(folder):
    (folder/"e.qrels").write_text("1 Q0 a 1\n2 a 1\n")
    with pytest.raises(LratError, match="e.qrels:2: has 3 columns, but must have 4.*what could be scored is in"):
        scored(folder, qrels=str(folder/"e.qrels"))
    assert (read_scores(folder/"out.jsonl").column("steps") == 1).all()


def test_trajectories_of_two_benchmarks_in_one_folder(folder, capsys):
    for path in (folder/"runs").glob("run_3.json"): path.unlink()
    write_trajectory(folder/"runs", make_trajectory(3, "Oslo", query="Which river is the longest of all?")) # Another benchmark's number 3
    write_trajectory(folder/"runs", make_trajectory("w7", "Oslo", query="Which lake?"))
    table = scored(folder)
    assert table.statuses[2] == "missing" and table.statuses.count("completed") == 29
    line, = [line for line in capsys.readouterr().err.splitlines() if "other questions" in line]
    assert "2 trajectories ask other questions" in line and "first: run_3" in line


def test_a_score_file_with_a_missing_question_is_compared_on_the_rest(tmp_path, capsys):
    for name, ids in (("a", "1234"), ("b", "124")):
        write_scores(tmp_path/name, ScoreTable(tuple(ids), ("completed",) * len(ids), {"success": np.ones(len(ids))}))
    with pytest.raises(LratError, match="b: lacks 1 of 4 questions .first: '3'.*over the 3 questions that all hold"):
        compare_command(str(tmp_path/"a"), str(tmp_path/"b"))
    assert "n = 3" in capsys.readouterr().out


def test_a_trec_run_needs_judgements_and_no_questions(tmp_path, capsys):
    (tmp_path/"r.trec").write_text("q1 Q0 a 1 2.0 x\nq1 Q0 b 2 1.0 x\n")
    (tmp_path/"q.qrels").write_text("q1 Q0 b 1\n")
    eval_command(str(tmp_path/"r.trec"), qrels=str(tmp_path/"q.qrels"))
    said = capsys.readouterr().out
    assert "mrr: 0.500" in said and "recall_at_1: 0.000" in said and f"ndcg_at_10: {1/np.log2(3):.3f}" in said
    with pytest.raises(LratError, match="give --qrels"): eval_command(str(tmp_path/"r.trec"))


# ------------------------------------------------------------------------------------------------------------ BrowseComp-Plus

@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded trajectories are not here")
def test_recorded_trajectories_go_there_and_back(tmp_path):
    recorded = [read_trajectory(path) for path in sorted((RECORDED/"runs").glob("run_*.json"))]
    write_browsecomp(recorded, tmp_path/"runs.jsonl")
    for old, new in zip(recorded, iterate_browsecomp(tmp_path/"runs.jsonl")):
        assert (old.final_answer, old.searches(), old.browses()) == (new.final_answer, new.searches(), new.browses())
        assert set(to_browsecomp(old)) == {"metadata", "query_id", "tool_call_counts", "status", "retrieved_docids", "result"}


def test_calibration_of_equal_bins():
    "Bins of 100 by confidence; 250 answers make two, of 100 and 150"
    sure, right = np.repeat([.3, .8], [100, 150]), np.array([1] * 30 + [0] * 70 + [1] * 60 + [0] * 90)
    assert calibration_error(sure, right) == pytest.approx(np.sqrt(.6 * (.8 - .4) ** 2))
    assert calibration_error(sure, right, leave_out_last=True) == pytest.approx(0)
    assert calibration_error(sure[:199], right[:199].astype(float), leave_out_last=True) is None


@pytest.mark.parametrize("out", ["theirs", "theirs.jsonl"])
def test_one_command_writes_what_the_benchmark_takes(folder, out):
    write_jsonl(folder/"v", ({"query_id": str(n), "verdict": "correct" if n <= 20 else "incorrect"} for n in range(1, 31)))
    done = lrat("eval", "runs", "--questions", "q.tsv", "--verdicts", "v", "--leaderboard", "summary.json", "--browsecomp", out, cwd=folder)
    assert done.returncode == 0 and f"{out}: 30 trajectories" in done.stdout, done.stderr
    summary = json.loads((folder/"summary.json").read_text())
    assert (summary["Accuracy (%)"], summary["questions_asked"], len(summary["per_query_metrics"])) == (66.67, 30, 30)
    assert [run.final_answer for run in iterate_browsecomp(folder/out)].count("Bergen") == 10


def test_trajectories_are_converted_without_questions(folder, capsys):
    eval_command(str(folder/"runs"), browsecomp=str(folder/"theirs.jsonl"))
    assert capsys.readouterr().out == f"{folder/'theirs.jsonl'}: 30 trajectories\n"
    assert "Oslo" not in (folder/"theirs.jsonl").read_text()


# -------------------------------------------------------------------------------------------------------------------- options

def test_scores_without_a_file_are_printed(folder, capsys):
    write_jsonl(folder/"v", ({"query_id": str(n), "verdict": "correct" if n <= 20 else "incorrect"} for n in range(1, 31)))
    eval_command(str(folder/"runs"), questions=str(folder/"q.tsv"), verdicts=str(folder/"v"), resamples=100)
    assert "success: 0.667" in capsys.readouterr().out and not list(folder.glob("*.jsonl"))


@pytest.mark.parametrize("options,says", [
    ({"answer_judge": "person"}, "unknown --answer_judge 'person'; choose one of: rule, model"),
    ({"answer_judge": "model"}, "needs --endpoint URL"),
    ({"answer_judge": "model", "endpoint": "http://localhost:1", "model": "m", "out": None}, "needs --out or --verdicts FILE"),
    ({"answer_judge": "model", "endpoint": "http://localhost:1", "model": "m", "sampling": "hot"}, "unknown --sampling 'hot'"),
    ({"questions": None}, "give --questions FILE")])
def test_options_that_do_not_fit_are_one_line(folder, options, says):
    chosen = {"questions": str(folder/"q.tsv"), "out": str(folder/"out.jsonl")} | options
    with pytest.raises(LratError, match=says) as error: eval_command(str(folder/"runs"), **chosen)
    assert "\n" not in str(error.value)
