"Scores against hand-worked values and ir-measures; intervals and p-values against scipy; what the commands do with bad files."
import ir_measures, numpy as np, pytest
from ir_measures import R
from scipy import stats

from lrat.evaluation.files import read_scores, write_scores
from lrat.evaluation.scores import ScoreTable, score_rankings, score_trajectories
from lrat.evaluation.statistics import compare, estimate, mean_over_seeds, questions_needed, sign_flip_p
from lrat.data.questions import Question
from lrat.trajectories.trajectory import Trajectory, Step, read_trajectory, write_trajectory
from lrat.core.settings import InputError, LratError
from paths import RECORDED
from program import lrat


def make_run(query_id, searches, answer="Right", status="completed", opened=()):
    "A trajectory whose searches return the given docids, each followed by the opening of one document if there is one"
    steps, opened = [], list(opened)
    for number, docids in enumerate(searches):
        blocks = "\n\n".join(f"DocID:{d}\n[Title]\nwords" for d in docids)
        steps.append(Step("tool_call", "search", {"query": f"query {number}"}, blocks))
        if opened: steps.append(Step("tool_call", "get_document", {"docid": opened.pop(0)}, "words"))
    if answer: steps.append(Step("output_text", None, None, answer))
    counts = {"search": len(searches), "get_document": len(steps) - len(searches) - bool(answer)}
    return Trajectory(query_id=query_id, query="Which?", status=status, steps=steps, tool_call_counts=counts,
               tool_call_counts_all=counts)


def questions(*ids): return [Question(i, "Which?", "Right") for i in ids]


def table(metric="success", **columns):
    ids = tuple(columns)
    return ScoreTable(ids, ("completed",) * len(ids), {metric: np.array(list(columns.values()), float)})


def from_values(values, metric="success"): return table(metric, **{f"q{n:04}": v for n, v in enumerate(values)})


# ----------------------------------------------------------------------------------------------------------- from trajectories

def test_hand_worked_scores(tmp_path):
    write_trajectory(tmp_path, make_run("1", [["a", "x"], ["b"]], opened=["a"]))
    write_trajectory(tmp_path, make_run("2", [["x"]], answer="Wrong"))
    scores = score_trajectories(tmp_path, questions("1", "2"), {"1": {"a": 1, "b": 1, "c": 1, "z": 0}, "2": {"a": 1}})
    assert scores.column("success").tolist() == [1, 0]
    assert scores.column("evidence_recall").tolist() == pytest.approx([2/3, 0])
    assert scores.column("hit_rate").tolist() == [1, 0]
    assert scores.column("steps").tolist() == [3, 1]
    # The first search brings 1 of the 3 wanted; then a is open, and the second brings 1 of the 2 left
    assert scores.column("subquery_recall_at_10").tolist() == pytest.approx([(1/3 + 1/2) / 2, 0])


def test_the_denominator_is_what_was_asked(tmp_path):
    write_trajectory(tmp_path, make_run("1", [["a"]]))
    write_trajectory(tmp_path, make_run("2", [["a"]], status="failed: the endpoint went away"))
    write_trajectory(tmp_path, make_run("99", [["a"]]))
    scores = score_trajectories(tmp_path, questions("1", "2", "3", "4"), {str(n): {"a": 1} for n in range(1, 5)})
    assert estimate(scores.column("success")).n == 3 and estimate(scores.column("success")).value == pytest.approx(1/3)
    assert estimate(scores.column("steps"), share=False).n == 1 # How many steps a missing trajectory took is not known
    for said in ("4 questions asked", "1 scored", "2 missing", "1 failed", "1 trajectories of other questions"):
        assert said in scores.note


def test_missing_trajectories_cannot_raise_a_score(tmp_path):
    for n in range(4): write_trajectory(tmp_path, make_run(str(n), [["a"]], answer="Right" if n < 2 else "Wrong"))
    asked = questions(*map(str, range(4)))
    before = np.nanmean(score_trajectories(tmp_path, asked).column("success"))
    for n in (2, 3): (tmp_path/f"run_{n}.json").unlink()
    assert np.nanmean(score_trajectories(tmp_path, asked).column("success")) == before


