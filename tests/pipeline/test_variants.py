"Variants as records: what they share, what a choice may look at, what a general query may be about, and notebooks run by name."
import json

import numpy as np
import pytest

from lrat.paper.ablations import QUERY_FORM_ARMS, TIER_ARMS, agent_arms, agent_rows, query_form_rows, tier_rows
from lrat.data.corpus import Document
from lrat.core.files import read_jsonl, write_json, write_jsonl
from lrat.training.general_queries import FORMS, common_properties, general_queries, with_neighbours
from lrat.paper.forgetting import GENERAL_QUERIES, FORGETTING_ARMS, PAIRS, REMEDIES, benchmark_rows, choose, chosen_strengths, development_rows
from lrat.paper.deployment import DEPLOYMENT_ARMS, HELD, LEARNED, PARTLY, choice_rows
from lrat.evaluation.scores import METRICS, ScoreTable
from lrat.data.questions import read_qrels, read_questions
from lrat.paper.artefacts import ARTEFACTS, paper_artefacts
from lrat.paper.results import load_results, record, result_row
from lrat.retrieval.retriever import Hit
from lrat.paper.runner import find_notebooks, run_command, notebook_parameters
from lrat.core.settings import InputError, LratError, load_settings
from lrat.core.stages import Stage
from lrat.pipeline.variants import VariantPipeline, make_general
from lrat.mining.subsets import hold_out, mix_pairs
from lrat.pipeline.systems import Fused, System


class Planned(VariantPipeline):
    "Names each stage with its parameters and inputs, and makes none; every score is 1"
    def __init__(self, settings, variants, root): super().__init__(settings, variants, root); self.made = {}
    def _stage(self, name, function, modules, parameters, asks=False, **inputs):
        flat = [i for value in inputs.values() for i in (value if isinstance(value, list) else [value])]
        assert self.made.setdefault(name, ([i.name for i in flat], parameters)) == ([i.name for i in flat], parameters), name
        return Stage(name, self.root/name, name, 0.)
    def manifest(self, system, seed=0): return self.pairs(system, seed) and {"pairs": 400}
    def scores(self, benchmark, policy, system, seed=0, k=None): return self.trajectories(benchmark, policy, system, seed, k) and self._table()
    def ranking_scores(self, benchmark, system, seed=0): return self.ranking(benchmark, system, seed) and self._table()
    def development(self, judged, system, seed=0): return self.index(system, seed) and judged and self._table()
    def _table(self): return ScoreTable(("q1", "q2"), ("completed",) * 2, {metric: np.ones(2) for metric in METRICS})


def planned(variants, root, profile="mini"): return Planned(load_settings(profile), variants, root)


# ------------------------------------------------------------------------------------------------------------ the graph

def test_averages_of_one_training_share_it(tmp_path):
    plan = planned(FORGETTING_ARMS, tmp_path)
    for system in FORGETTING_ARMS: plan.model(system, 2025)
    trained = [n for n in plan.made if n.startswith("model-") and "-interpolated-" not in n]
    averaged = [n for n in plan.made if "-interpolated-" in n]
    assert len(trained) == len({a.label for a in FORGETTING_ARMS.values()}) and len(averaged) == sum(a.alpha < 1 for a in FORGETTING_ARMS.values())
    assert all(plan.made[n][0][0] in trained for n in averaged)
    assert sum(n.startswith("pairs-") for n in plan.made) == sum(n.startswith("split-") for n in plan.made) == 1


def test_only_what_is_held_to_the_base_reads_general_queries(tmp_path):
    plan = planned(FORGETTING_ARMS, tmp_path)
    plan.model("lower rate: 1e-05", 2025)
    assert "general" not in plan.made
    plan.model("distillation: weight 4", 2025)
    kept, = [inputs for n, (inputs, _) in plan.made.items() if n.startswith("model-") and "distillation-weight" in n]
    assert kept[-1] == "general"


