"Published benchmarks in their own forms, answer judges that break, runs of BrowseComp-Plus, and what is kept when an input is bad."
import importlib.util, json, re, time
from pathlib import Path

import numpy as np, pytest

from lrat.judging.answers import AnswerJudge, judge_answers, read_answer_verdicts
from lrat.data.assets import fetch_hub
from lrat.data.published import import_published, read_browsecomp
from lrat.evaluation.browsecomp import calibration_error, iterate_browsecomp, to_browsecomp, write_browsecomp
from lrat.data.canary import encrypt
from lrat.evaluation.command import compare_command, eval_command, read_scores, write_scores
from lrat.core.files import write_jsonl
from lrat.evaluation.scores import ScoreTable, score_trajectories
from lrat.llm.client import ChatModel, completion
from lrat.llm.http import stand_in
from lrat.paper.plan import make_plan
from lrat.data.questions import Question, read_qrels, read_questions
from lrat.trajectories.trajectory import Trajectory, Step, read_trajectory, write_trajectory
from lrat.core.settings import InputError, LratError, load_settings
from paths import SHARED



def row(number, **changes):
    "A row of BrowseComp-Plus as published"
    docs = {name: [{"docid": encrypt(f"d{number}{n}"), "text": encrypt("long text")} for n in range(size)]
            for name, size in (("evidence_docs", 3), ("gold_docs", 1), ("negative_docs", 2))}
    return {"query_id": str(number), "query": encrypt(f"Which secret is number {number}?"), "answer": encrypt(f"Secret {number}"), **docs} | changes


def make_run(number, answer, query="Which city?", **more):
    return Trajectory(str(number), query, "completed", [Step("output_text", output=answer)], tool_call_counts={"search": 1},
               tool_call_counts_all={"search": 1}, **more)


@pytest.fixture
def folder(tmp_path):
    (tmp_path/"q.tsv").write_text("".join(f"{n}\tWhich city?\tOslo\n" for n in range(1, 31)))
    for n in range(1, 31): write_trajectory(tmp_path/"runs", make_run(n, "It is Oslo." if n <= 20 else "Bergen"))
    return tmp_path


def scored(folder, runs="runs", **options):
    eval_command(str(folder/runs), questions=str(folder/"q.tsv"), out=str(folder/"out.jsonl"), **options)
    return read_scores(folder/"out.jsonl")


def reader(request):
    return completion(f"correct: {'yes' if 'It is Oslo' in request['messages'][0]['content'] else 'no'}")


# ------------------------------------------------------------------------------------------------------------ published forms

@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_nothing_of_an_encrypted_benchmark_is_written_in_clear(tmp_path, form):
    source = tmp_path/f"test-0.{form}"
    if form == "jsonl": write_jsonl(source, map(row, range(5)))
    else:
        import pyarrow, pyarrow.parquet
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row(n) for n in range(5)]), source)
    import_published("browsecomp-plus", tmp_path/"out", [source])
    asked = read_questions(tmp_path/"out"/"browsecomp-plus.tsv")
    assert asked[3] == Question("3", "Which secret is number 3?", "Secret 3")
    assert read_qrels(tmp_path/"out"/"browsecomp-plus.qrels")["2"] == {"d20": 1, "d21": 1, "d22": 1}
    assert read_qrels(tmp_path/"out"/"browsecomp-plus.gold.qrels")["2"] == {"d20": 1}
    for path in (tmp_path/"out").rglob("*"):
        assert b"ecret" not in path.read_bytes(), path


def test_a_file_that_is_still_encrypted_is_one_line(folder, tmp_path):
    (folder/"q.tsv").write_text(f"1\t{encrypt('Which city lies on a fjord?')}\t{encrypt('Bergen')}\n")
    with pytest.raises(InputError, match="q.tsv:1: the question '1' is still encrypted; .*lrat fetch browsecomp-plus"): scored(folder)
    write_jsonl(tmp_path/"x.jsonl", [row(0), row(1, answer="no base64 at all")])
    with pytest.raises(InputError, match="x.jsonl:2: cannot be decrypted"): list(read_browsecomp(tmp_path/"x.jsonl"))


def test_everything_of_the_hub_goes_through_the_registry(tmp_path):
    asked = []
    def download(data):
        asked.append((data.repository, data.patterns))
        (tmp_path/"LRAT-training-pairs.jsonl").write_text("{}\n")
        return tmp_path
    assert fetch_hub("lrat-pairs", download)[0].name == "LRAT-training-pairs.jsonl"
    assert asked == [("Yuqi-Zhou/LRAT-Train", ("LRAT-training-pairs.jsonl",))]


def test_infoseek_takes_the_top(tmp_path):
    write_jsonl(tmp_path/"qa.jsonl", ({"question": f"Which is {n}?", "answer": str(n)} for n in range(20)))
    import_published("infoseek-qa", tmp_path/"out", [tmp_path/"qa.jsonl"], limit=7)
    assert [q.query_id for q in read_questions(tmp_path/"out"/"train.tsv")] == list("0123456")
    (tmp_path/"eval.tsv").write_text("1\tWhich?\n")
    with pytest.raises(InputError, match="without an answer"): import_published("infoseek-eval", tmp_path/"out", [tmp_path/"eval.tsv"])


# -------------------------------------------------------------------------------------------------------------- answer judges

def test_verdicts_are_kept_and_the_denominator_is_what_was_asked(folder):
    for n in (29, 30): (folder/"runs"/f"run_{n}.json").unlink()
    with stand_in(reader) as server:
        first = scored(folder, answer_judge=server.url, judge_model="m")
        calls = len(server.requests)
        again = scored(folder, answer_judge=server.url, judge_model="m")
        assert len(server.requests) == calls == 28
    assert np.nanmean(first.column("success")) == 20/30 and first.statuses == again.statuses
    assert scored(folder, answer_judge=str(folder/"out.jsonl.verdicts.jsonl")).column("success").sum() == 20