def test_two_trajectories_of_one_question_are_refused(tmp_path):
    path = write_trajectory(tmp_path, make_run("1", [["a"]]))
    (tmp_path/"run_1_again.json").write_text(path.read_text())
    with pytest.raises(InputError, match="run_1.*run_1_again.*'1'.*remove one"): score_trajectories(tmp_path, questions("1"))


def test_a_half_written_trajectory_is_named(tmp_path):
    write_trajectory(tmp_path, make_run("1", [["a"]]))
    (tmp_path/"run_2.json").write_text('{"query_id": "2", "resu')
    with pytest.raises(InputError, match="run_2.json"): score_trajectories(tmp_path, questions("1", "2"))


def test_questions_without_answer_or_evidence_do_not_count(tmp_path):
    for n in "12": write_trajectory(tmp_path, make_run(n, [["a"]]))
    scores = score_trajectories(tmp_path, [Question("1", "Which?"), Question("2", "Which?", "Right")], {"1": {"a": 1}})
    assert np.isnan(scores.column("success")).tolist() == [True, False]
    assert np.isnan(scores.column("evidence_recall")).tolist() == [False, True]
    assert "1 questions without a right answer" in scores.note and "1 questions without a judged evidence" in scores.note


@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded trajectories are not here")
def test_recorded_trajectories_can_be_scored():
    runs = [read_trajectory(path) for path in sorted((RECORDED/"runs").glob("run_*.json"))]
    qrels = {run.query_id: {run.retrieved_docids[0]: 1, "nowhere": 1} for run in runs}
    scores = score_trajectories(RECORDED/"runs", [Question(r.query_id, r.query, r.answer) for r in runs], qrels)
    assert len(scores.query_ids) == 5 and set(scores.column("evidence_recall")) == {.5}
    for run, steps in zip(runs, scores.column("steps")): assert steps == sum(run.tool_call_counts.values())


# -------------------------------------------------------------------------------------------------------- against ir-measures

def random_rankings(seed, queries=20, documents=30, depth=15):
    rng = np.random.default_rng(seed)
    rankings = {f"q{q}": {f"d{d}": float(depth - n) for n, d in enumerate(rng.permutation(documents)[:depth])}
                for q in range(queries)}
    qrels = {f"q{q}": {f"d{d}": 1 for d in rng.permutation(documents)[:1 + q % 4]} for q in range(queries)}
    return rankings, qrels


@pytest.mark.parametrize("seed", range(5))
def test_one_search_is_plain_recall_at_10(tmp_path, seed):
    "With one search and nothing opened, sub-query recall is recall@10, and evidence recall is recall at the list's depth"
    rankings, qrels = random_rankings(seed)
    for query, hits in rankings.items(): write_trajectory(tmp_path, make_run(query, [list(hits)]))
    scores = score_trajectories(tmp_path, questions(*rankings), qrels)
    for measure, metric in ((R@10, "subquery_recall_at_10"), (R@15, "evidence_recall")):
        expected = {m.query_id: m.value for m in ir_measures.iter_calc([measure], qrels, rankings)}
        assert scores.column(metric).tolist() == pytest.approx([expected[q] for q in scores.query_ids])


def test_rankings_hand_worked():
    rankings = {"q1": {"a": 3., "b": 2.}, "q2": {"x": 3., "y": 2., "c": 1.}}
    scores = score_rankings(rankings, {"q1": {"a": 1}, "q2": {"c": 1, "d": 1}, "none": {"a": 1}, "unjudged": {"a": 0}})
    assert scores.query_ids == ("q1", "q2", "none")
    assert scores.column("recall_at_1").tolist() == [1, 0, 0]
    assert scores.column("recall_at_10").tolist() == [1, .5, 0]
    assert scores.column("mrr").tolist() == pytest.approx([1, 1/3, 0])
    assert scores.column("ndcg_at_10").tolist() == pytest.approx([1, (1 / np.log2(4)) / (1 + 1 / np.log2(3)), 0])


def test_no_ranking_at_all_scores_zero():
    assert score_rankings({}, {"q": {"a": 1}}).column("mrr").tolist() == [0]


# ------------------------------------------------------------------------------------------------------------- against scipy