def test_the_choice_looks_at_no_benchmark(tmp_path):
    plan = planned(FORGETTING_ARMS, tmp_path)
    rows = development_rows(plan)
    chosen = chosen_strengths(rows)
    runs = [n for n in plan.made if n.startswith(("runs-", "ranking-"))]
    assert runs and all(n.startswith("runs-world-train") for n in runs)
    wonder = [result_row("forgetting", s, m, 1., benchmark=b, seed=1) for s in FORGETTING_ARMS for b, m in (("world-eval", "success"), ("fanoutqa-leaf", "recall_at_1"))]
    assert chosen_strengths(rows + wonder) == chosen and set(chosen) == set(REMEDIES)


def test_general_queries_are_barred_from_all_that_benchmarks_judge(tmp_path):
    plan = planned(FORGETTING_ARMS, tmp_path)
    plan.general()
    assert plan.made["general"][1]["stems"] == ["eval", "fanout", "leaf"] and plan.made["general"][0] == ["world", "index-base"]
    paper = planned(FORGETTING_ARMS, tmp_path, "paper")
    paper.data = lambda: Stage("published", tmp_path, "published", 0.)
    paper.general()
    assert paper.made["general"][1]["stems"] == ["infoseek-eval", "browsecomp-plus"]


def test_each_policy_collects_for_its_own_retriever_and_uses_both(tmp_path):
    settings = load_settings("mini")
    plan = Planned(settings, agent_arms(settings), tmp_path)
    rows = agent_rows(plan)
    assert [i for i in plan.made["pairs-recommended-hasty"][0] if i.startswith("runs")] == ["runs-world-train-hasty-bm25", "runs-world-train-hasty-base"]
    assert {(r["system"], r["agent"]) for r in rows if r["benchmark"] == "world-eval"} == {(s, p) for s in ("base", *plan.variants) for p in ("hasty", "patient")}


def test_query_forms_get_their_context_and_their_length(tmp_path):
    plan = planned(QUERY_FORM_ARMS, tmp_path)
    rows = query_form_rows(plan)
    assert sum(n.startswith("context-") for n in plan.made) == 1 and "context-recommended" not in plan.made["model-recommended-query-form-query-query-max-length-128-2025"][0]
    lengths = {p["retriever"]["query_max_length"] for n, (_, p) in plan.made.items() if n.startswith("index-recommended-query-form")}
    assert lengths == {128} and plan.made["index-base"][1]["retriever"]["query_max_length"] == 48
    assert {r["base"] for r in rows if r.get("base")} == {"base", "asked query"}


def test_tiers_are_mined_by_their_own_rules(tmp_path):
    plan = planned(TIER_ARMS, tmp_path)
    tier_rows(plan)
    assert plan.made["pairs-tiers"][1]["preset"] == "tiers" and plan.made["pairs-recommended"][1]["preset"] == "recommended"


def test_every_arm_is_compared_with_the_base_and_with_lrat(tmp_path):
    rows = benchmark_rows(planned(FORGETTING_ARMS, tmp_path))
    for benchmark, metric in (("world-eval", "success"), ("fanoutqa-agent", "evidence_recall"), ("fanoutqa-leaf", "recall_at_1")):
        found = {(r["system"], r["base"]) for r in rows if r.get("base") and (r["benchmark"], r["metric"]) == (benchmark, metric)}
        assert found == {(s, b) for s in FORGETTING_ARMS for b in ("base", "+LRAT")} | {("+LRAT", "base")}


def test_a_setting_that_training_does_not_have_is_named(tmp_path):
    with pytest.raises(LratError, match="x: there is no training setting 'learning'"):
        planned({"x": System(training=(("learning", 1.),))}, tmp_path).model("x", 1)


def test_variants_need_runs_even_where_released_pairs_are_trained_on(tmp_path):
    plan = Planned(load_settings("smoke", mining__pairs="hub"), FORGETTING_ARMS, tmp_path)
    with pytest.raises(LratError, match="released pairs come without trajectories"): plan.model("lower rate: 1e-05", 1)


