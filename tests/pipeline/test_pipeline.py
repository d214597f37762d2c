"The systems of the experiments: nested subsets, equal sizes, and a flywheel in which each loop collects for the next."
import json

import numpy as np
import pytest
from paths import ROOT

from lrat.paper.main import fig7_rows, table2_rows
from lrat.paper.expected import check_expected, read_expected, write_expected
from lrat.evaluation.scores import METRICS, ScoreTable
from lrat.testing.server import completion, stand_in
from lrat.pipeline.pipeline import Pipeline
from lrat.paper.plan import left_out, make_plan
from lrat.pipeline.systems import systems
from lrat.mining.subsets import take_pairs
from lrat.paper.results import record, result_row
from lrat.paper.runner import find_notebooks, run_command, runnable
from lrat.paper.stage_commands import asked_of
from lrat.trajectories.trajectory import Trajectory, Step, write_trajectory
from lrat.core.settings import InputError, LratError, load_settings
from lrat.core.stages import Stage, run_stage
from lrat.paper.training import fig8a_rows, fig8b_rows, fig9b_rows, table3_rows


class Planned(Pipeline):
    "Names each stage and its inputs, and makes none"
    def __init__(self, settings, root, pairs=400): super().__init__(settings, root); self.inputs_of, self.count = {}, pairs
    def _stage(self, name, function, modules, parameters, asks=False, **inputs):
        flat = [i for value in inputs.values() for i in (value if isinstance(value, list) else [value])]
        self.inputs_of[name] = ([i.name for i in flat], parameters)
        return Stage(name, self.root/name, name, 0.)
    def manifest(self, system, seed=0): return self.pairs(system, seed) and {"pairs": self.system(system).pairs or self.count}


def test_each_loop_collects_with_the_retriever_before_it_and_trains_on_all_pairs_so_far(tmp_path):
    plan = Planned(load_settings("mini"), tmp_path)
    plan.model("+LRAT, loop 3", 2025)
    runs = [n for n in plan.inputs_of if n.startswith("runs-world-train")]
    assert [plan.inputs_of[n][1]["part"] for n in runs] == [[0, 5], [1, 5], [2, 5]]
    assert [plan.inputs_of[n][0][1] for n in runs] == ["index-base", "index-lrat-loop-1-2025", "index-lrat-loop-2-2025"]
    assert [i for i in plan.inputs_of["pairs-recommended-loop3-2025"][0] if i.startswith("runs")] == runs
    assert "index-bm25" not in plan.inputs_of


def test_arms_of_equal_size_share_what_is_the_same(tmp_path):
    plan = Planned(load_settings("mini"), tmp_path)
    right, wrong, size = (plan.model(f"+LRAT, {s}", 2025).name for s in ("correct runs", "incorrect runs", "224 pairs"))
    assert right == size == "model-recommended-224-2025" and wrong == "model-recommended-wrong-224-2025"
    assert [n for n in plan.inputs_of if n.startswith("wrong-")] and plan.inputs_of["pairs-recommended-wrong"][1]["correct_only"] is False
    assert plan.inputs_of["pairs-recommended"][1]["correct_only"] is True
    assert plan._canonical("+LRAT, correct runs") == plan._canonical("+LRAT, 224 pairs") and plan._canonical("+reweight") == "+LRAT"


def test_fewer_pairs_get_fewer_steps_and_more_pairs_none_above_the_limit(tmp_path):
    plan = Planned(load_settings("mini"), tmp_path, pairs=912)
    assert [plan.training(s, 1).max_steps for s in ("+LRAT, 112 pairs", "+LRAT, 224 pairs", "+LRAT")] == [7, 14, 28]
    assert Planned(load_settings("paper"), tmp_path).training("+LRAT", 1).max_steps == -1


def test_shuffled_runs_are_another_stage(tmp_path):
    plan = Planned(load_settings("smoke"), tmp_path)
    names = plan.trajectories("world-train", "patient", "base").name, plan.trajectories("world-train", "patient", "base", shuffle=7).name
    assert names[0] != names[1] and plan.inputs_of[names[1]][1]["shuffle"] == 7 and "shuffle" not in plan.inputs_of[names[0]][1]