def test_wilson_and_bootstrap_agree_with_scipy():
    rng = np.random.default_rng(1)
    wilson = stats.binomtest(30, 80).proportion_ci(.95, "wilson")
    mine = estimate(np.array([1] * 30 + [0] * 50))
    assert (mine.low, mine.high) == pytest.approx((wilson.low, wilson.high))
    values = rng.random(120)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=2).confidence_interval
    mine = estimate(values, resamples=20_000)
    assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high), abs=.004)


@pytest.mark.parametrize("shift", [0, .03, .1])
def test_paired_comparison_agrees_with_scipy(shift):
    rng = np.random.default_rng(3)
    a = rng.random(150)
    b = np.clip(a + rng.normal(shift, .2, 150), 0, 1)
    mine = compare(from_values(a), from_values(b), "success", resamples=20_000)
    boot = stats.bootstrap((b - a,), np.mean, n_resamples=20_000, method="percentile", rng=4).confidence_interval
    flips = stats.permutation_test((b - a,), np.mean, permutation_type="samples", n_resamples=20_000, rng=5)
    assert mine.difference == pytest.approx((b - a).mean())
    assert (mine.low, mine.high) == pytest.approx((boot.low, boot.high), abs=.003)
    assert mine.p == pytest.approx(flips.pvalue, abs=.012)


def test_small_samples_are_exact():
    differences = np.array([.5, -.2, .9, .1, .3, 0, .4])
    exact = stats.permutation_test((differences,), np.sum, permutation_type="samples", n_resamples=np.inf).pvalue
    assert sign_flip_p(differences) == pytest.approx(exact)
    mcnemar = stats.binomtest(9, 11).pvalue # Its exact test is the sign-flip test for answers that are right or wrong
    assert sign_flip_p(np.array([1.] * 9 + [-1.] * 2 + [0.] * 50)) == pytest.approx(mcnemar)


# ---------------------------------------------------------------------------------------------------------------- comparisons

def test_negative_control_a_system_against_chance():
    "Two systems that differ by noise alone are called different in about one of twenty tries, and a real gain nearly always"
    rng = np.random.default_rng(6)
    def draw(): return from_values(rng.integers(0, 2, 200))
    noise = [compare(draw(), draw(), "success", 500) for _ in range(200)]
    assert 0 < sum(c.significant for c in noise) < 25
    assert all(str(c).endswith("not significant") != c.significant for c in noise)
    base = rng.integers(0, 2, 300)
    assert all(compare(from_values(base), from_values(np.maximum(base, rng.random(300) < .2)), "success", 500).significant
               for _ in range(20))


def test_a_system_against_itself():
    same = from_values(np.random.default_rng(7).random(50))
    result = compare(same, same, "success")
    assert (result.difference, result.low, result.high, result.p) == (0, 0, 0, 1)
    assert not result.significant and "not significant" in str(result) and questions_needed(result) is None


def test_pairing_is_by_question_and_not_by_position():
    assert compare(table(a=1, b=0, c=0), table(c=0, b=0, a=1), "success").difference == 0


def test_pairing_helps():
    rng = np.random.default_rng(8)
    hard = rng.normal(0, 1, 300)
    a, b = from_values(hard + rng.normal(0, .1, 300)), from_values(hard + .05 + rng.normal(0, .1, 300))
    alone = [estimate(t.column("success")) for t in (a, b)]
    assert compare(a, b, "success").significant and alone[0].high > alone[1].low


def test_different_questions_are_refused():
    with pytest.raises(LratError, match="asked different questions"): compare(table(a=1), table(b=1), "success")
    with pytest.raises(LratError, match="nothing to compare"): compare(table(a=1), table(a=np.nan), "success")


def test_seeds_are_not_questions():
    "Three copies of one seed give the interval of one seed, not one that is narrower"
    rng = np.random.default_rng(9)
    base, system = from_values(rng.integers(0, 2, 100)), from_values(rng.integers(0, 2, 100))
    one, three = compare(base, system, "success"), compare(base, [system] * 3, "success")
    assert (one.low, one.high, one.n) == pytest.approx((three.low, three.high, three.n))
    assert len(three.seeds) == 3 and all(each.difference == one.difference for each in three.seeds)


