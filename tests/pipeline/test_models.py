"Models by name in an experiment: what the file says of where they are changes no stage, what they are sent does."
import pytest

from lrat.core.settings import LratError, load_settings
from lrat.core.stages import Stage
from lrat.paper.runner import run_command
from lrat.pipeline.pipeline import Pipeline

FIRST = "m: {endpoint: 'http://a/v1', model: org/m, sampling: {temperature: 0.5}}\n"


@pytest.fixture
def key(tmp_path, monkeypatch):
    "From the text of a file of models to what the stage of an agent depends on, and where it looks for its model"
    monkeypatch.setattr("lrat.pipeline.pipeline.run_stage", lambda *given: found.append((given[2], given[7], given[6])) or Stage(given[0], tmp_path, "k", 0.))
    found = []
    def of(text, policy="m", **more):
        if text: (tmp_path/"models.yaml").write_text(text)
        settings = load_settings("smoke", **({"agent__models": str(tmp_path/"models.yaml")} if text else {}), **more)
        Pipeline(settings, tmp_path/"stages").trajectories("world-eval", policy, "bm25")
        parameters, counted, addresses = found[-1]
        return (parameters, counted), addresses
    return of


def test_addresses_keys_and_limits_change_no_stage(key):
    first, where = key(FIRST)
    assert where["endpoint"] == "" and where["models"].endswith("models.yaml")
    for change in ("'http://a/v1'", "'http://b/v1', key: K, concurrency: 3, price: {input: 1, output: 2, currency: USD}"), ("m: {", "other: {endpoint: 'http://c/v1'}\nm: {"):
        assert key(FIRST.replace(*change))[0] == first
    assert key(FIRST, agent__budget="5 USD", agent__endpoint="http://d/v1")[0] == first


@pytest.mark.parametrize("change", [("org/m", "org/n"), ("0.5", "0.6"), ("sampling", "leave_out: [seed], sampling"), ("model:", "thinking: 'on', model:"), ("model:", "context_length: 9000, model:")])
def test_what_a_model_is_sent_changes_the_stage(key, change): assert key(FIRST.replace(*change))[0] != key(FIRST)[0]


def test_without_a_file_of_models_nothing_is_added_to_settings_or_stages(key):
    (parameters, counted), where = key("", "patient", agent__endpoint="http://a/v1")
    assert counted is None and where == {"endpoint": "http://a/v1", "models": ""}
    assert not {"endpoint", "models", "budget"} & parameters["agent"].keys()
    assert not {"models", "budget"} & load_settings("smoke").as_dict()["agent"].keys()
    assert key(FIRST, "patient")[0] == key("", "patient")[0] # A script, whatever the file holds


def test_a_model_that_is_not_in_the_file_is_asked_at_the_settings_endpoint(key):
    assert key(FIRST, "another", agent__endpoint="http://d/v1")[1]["endpoint"] == "http://d/v1"


def test_the_plan_says_which_models_are_named_and_which_are_missing(tmp_path, capsys):
    (tmp_path/"models.yaml").write_text(FIRST)
    run_command([], profile="mini", plan=True, models=str(tmp_path/"models.yaml"), set=["agent.policies=m,n", "mining.judge=llm", "mining.judge_model=j,m"])
    said = capsys.readouterr().out
    assert "m (agent): http://a/v1, asked for as org/m" in said and "m (relevance judge): http://a/v1" in said
    assert f"missing in {tmp_path/'models.yaml'}: n, j;" in said
    run_command([], profile="mini", plan=True)
    assert "missing" not in capsys.readouterr().out


def test_a_file_with_a_mistake_is_refused_before_anything_runs(tmp_path):
    (tmp_path/"models.yaml").write_text("m: {endpont: 'http://a/v1'}")
    with pytest.raises(LratError, match="models.yaml:1: a model has no field 'endpont'"): run_command(["52"], profile="smoke", models=str(tmp_path/"models.yaml"))