# ------------------------------------------------------------------------------------------------------------ fusions

def test_a_learned_fusion_reads_held_out_pairs_and_general_queries_and_no_benchmark(tmp_path):
    plan = planned({PARTLY: HELD} | DEPLOYMENT_ARMS, tmp_path)
    rows = choice_rows(plan)
    assert not [n for n in plan.made if n.startswith(("runs-", "ranking-")) and not n.startswith("runs-world-train")]
    weights = {n: inputs for n, (inputs, _) in plan.made.items() if n.startswith("weights-")}
    assert len(weights) == sum(len(arms) for arms in LEARNED.values())
    assert all(inputs[-2:] == ["halves-recommended-held0.1", "general"] and not {"world", "pairs-recommended"} & set(inputs) for inputs in weights.values())
    assert {r["benchmark"] for r in rows} == {PAIRS[0], GENERAL_QUERIES[0]}


def test_fusions_share_the_indexes_and_what_is_not_trained_has_no_seed(tmp_path):
    plan = planned({PARTLY: HELD} | DEPLOYMENT_ARMS, tmp_path)
    for seed in (1, 2): plan.ranking_scores("fanoutqa-leaf", "base + BM25"), plan.ranking_scores("fanoutqa-leaf", "learned base + LRAT + BM25: temperature, general 1", seed)
    made = [n for n in plan.made if n.startswith(("index-", "ranking-"))]
    assert len([n for n in made if "base-bm25" in n]) == 2 and len([n for n in made if "learned" in n]) == 4 and len([n for n in made if n == "index-bm25"]) == 1


def test_a_fusion_does_not_learn_from_pairs_that_trained_a_part_of_it(tmp_path):
    arms = {"other": System(held_out=.2), "all": System(), **{n: System(held_out=.1, fused=Fused(("base", n[:-1]), learned=True)) for n in ("other+", "all+")},
            "open": System(fused=Fused(("base", "bm25"), learned=True))}
    for name, said in (("other+", "other holds out other pairs"), ("all+", "all holds out other pairs"), ("open", "set held_out")):
        with pytest.raises(LratError, match=said): planned(arms, tmp_path).index(name, 1)


def test_agents_collect_with_a_fusion(tmp_path):
    plan = Planned(load_settings("mini", agent__collection_retrievers=("base + BM25",)), {}, tmp_path)
    plan.pairs("+LRAT")
    assert "runs-world-train-patient-base-bm25" in plan.made and plan.made["index-base-bm25"][0] == ["world", "index-base", "index-bm25"]
    with pytest.raises(LratError, match="is trained on what is collected"): Planned(load_settings("mini", agent__collection_retrievers=("+LRAT + BM25",)), {}, tmp_path).pairs("+LRAT")


# ------------------------------------------------------------------------------------------------------------ the choice

def scored(system, pairs, general):
    return [result_row("forgetting", system, what[1], v, benchmark=what[0], seed=1) for what, v in ((PAIRS, pairs), (GENERAL_QUERIES, general))]


@pytest.mark.parametrize("general,chosen", [((.90, .80), "a"), ((.86, .80), "a"), ((.80, .88), "b"), ((.80, .82), "b")])
def test_a_strength_that_forgets_more_than_allowed_is_taken_only_if_all_do(general, chosen):
    rows = scored("base", .3, .9) + scored("a", .6, general[0]) + scored("b", .5, general[1])
    assert choose(rows, ["a", "b"]) == chosen


# ------------------------------------------------------------------------------------------------------------ general queries

TOWNS = [Document(str(n), f"Town {n}\nTown {n} is a town. The mayor of it was known to all, and the mayor of the next one was not.") for n in range(30)]

class Nearest:
    "Finds the documents in the order of their docids"
    def search_batch(self, queries, k): return [[Hit(d.docid, 1.) for d in TOWNS[:k]] for _ in queries]
    def document(self, docid): return TOWNS[int(docid)]