def test_mean_over_seeds_by_question():
    merged = mean_over_seeds([table(a=1, b=0, c=np.nan), table(b=1, a=1, c=np.nan)])
    assert merged.query_ids == ("a", "b", "c")
    assert merged.column("success")[:2].tolist() == [1, .5] and np.isnan(merged.column("success")[2])
    with pytest.raises(LratError, match="different questions"): mean_over_seeds([table(a=1), table(b=1)])


def test_questions_needed_gives_the_power_it_promises():
    rng = np.random.default_rng(10)
    pilot = rng.normal(.1, .5, 400)
    pilot = compare(from_values(np.zeros(400)), from_values(pilot - pilot.mean() + .1), "success")
    needed = questions_needed(pilot)
    zeros, found = from_values(np.zeros(needed)), []
    for _ in range(200):
        found.append(compare(zeros, from_values(rng.normal(.1, pilot.deviation, needed)), "success", 400).significant)
    assert .7 < np.mean(found) < .9


def test_the_same_bytes_twice(tmp_path):
    rng = np.random.default_rng(11)
    a, b = from_values(rng.random(80)), from_values(rng.random(80))
    assert str(compare(a, b, "success")) == str(compare(a, b, "success"))
    assert estimate(a.column("success")) == estimate(a.column("success"))
    for name in ("one", "two"): write_scores(tmp_path/name, a)
    assert (tmp_path/"one").read_bytes() == (tmp_path/"two").read_bytes()
    np.testing.assert_array_equal(read_scores(tmp_path/"one").column("success"), a.column("success"))


# ------------------------------------------------------------------------------------------------------------------- commands

def test_eval_then_compare(tmp_path):
    (tmp_path/"questions.tsv").write_text("1\tWhich?\tRight\n2\tWhich?\tRight\n")
    (tmp_path/"evidence.qrels").write_text("1 Q0 a 1\n2 Q0 b 1\n")
    for name, answer in (("base", "Wrong"), ("ours", "Right")):
        for n in "12": write_trajectory(tmp_path/name, make_run(n, [["a"]], answer=answer))
        done = lrat("eval", tmp_path/name, "--questions", tmp_path/"questions.tsv",
                       "--qrels", tmp_path/"evidence.qrels", "--out", tmp_path/f"{name}.jsonl")
        assert done.returncode == 0, done.stderr
        assert "2 questions asked, 2 scored" in done.stdout and "evidence_recall: 0.500" in done.stdout
    done = lrat("compare", tmp_path/"base.jsonl", tmp_path/"ours.jsonl")
    for said in ("success: 0.000 to 1.000", "steps: 1.000 to 1.000", "not significant"): assert said in done.stdout


def test_commands_say_in_one_line_what_is_wrong(tmp_path):
    (tmp_path/"bad.jsonl").write_text('{"query_id": "1", "status": "completed", "success": 1}\n{"query_id": \n')
    for command, named in ((("compare", tmp_path/"bad.jsonl", tmp_path/"bad.jsonl"), "bad.jsonl:2"),
                           (("eval", tmp_path, "--questions", tmp_path/"no.tsv", "--out", tmp_path/"o"), "no.tsv"),
                           (("stats", tmp_path/"nowhere"), "no such folder of trajectories")):
        done = lrat(*command)
        assert done.returncode == 2 and named in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_stats_of_a_folder(tmp_path):
    from lrat.evaluation.trajectories import count_trajectories, trajectory_statistics
    write_trajectory(tmp_path, make_run("1", [["a"], ["b"]], opened=["a"]))
    write_trajectory(tmp_path, make_run("2", [["a"]] * 5, answer="Wrong"))
    write_trajectory(tmp_path, make_run("3", [["a"]], status="failed: gone"))
    counts = count_trajectories(tmp_path, questions("1", "2", "3"))
    found = trajectory_statistics(counts, resamples=200)
    assert counts.failed == 1 and [found[s]["runs"].value for s in ("correct", "incorrect", "total")] == [1, 1, 2]
    assert found["total"]["searches"].value == 3.5 and found["total"]["browses_per_search"].value == pytest.approx(1/7)
    assert found["total"]["steps"].value == found["total"]["searches"].value + found["total"]["browses"].value
