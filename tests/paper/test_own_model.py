"The laptop's experiments with a language model of one's own, from the file of models to the table; and a budget that ends them in time."
import json, os, subprocess, sys

import pytest
from paths import ROOT

from lrat.agents.actions import Budget
from lrat.agents.collect import collect
from lrat.agents.registry import open_agent
from lrat.core.settings import LratError, load_settings
from lrat.data.corpus import open_corpus
from lrat.evaluation.prices import read_prices
from lrat.llm.budget import Allowance, BudgetSpent, Meter, metered
from lrat.paper.runner import run_command, run_notebooks
from lrat.pipeline.roles import meter_of
from lrat.testing.museum import QUESTIONS, write_museum
from lrat.testing.retriever import WordRetriever, first_words
from lrat.testing.scripted_models import scripted_models, serve_scripts
from lrat.trajectories.trajectory import iterate_trajectories


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    return scripted_models(open_corpus(write_museum(tmp_path_factory.mktemp("museum"))[0]), agents=["my-model"])


def gather(server, folder, meter):
    with metered(meter): return collect(QUESTIONS, WordRetriever(), open_agent("my-model", server.url, concurrency=2), folder, Budget(rounds=8, k=3), first_words, batch_size=2)


def test_a_budget_stops_before_it_is_passed_and_keeps_what_is_finished(scripts, tmp_path):
    with serve_scripts(scripts) as server:
        gather(server, tmp_path/"free", whole := Meter(Allowance(1e9), tmp_path/"free.jsonl"))
        whole.update()
        meter = Meter(Allowance(whole.tokens * .8), tmp_path/"spent.jsonl")
        with pytest.raises(BudgetSpent, match="raise --budget and run the same command again"): gather(server, tmp_path/"runs", meter)
        meter.update()
        kept = {path.name: path.read_bytes() for path in (tmp_path/"runs").glob("run_*.json")}
        assert 0 < meter.tokens <= meter.allowance.amount and 0 < len(kept) < len(QUESTIONS)
        with pytest.raises(BudgetSpent): gather(server, tmp_path/"runs", again := Meter(meter.allowance, meter.ledger)) # Another process goes on counting
        again.update()
        assert meter.tokens <= again.tokens <= meter.allowance.amount
        done = gather(server, tmp_path/"runs", Meter(Allowance(1e9), meter.ledger))
    assert (done["kept"], done["completed"]) == (len(kept), len(QUESTIONS))
    assert all((tmp_path/"runs"/name).read_bytes() == text for name, text in kept.items())


def test_what_was_spent_is_what_the_trajectories_say(scripts, tmp_path):
    with serve_scripts(scripts) as server: gather(server, tmp_path/"runs", meter := Meter(Allowance(9, "EUR"), tmp_path/"spent.jsonl", {"my-model": (100., 400.)}))
    meter.update()
    used = [run.metadata["usage"] for run in iterate_trajectories(tmp_path/"runs")]
    read, written = (sum(one[name] for one in used) for name in ("prompt_tokens", "completion_tokens"))
    assert meter.tokens == read + written and meter.spent == pytest.approx((100 * read + 400 * written) / 1e6)


def test_a_budget_needs_usage_and_prices(scripts, tmp_path):
    from lrat.testing.server import completion, stand_in
    with stand_in(lambda body: {name: value for name, value in completion("Oslo").items() if name != "usage"}) as server:
        with pytest.raises(LratError, match="counts no tokens, so a budget cannot be kept"): gather(server, tmp_path/"runs", Meter(Allowance(1e6), tmp_path/"spent.jsonl"))
    (tmp_path/"models.yaml").write_text("m: {endpoint: 'http://a/v1', price: {input: 1, output: 2, currency: EUR}}\nn: {endpoint: 'http://a/v1'}")
    def of(budget, *policies): return meter_of(load_settings("smoke", agent__models=str(tmp_path/"models.yaml"), agent__policies=list(policies), agent__budget=budget), tmp_path/"stages")
    assert of("5 eur", "m").prices == {"m": (1, 2)} and of("5M tokens", "n").prices == {}
    for policy, unit in (("n", "EUR"), ("m", "USD")):
        with pytest.raises(LratError, match=f"'{policy}' has no price in {unit}"): of(f"5 {unit}", policy)
    with pytest.raises(LratError, match="the budget 'lots' is no amount"): run_command(["52"], profile="smoke", budget="lots")


def test_a_run_ends_where_the_budget_does(monkeypatch, tmp_path):
    begun = []
    def run(path, *_, **__): return begun.append(path) or {"notebook": path.stem, "status": "failed", "cell": 3, "error": "BudgetSpent: the budget is used up", "copy": ""}
    monkeypatch.setattr("lrat.paper.runner.run_notebook", run)
    monkeypatch.setattr("lrat.paper.runner.notebook_parameters", lambda path: [])
    assert len(run_notebooks([tmp_path/"a.ipynb", tmp_path/"b.ipynb"], "smoke")) == len(begun) == 1


@pytest.fixture
def project(tmp_path, monkeypatch):
    "A project of its own with the notebooks and the data of this one"
    (tmp_path/"settings.ini").touch()
    for name in ("nbs", "data"): (tmp_path/name).symlink_to(ROOT/name)
    return tmp_path


@pytest.mark.slow
def test_the_laptops_main_table_with_a_model_of_ones_own(project):
    "lrat run 52 --models: stopped by its budget, continued with a larger one; the table names the model and the ledger its tokens"
    from lrat.pipeline.pipeline import Pipeline
    data = Pipeline(load_settings("smoke"), project/"results"/"stages").data()
    scripts = scripted_models(open_corpus(data/"corpus.jsonl"), agents=["org/my-model-8b"])
    with serve_scripts(scripts) as server:
        (project/"models.yaml").write_text(f"my-model: {{endpoint: '{server.url}', model: org/my-model-8b, agent: chat, price: {{input: 1, output: 4, currency: USD}}}}")
        def lrat(*more):
            program = [sys.executable, "-c", "from lrat.core.cli import main; main()", "run", "52", "--profile", "smoke", "--models", "models.yaml",
                       "--set", "agent.policies=my-model", "agent.collection_policies=my-model", *more]
            return subprocess.run(program, cwd=project, env=os.environ | {"LRAT_ROOT": str(project)}, capture_output=True, text=True)
        checked = lrat("--check")
        assert checked.returncode == 0 and "my-model (agent): works" in checked.stdout, checked.stdout + checked.stderr
        stopped = lrat("--budget", "100k tokens")
        assert stopped.returncode == 2 and "BudgetSpent" in stopped.stdout, stopped.stdout + stopped.stderr
        kept = {path: path.read_bytes() for path in (project/"results"/"stages").glob("runs-*/runs/run_*.json")}
        done = lrat("--budget", "50 USD")
    assert done.returncode == 0 and "USD" in done.stdout, done.stdout + done.stderr
    assert kept and all(path.read_bytes() == text for path, text in kept.items())
    rows = json.loads((project/"results"/"smoke"/"table2.json").read_text())["rows"]
    assert {row["agent"] for row in rows if row["agent"]} == {"my-model"}
    spent = [json.loads(line) for line in (project/"results"/"smoke"/"spent.jsonl").read_text().splitlines()]
    assert {row["model"] for row in spent} == {"org/my-model-8b"} and read_prices(project/"models.yaml").models == {"org/my-model-8b": (1., 4.)}