def test_general_queries_depend_on_the_seed_and_not_on_the_order_of_the_corpus():
    found = general_queries(TOWNS, 10)
    assert found == general_queries(TOWNS[::-1], 10) and found[:5] == general_queries(TOWNS, 5) and found != general_queries(TOWNS, 10, seed=1)
    assert not {docid for docid, _ in general_queries(TOWNS, 10, barred={docid for docid, _ in found})} & {docid for docid, _ in found}


def test_a_query_never_has_an_empty_part():
    for documents in (TOWNS, [Document("1", "Oslo"), Document("2", "Rome\n")]):
        assert all(query.strip() and not query.endswith((": ", ", ", " ")) and "  " not in query for _, query in general_queries(documents, 2))


def test_documents_without_a_name_are_not_asked_about():
    with pytest.raises(LratError, match="only 1 documents may be asked about"):
        general_queries([Document("1", "x" * 1_000_000), Document("2", "\nbody"), Document("3", "Rome\nA city.")], 2)


def test_properties_are_words_of_the_corpus():
    assert common_properties(d.text for d in TOWNS) == ["mayor"] and common_properties([]) == [] and any("{property}" in form for form in FORMS)


def test_a_querys_own_document_comes_first_and_only_once():
    rows = list(with_neighbours([("0", "zero"), ("9", "nine")], Nearest(), 3))
    assert [row["docids"] for row in rows] == [["0", "1", "2"], ["9", "0", "1"]] and all(len(row["documents"]) == 3 for row in rows)


def test_what_a_benchmark_judges_is_never_a_subject(tmp_path, monkeypatch):
    index = Nearest()
    index.corpus = TOWNS
    monkeypatch.setattr("lrat.pipeline.variants.open_index", lambda folder: index)
    (tmp_path/"leaf.qrels").write_text("".join(f"q{n} 0 {n} 1\n" for n in range(10)))
    make_general(tmp_path, tmp_path, tmp_path, ["leaf"], 8, 12, 2, 1)
    trained = [row["docids"][0] for _, row in read_jsonl(tmp_path/"general.jsonl")]
    held = [next(iter(judged)) for judged in read_qrels(tmp_path/"held.qrels").values()]
    assert len(trained) == 12 and len(held) == 8 and not set(trained) & set(held) and min(map(int, trained + held)) >= 10
    with pytest.raises(LratError, match="21 general queries are asked for, but only 20"): make_general(tmp_path, tmp_path, tmp_path, ["leaf"], 9, 12, 2, 1)


# ------------------------------------------------------------------------------------------------------------ pairs kept back and added

@pytest.fixture
def pairs(tmp_path):
    rows = [{"query": f"about\t{n % 7}", "pos": ["a"], "neg": ["b"], "pos_id": [str(n)], "reweight_rate": 1.} for n in range(21)]
    write_jsonl(tmp_path/"p.jsonl", rows)
    write_jsonl(tmp_path/"p.jsonl.provenance.jsonl", ({"query_id": f"train-{n // 3}"} for n in range(21)))
    write_json(tmp_path/"p.jsonl.manifest.json", {"pairs": 21})
    return tmp_path/"p.jsonl"