def test_a_judge_that_returns_nonsense_keeps_the_rest(folder):
    count = iter(range(1000))
    def drunk(request): return reader(request) if next(count) < 10 else completion("Lovely city!")
    with stand_in(drunk) as server:
        with pytest.raises(LratError, match=r"calls to the judge brought no verdict \(\d+ unreadable, 0 failed") as error:
            scored(folder, answer_judge=server.url, judge_model="m", concurrency=1)
    assert "\n" not in str(error.value)
    table = read_scores(folder/"out.jsonl")
    judged = ~np.isnan(table.column("success"))
    assert judged.sum() == 10 and table.statuses.count("unjudged") == 20 and (table.column("steps") == 1).all()
    with stand_in(reader) as server: # Mended, it asks only for what is open
        scored(folder, answer_judge=server.url, judge_model="m")
        assert len(server.requests) == 20


def test_a_judge_that_times_out_is_no_wrong_answer(folder):
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
    table = scored(folder, answer_judge=str(folder/"v.jsonl"))
    assert table.statuses[29] == "unjudged" and np.nansum(table.column("success")) == 29
    assert "1 answers without a verdict" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------------- bad input, rest kept

def test_qrels_of_three_columns_keep_the_other_scores(folder):
    (folder/"e.qrels").write_text("1 Q0 a 1\n2 a 1\n")
    with pytest.raises(LratError, match="e.qrels:2: has 3 columns, but must have 4.*what could be scored is in"):
        scored(folder, qrels=str(folder/"e.qrels"))
    assert (read_scores(folder/"out.jsonl").column("steps") == 1).all()


def test_runs_of_two_benchmarks_in_one_folder(folder, capsys):
    for path in (folder/"runs").glob("run_3.json"): path.unlink()
    write_trajectory(folder/"runs", make_run(3, "Oslo", query="Which river is the longest of all?")) # Another benchmark's number 3
    write_trajectory(folder/"runs", make_run("w7", "Oslo", query="Which lake?"))
    table = scored(folder)
    assert table.statuses[2] == "missing" and table.statuses.count("completed") == 29
    line, = [line for line in capsys.readouterr().err.splitlines() if "other questions" in line]
    assert "2 runs ask other questions" in line and "first: run_3" in line


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

@pytest.mark.skipif(not (SHARED/"recorded").is_dir(), reason="the recorded runs are not here")
def test_recorded_runs_go_there_and_back(tmp_path):
    recorded = [read_trajectory(path) for path in sorted((SHARED/"recorded"/"runs").glob("run_*.json"))]
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


# -------------------------------------------------------------------------------------------------------------------- the plan

def test_the_plan_of_the_paper_has_the_numbers_of_the_method():
    stages = {stage.name: stage for stage in make_plan(load_settings("paper"))}
    collect, train = stages["collect runs"].counts, stages["train the retriever"].counts
    assert (collect["questions"], collect["retrievers"], collect["k"], collect["most_rounds"]) == (10_000, 4, 10, 100)
    assert (train["epochs"], train["batch"], train["group"]) == (2, 32, 10)
    for benchmark, asked in (("infoseek-eval", 300), ("browsecomp-plus", 830)):
        agents = [s for s in stages.values() if s.name.startswith(f"evaluate {benchmark} ")]
        assert len(agents) == 6 and all(s.counts["questions"] == asked and s.counts["most_rounds"] == 50 for s in agents)
    assert stages["index browsecomp-plus +LRAT"].counts["documents"] == 100_195
    assert all(stage.counts["documents"] == 11_200_000 for name, stage in stages.items() if "index wiki-25" in name)
    assert (stages["judge opened documents"].counts["cases"], stages["mine pairs"].counts["pairs"]) == (120_579, 91_713)
    assert (collect["runs_completed"], collect["runs_correct"]) == (34_619, 26_482)


@pytest.mark.skipif(not (SHARED/"METHOD.md").is_file(), reason="the description of the method is not here")
def test_the_plan_agrees_with_the_page():
    text = (SHARED/"METHOD.md").read_text()
    stages = {stage.name: stage.counts for stage in make_plan(load_settings("paper"))}
    for pattern, count in ((r"InfoSeek-Eval \((\d+)\)", stages["evaluate infoseek-eval GLM-4.7"]["questions"]),
                           (r"BrowseComp-Plus \((\d+),", stages["evaluate browsecomp-plus GLM-4.7"]["questions"]),
                           (r"corpus of ([\d,]+)\)", stages["index browsecomp-plus base"]["documents"]),
                           (r"(\d+) epochs", stages["train the retriever"]["epochs"]), (r"batch (\d+)", stages["train the retriever"]["batch"]),
                           (r"at most (\d+) rounds; keep", stages["collect runs"]["most_rounds"])):
        assert int(re.search(pattern, text)[1].replace(",", "")) == count


def test_plans_of_all_profiles_and_starts():
    for profile in ("smoke", "mini"):
        assert sum(s.counts.get("runs_tried", 0) for s in make_plan(load_settings(profile))) == 2 * load_settings(profile).world.train_questions
    hub = make_plan(load_settings("paper"), pairs="hub")
    assert next(s for s in hub if s.name == "train the retriever").counts["pairs"] == 96_504
    with pytest.raises(LratError, match="choose mine or hub"): make_plan(load_settings("mini"), pairs="theirs")
