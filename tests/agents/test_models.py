"Models by name: one file for agents and judges, and what is wrong with it by line"
import json
import pytest
pytest.importorskip("aiohttp", reason="the agents extra is not installed")
yaml = pytest.importorskip("yaml", reason="the agents extra is not installed")
from lrat.agents.collect import collect_command
from lrat.agents.registry import open_agent
from lrat.core.settings import InputError, LratError
from lrat.evaluation.command import eval_command
from lrat.judging.command import judge_command
from lrat.llm.models import FIELDS, example_models, read_models
from lrat.testing.server import completion, stand_in
from lrat.trajectories.trajectory import read_trajectory
from small_agents import Words

@pytest.mark.parametrize("text, why", [
    ("small:\n  endpont: http://a/v1\n", r"models.yaml:2: a model has no field 'endpont'; did you mean 'endpoint'\?"), ("small:\n", "models.yaml:1: the model 'small' has no fields"),
    ("small:\n  model: x\n", "models.yaml:1: the model 'small' has no endpoint"), ("a: {endpoint: 'http://a/v1'}\nb:\n  endpoint: localhost:8000\n", "models.yaml:2: the endpoint 'localhost:8000' is not a URL"),
    ("a:\n  endpoint: http://a/v1\n  concurrency: 0\n", "models.yaml:3: concurrency of 'a' must be a whole number"), ("a:\n  endpoint: http://a/v1\n  context_length: 32k\n", "models.yaml:3: context_length"),
    ("a:\n  endpoint: http://a/v1\n  sampling:\n    temperature: .nan\n", "models.yaml:4: holds .nan, which is not a finite number"), ("a:\n  endpoint: http://a/v1\n  leave_out: seed\n", "models.yaml:3: leave_out of 'a' must be a list of names"),
    ("a:\n  endpoint: http://a/v1\n  rename: [max_tokens]\n", "models.yaml:3: rename of 'a' must be pairs of names"), ("a:\n  endpoint: http://a/v1\n  price: 0.25\n", "models.yaml:3: price of 'a' must be input, output and currency"),
    ("a:\n  endpoint: http://a/v1\n  model: a\n  model: b\n", "models.yaml:4: 'model' stands here twice"), ("a:\n  endpoint: http://me:pw@a/v1\n", "models.yaml:1: the endpoint holds a password"),
    ("a: [\n", "models.yaml:2: is not valid YAML"), ("", "holds no models"), ("- a\n", "holds no models"), ("a: b: c\n", "models.yaml:1: is not valid YAML"), ("a: http://a/v1\n", "models.yaml:1: the model 'a' has no fields")])
def test_a_mistake_is_named_with_its_line(tmp_path, text, why):
    (tmp_path/"models.yaml").write_text(text)
    with pytest.raises(InputError, match=why) as caught: read_models(tmp_path/"models.yaml")
    assert "\n" not in str(caught.value) and "pw" not in str(caught.value).replace("password", "")

def test_the_example_names_every_field_and_can_be_read(tmp_path):
    (tmp_path/"models.yaml").write_text(example_models())
    entries = read_models(tmp_path/"models.yaml")
    assert set(FIELDS) == {name for entry in yaml.safe_load(example_models()).values() for name in entry} and len(entries) == 3
    assert entries["hosted"].headers == str(tmp_path/"gateway.headers")

def test_collecting_judging_and_scoring_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("MUSEUM_KEY", "sk-planted")
    monkeypatch.setattr("lrat.agents.collect.open_index", lambda folder, **second: Words())
    (tmp_path/"questions.tsv").write_text("q00\tWhich town has 0 mills?\tTown 00\n")
    seen = []
    def answer(body):
        seen.append(body)
        if body["model"] != "org/agent-8b": return completion("yes" if len(seen) < 6 else "correct: yes")
        turn = sum(m["role"] == "assistant" for m in body["messages"])
        return (completion(None, [("search", {"user_query": "0 mills"})]), completion(None, [("get_document", {"docid": "d00"})]), completion("Town 00", reasoning="It helps."))[turn]
    with stand_in(answer) as server:
        entries = {"mine": {"endpoint": server.url, "model": "org/agent-8b", "key": "MUSEUM_KEY", "agent": "glm", "sampling": {"temperature": .3, "seed": "none"},
                            "leave_out": ["presence_penalty"], "rename": {"max_tokens": "max_completion_tokens"}, "concurrency": 2, "context_length": 10_000},
                   **{name: {"endpoint": server.url, "sampling": {"temperature": "none"}, "leave_out": ["seed"]} for name in ("one", "two")}}
        (tmp_path/"models.yaml").write_text(json.dumps(entries)) # JSON is YAML
        models = {"models": str(tmp_path/"models.yaml")}
        collect_command(str(tmp_path/"questions.tsv"), "index", str(tmp_path/"runs"), agent="mine", top_p=.5, preset="reference", **models)
        judge_command(str(tmp_path/"runs"), "llm", str(tmp_path/"v.jsonl"), model="one,two", **models)
        eval_command(str(tmp_path/"runs"), str(tmp_path/"questions.tsv"), out=str(tmp_path/"scores.jsonl"), answer_judge="model", model="one", **models)
    assert {key: value for key, value in seen[0].items() if key not in ("messages", "tools")} == {
        "model": "org/agent-8b", "temperature": .3, "top_p": .5, "max_completion_tokens": 1024, "thinking": {"type": "enabled", "clear_thinking": False}}
    assert [sorted(body) for body in seen[3:]] == [["messages", "model"]]*2 + [["max_tokens", "messages", "model"]] and {body["model"] for body in seen[3:]} == {"one", "two"}
    run = read_trajectory(tmp_path/"runs"/"run_q00.json")
    assert (run.status, run.metadata["model"], run.metadata["agent"], run.metadata["context_tokens"]) == ("completed", "org/agent-8b", "glm", 9000)
    assert not any("planted" in path.read_text() for path in tmp_path.rglob("*.json*"))
    for call in (lambda: collect_command(str(tmp_path/"questions.tsv"), "index", str(tmp_path/"more"), agent="mime", **models),
                 lambda: judge_command(str(tmp_path/"runs"), "llm", str(tmp_path/"w.jsonl"), model="mime", **models)):
        with pytest.raises(LratError, match="models.yaml: holds no model 'mime'; did you mean 'mine'"): call()
    monkeypatch.delenv("MUSEUM_KEY")
    with pytest.raises(LratError, match="MUSEUM_KEY is not set"): open_agent("mine", **models)