def test_the_paper_profile_has_the_papers_sizes():
    known = systems(load_settings("paper").evaluation)
    assert {f"+LRAT, {n}0,000 pairs" for n in (1, 2, 3)} <= set(known) and known["+LRAT, correct runs"].pairs == 10_000
    assert "+LRAT, loop 5" in known and "+LRAT, loop 6" not in known


class Counted(Pipeline):
    "Scores nothing, but asks for the runs that scores need"
    def scores(self, benchmark, policy, system, seed=0, k=None):
        runs = self.trajectories(benchmark, policy, system, seed, k)
        return self._table(self.answers(benchmark, runs) or runs)
    def ranking_scores(self, benchmark, system, seed=0): return self._table(self.ranking(benchmark, system, seed))
    def manifest(self, system, seed=0): return self.pairs(system, seed) and {"pairs": self.system(system).pairs or 400}
    def _table(self, stage): return ScoreTable(("q1", "q2"), ("completed",) * 2, {metric: np.ones(2) for metric in METRICS})


@pytest.fixture
def asked(monkeypatch, empty_project):
    "Parameters of each stage that a pipeline asks for; only released pairs are really made"
    made = {}
    def ask(name, function, parameters, inputs, root, made_by, addresses, counted):
        made[name] = parameters
        if name.startswith("pairs-hub"): return run_stage(name, function, parameters, inputs, root, made_by, addresses, counted)
        return Stage(name, root/name, name, 0.)
    monkeypatch.setattr("lrat.pipeline.pipeline.run_stage", ask)
    return made