def test_a_question_is_on_one_side_only(pairs, tmp_path):
    hold_out(pairs, tmp_path/"a", .3, 7)
    left = {row["pos_id"][0] for _, row in read_jsonl(tmp_path/"a"/"pairs.jsonl")}
    held = {docid for judged in read_qrels(tmp_path/"a"/"held.qrels").values() for docid in judged}
    assert left | held == set(map(str, range(21))) and not {int(i) // 3 for i in left} & {int(i) // 3 for i in held}
    assert len({q.text for q in read_questions(tmp_path/"a"/"held.tsv")}) == len(read_questions(tmp_path/"a"/"held.tsv"))
    hold_out(pairs, tmp_path/"b", .3, 7)
    assert [(tmp_path/"a"/n).read_bytes() == (tmp_path/"b"/n).read_bytes() for n in ("pairs.jsonl", "held.tsv", "held.qrels")] == [True] * 3


@pytest.mark.parametrize("share", [0, 1, -1, 2])
def test_a_share_that_leaves_a_side_empty_is_refused(pairs, tmp_path, share):
    with pytest.raises(LratError, match="must lie between 0 and 1"): hold_out(pairs, tmp_path/"a", share, 7)


def test_one_question_cannot_be_split_and_sources_must_fit(pairs, tmp_path):
    write_jsonl(f"{pairs}.provenance.jsonl", ({"query_id": "train-1"} for n in range(21)))
    with pytest.raises(LratError, match="none is left to train on"): hold_out(pairs, tmp_path/"a", .3, 7)
    write_jsonl(f"{pairs}.provenance.jsonl", ({"query_id": "train-1"} for n in range(20)))
    with pytest.raises(InputError, match="20 lines for 21 pairs; mine again"): hold_out(pairs, tmp_path/"a", .3, 7)


def test_general_queries_become_pairs_of_weight_one(pairs, tmp_path):
    write_jsonl(tmp_path/"g.jsonl", ({"query": f"g{n}", "documents": [f"own {n}", "x", "y"]} for n in range(30)))
    mix_pairs(pairs, tmp_path/"g.jsonl", tmp_path/"m.jsonl", .5, 7)
    added = [row for _, row in read_jsonl(tmp_path/"m.jsonl")][21:]
    assert len(added) == 21 and all(row["pos"] == [f"own {row['query'][1:]}"] and row["neg"] == ["x", "y"] and row["reweight_rate"] == 1 for row in added)
    with pytest.raises(LratError, match="holds 30 general queries, but 63 are needed"): mix_pairs(pairs, tmp_path/"g.jsonl", tmp_path/"m.jsonl", .75, 7)


# ------------------------------------------------------------------------------------------------------------ run by name

def test_ablations_are_run_by_name_and_never_without():
    named = find_notebooks(["70", "71", "72_forgetting", "73_another_agent", "74_reader", "75_human_questions", "76"])
    assert [p.parent.name for p in named] == ["ablations"] * 7 and not set(named) & set(find_notebooks([]))
    assert all(notebook_parameters(p) == ["profile", "seed", "changes"] for p in named)
    with pytest.raises(LratError, match="'7' names 7 notebooks"): find_notebooks(["7"])


def test_a_run_without_names_runs_no_ablation(monkeypatch):
    ran = []
    def run(path, profile, parameters=None, results=None, force=False):
        ran.append(path.stem)
        return {"notebook": path.stem, "status": "ran", "seconds": 1, "copy": ""}
    monkeypatch.setattr("lrat.paper.runner.run_notebook", run)
    monkeypatch.setattr("lrat.paper.runner.build_report", lambda profile, prices: "report.html")
    monkeypatch.setattr("lrat.paper.runner.check_expected", lambda profile: [])
    run_command([], profile="smoke")
    assert len(ran) == 10 and not [name for name in ran if name.startswith("7")]
    run_command(["72"], profile="smoke")
    assert ran[-1] == "72_forgetting"


def test_ablations_are_recorded_but_no_part_of_the_papers_artefacts(tmp_path, empty_project):
    settings = load_settings("smoke")
    ablations = set(ARTEFACTS) - set(paper_artefacts())
    for artefact in ablations: record(settings, artefact, [result_row(artefact, "base", "success", .5)], {})
    assert len(ablations) == 7 and load_results("smoke") == {} and set(load_results("smoke", own=True)) == ablations
    assert sorted(json.loads(p.read_text())["artefact"] for p in (tmp_path/"results"/"smoke").glob("*.json")) == sorted(ablations)


@pytest.mark.slow
@pytest.mark.parametrize("number", ["70", "71", "72", "73", "74", "75", "76"])
def test_each_ablation_runs_under_smoke(number):
    run_command([number], profile="smoke")