def released(root, profile, count=40):
    "Pairs as published: one without negatives, one that was not satisfied, and no field of ours"
    rows = [{"query": f"q{n}", "pos": ["a"], "neg": ["b"], "reweight_rate": .5 + n % 2, "satisfied": True} for n in range(count)]
    rows += [rows[0] | {"neg": []}, rows[0] | {"satisfied": False}]
    (root/"data"/profile).mkdir(parents=True)
    (root/"data"/profile/"pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


def all_artefacts(pipeline):
    settings, made_here = pipeline.settings, [table2_rows, fig8a_rows, fig8b_rows]
    if settings.mining.pairs == "mine":
        made_here += [fig7_rows, table3_rows, fig9b_rows]
        last = settings.agent.collection_policies[-1]
        shown = [pipeline.trajectories("world-train", last, "base", shuffle=shuffle) for shuffle in (settings.seed, None)] # Figure 4c
        for runs in pipeline.collected("+LRAT") + shown: pipeline.verdicts(runs) # Table 1, the other parts of Figure 4, 6, the audit
    for rows in made_here: rows(pipeline)


@pytest.mark.parametrize("profile,pairs", [("smoke", "mine"), ("mini", "mine"), ("paper", "mine"), ("smoke", "hub"), ("paper", "hub")])
def test_the_plan_holds_just_the_stages_that_the_artefacts_ask_for(profile, pairs, tmp_path, asked):
    settings = load_settings(profile, mining__pairs=pairs)
    released(tmp_path, profile, 31_000 if profile == "paper" else 40)
    all_artefacts(Counted(settings, tmp_path/"stages"))
    plan = make_plan(settings)
    def planned(*names): return sum(stage.counts.get(name, 0) for stage in plan for name in names)
    def count(start): return sum(name.startswith(start) for name in asked)
    for start, name in (("index-", "indexes"), ("model-", "models"), ("ranking-", "rankings")): assert count(start) == planned(name), start
    questions = {"world-eval": settings.world.eval_questions, "infoseek-eval": 300, "browsecomp-plus": 830, "fanoutqa-agent": settings.world.fanout_questions}
    asked_of = [b for name in asked for b in questions if name.startswith(f"runs-{b}-")]
    assert sum(map(questions.get, asked_of)) == planned("trajectories")
    judged = [b for name in asked for b in questions if name.startswith(f"answers-{b}-")]
    assert sum(map(questions.get, judged)) == (planned("answers") if profile == "paper" else 0)
    parts = [parameters.get("part", [0, 1])[1] for name, parameters in asked.items() if name.startswith("runs-world-train")]
    assert sum(settings.world.train_questions // part for part in parts) == planned("attempted", "collected")
    assert bool(count("verdicts-")) == any("judge opened" in stage.name for stage in plan) == (pairs == "mine")


@pytest.mark.parametrize("profile,pairs", [("smoke", "mine"), ("smoke", "hub")])
def test_the_graph_holds_just_the_stages_that_the_artefacts_ask_for(profile, pairs, tmp_path, asked):
    "Known before any is made, but for pairs that have to be counted"
    settings = load_settings(profile, mining__pairs=pairs)
    released(tmp_path, profile)
    all_artefacts(Counted(settings, tmp_path/"stages"))
    known = asked_of(runnable(find_notebooks([], ROOT/"nbs"/"experiments"), settings)[0], settings, tmp_path/"stages")().tasks
    assert set(known) == set(asked)
    order = list(known)
    assert all(order.index(need) < order.index(name) for name in known for need in known[name].needs)


def test_the_papers_two_encoders_learn_from_the_same_pairs(tmp_path, asked):
    pipeline = Counted(load_settings("paper"), tmp_path/"stages")
    rows = table2_rows(pipeline)
    e5 = "intfloat/multilingual-e5-large-instruct"
    models = {name: asked[name] for name in asked if name.startswith("model-")}
    assert sorted(m["retriever"]["model"] for m in models.values()) == ["Qwen/Qwen3-Embedding-0.6B"] * 3 + [e5] * 3
    assert [name for name in asked if name.startswith("pairs-")] == ["pairs-paper"]
    assert all(m["retriever"]["pooling"] == ("mean" if m["retriever"]["model"] == e5 else "last") for m in models.values())
    whose = {(r.get("retriever"), r["system"]) for r in rows}
    assert whose == {(None, "bm25"), (None, "base"), (None, "+LRAT"), (e5, "base"), (e5, "+LRAT")}
    assert not any("world-train" in name and "e5" in name for name in asked) and "index-base" in asked
    assert not any(name.startswith("index-qwen-qwen3-embedding-0.6b") for name in asked) # The base under its other name


def test_a_model_decides_which_answers_are_right_where_the_settings_say_so(tmp_path, monkeypatch):
    "In the stage of the pipeline: its verdicts, not the rule for short answers, make the success"
    pytest.importorskip("openai", reason="the agents extra is not installed")
    data, runs = tmp_path/"data", tmp_path/"runs"
    (data/"x").mkdir(parents=True)
    (data/"eval.tsv").write_text("1\tWhich city?\tOslo\n2\tWhich city?\tOslo\n")
    (data/"eval.qrels").write_text("1 Q0 d 1\n2 Q0 d 1\n")
    for n, answer in ((1, "I think that it must have been the capital of Norway"), (2, "Oslo")):
        write_trajectory(runs/"runs", Trajectory(str(n), "Which city?", "completed", [Step("output_text", output=answer)]))
    def read(request): return completion("correct: " + ("yes" if "capital" in request["messages"][0]["content"] else "no"))
    with stand_in(read) as server:
        settings = load_settings("smoke", evaluation__answer_judge="reader", agent__endpoint=server.url)
        for given, right in ((settings, [1, 0]), (load_settings("smoke"), [0, 1])):
            pipeline = Pipeline(given, tmp_path/"stages")
            monkeypatch.setattr(pipeline, "data", lambda: Stage("world", data, "a", 0.))
            monkeypatch.setattr(pipeline, "trajectories", lambda *_: Stage("runs-world-eval-x", runs, "b", 0.))
            assert pipeline.scores("world-eval", "x", "base").column("success").tolist() == right
        assert len(server.requests) == 2 and pipeline.used == {} # The rule made no stage


# ------------------------------------------------------------------------------------------------------------ the released pairs

def test_released_pairs_stand_for_mining(tmp_path, asked):
    rows = released(tmp_path, "smoke")
    pipeline = Pipeline(load_settings("smoke", mining__pairs="hub"), tmp_path/"stages")
    pipeline.index("+LRAT", 2025)
    pipeline.index("+LRAT, 8 pairs", 2025)
    assert [name for name in asked if name.startswith(("runs", "verdicts", "pairs", "model"))] == [
        "pairs-hub", "model-hub-2025", "pairs-hub-8", "model-hub-8-2025"]
    account = pipeline.manifest("+LRAT")
    assert (account["pairs"], account["skipped"]) == (40, {"no neg": 1, "not satisfied": 1})
    taken = [json.loads(line) for line in open(pipeline.pairs("+LRAT, 8 pairs")/"pairs.jsonl")]
    assert len(taken) == 8 and all(row in rows for row in taken) # With the weights that they came with
    assert pipeline.training("+LRAT", 2025).max_steps == 2


def test_what_needs_runs_says_so(tmp_path, asked):
    released(tmp_path, "smoke")
    pipeline = Pipeline(load_settings("smoke", mining__pairs="hub"), tmp_path/"stages")
    for system in ("+naive", "top1", "+LRAT, incorrect runs", "+LRAT, loop 1"):
        with pytest.raises(LratError, match="released pairs come without trajectories"): pipeline.pairs(system)


def test_the_papers_profile_needs_no_training_questions_for_released_pairs(tmp_path, empty_project):
    data = tmp_path/"data"/"paper"
    data.mkdir(parents=True)
    for name in ("corpus.jsonl", "browsecomp-plus.corpus.jsonl", "infoseek-eval.tsv", "infoseek-eval.qrels", "browsecomp-plus.tsv", "browsecomp-plus.qrels"):
        (data/name).write_text("x")
    assert (Pipeline(load_settings("paper", mining__pairs="hub"), tmp_path/"s").data()/"infoseek-eval.tsv").is_file()
    with pytest.raises(LratError, match="lacks train.tsv"): Pipeline(load_settings("paper"), tmp_path/"s").data()


def test_the_runner_starts_from_released_pairs(tmp_path, monkeypatch, capsys):
    "What needs runs is left out with its reason, and the start travels to the notebooks"
    ran, settings = [], load_settings("smoke", mining__pairs="hub")
    def run(path, profile, parameters=None, results=None, force=False):
        ran.append((path.stem, parameters))
        return {"notebook": path.stem, "status": "ran", "seconds": 1, "copy": ""}
    monkeypatch.setattr("lrat.paper.runner.run_notebook", run)
    monkeypatch.setattr("lrat.paper.runner.build_report", lambda profile, prices: "report.html")
    monkeypatch.setattr("lrat.paper.runner.released_pairs", lambda settings: None)
    monkeypatch.setattr("lrat.paper.runner.check_expected", lambda profile: [])
    run_command([], profile="smoke", pairs="hub")
    changes = {"changes": {"mining__pairs": "hub"}}
    assert ran == [("52_main", changes), ("55_scaling", changes)] and load_settings("smoke", **changes["changes"]) == settings
    said = capsys.readouterr().out
    assert said.count("left out, since the released pairs come without trajectories") == 8 and "57_correctness: left out" in said and "Table 3 mines incorrect trajectories" in said
    run_command(["55"], profile="smoke")
    assert ran[-1] == ("55_scaling", {})
    with pytest.raises(LratError, match="nothing is left to run"): run_command(["50", "59"], profile="smoke", pairs="hub")


def test_released_pairs_that_are_missing_are_named_before_anything_runs(monkeypatch):
    def run(*_, **__): raise AssertionError("ran")
    def none(settings): raise InputError("pairs.jsonl: there are no released pairs here")
    monkeypatch.setattr("lrat.paper.runner.run_notebook", run)
    monkeypatch.setattr("lrat.paper.runner.released_pairs", none)
    with pytest.raises(LratError, match="no released pairs here"): run_command(["52"], profile="smoke", pairs="hub")


def test_every_left_out_artefact_has_its_reason():
    hub = load_settings("paper", mining__pairs="hub")
    assert set(left_out(hub)) == {"table1", "fig4a", "fig4b", "fig4c", "fig4d", "fig6", "fig7", "table3", "fig9b", "judge_audit", "reader", "human_questions"}
    assert left_out(load_settings("paper")) == {} and runnable([], hub) == ([], {})


def test_subsets_keep_what_mining_wrote_but_the_weight(tmp_path):
    rows = [{"query": str(n), "pos": ["a"], "neg": ["b"], "reasoning_len": n + 1, "reweight_rate": 9.} for n in range(50)]
    (tmp_path/"p.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (tmp_path/"p.jsonl.manifest.json").write_text(json.dumps({"pairs": 50, "beta": None, "mu": None}))
    take_pairs(tmp_path/"p.jsonl", tmp_path/"q.jsonl", 20, 1)
    taken = [json.loads(line) for line in open(tmp_path/"q.jsonl")]
    assert taken == [rows[int(r["query"])] for r in taken] and len(taken) == 20 # Unweighted rules stay unweighted
    (tmp_path/"p.jsonl.manifest.json").write_text(json.dumps({"pairs": 50, "beta": 25.5, "mu": .5}))
    take_pairs(tmp_path/"p.jsonl", tmp_path/"q.jsonl", 20, 1)
    weights = [json.loads(line)["reweight_rate"] for line in open(tmp_path/"q.jsonl")]
    assert np.isclose(np.mean(weights), 1) and len(set(weights)) == 20


@pytest.fixture
def project(empty_project):
    return load_settings("mini")


def rows(shift=0., seeds=(.40, .44, .48)):
    about = {"agent": "patient", "benchmark": "world-eval", "n": 300}
    each = [result_row("table2", "+LRAT", "success", v + shift, seed=s, **about) for s, v in enumerate(seeds)]
    mean = result_row("table2", "+LRAT", "success", float(np.mean(seeds)) + shift, seed=None, seeds=[0, 1, 2], **about)
    return [mean, *each, result_row("table2", "base", "success", .3 + shift, seed=1, **about)]


def test_a_tolerance_comes_from_the_spread_over_seeds(project):
    record(project, "table2", rows(), {})
    write_expected("mini")
    trained, base = read_expected("mini")["table2"]["rows"]
    assert trained["tolerance"] == pytest.approx(2 * .04 * (2 / 3)**.5, rel=1e-4) and base["tolerance"] == pytest.approx(1 / 300, rel=1e-4)


@pytest.mark.parametrize("shift,status", [(0, "OK"), (.003, "OK"), (.005, "drifted"), (.02, "FAIL")])
def test_a_number_is_held_against_its_tolerance(project, shift, status):
    record(project, "table2", rows(), {})
    write_expected("mini")
    record(project, "table2", rows(shift), {})
    check, = check_expected("mini")
    assert check.status == status and bool(check.worst) == (status != "OK")


def test_new_numbers_are_counted_and_other_settings_are_not_compared(project):
    record(project, "table2", rows(), {})
    write_expected("mini")
    record(project, "table2", rows() + [result_row("table2", "bm25", "success", .2)], {})
    record(project, "fig6", [result_row("fig6", "all", "beta", 90., unit="tokens")], {})
    assert [(c.artefact, c.status, c.new) for c in check_expected("mini")] == [("table2", "OK", 1), ("fig6", "no expected values", 0)]
    record(load_settings("mini", seed=3), "table2", rows(.3), {})
    assert check_expected("mini")[0].status == "other settings"


def test_nothing_to_expect(project):
    assert check_expected("mini") == []
    with pytest.raises(LratError, match="nothing is recorded under mini"): write_expected("mini")
