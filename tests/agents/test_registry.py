"One registry of agents: every name in help and errors comes from it, and another package adds to it by an entry point"
import sys
import pytest
pytest.importorskip("aiohttp", reason="the agents extra is not installed")
from lrat.agents.collect import collect_command, open_policy
from lrat.agents.registry import AGENTS, Agent, agent_named, agent_names, open_agent
from lrat.agents.scripted import PERSONAS
from lrat.core.settings import LratError
from lrat.trajectories.trajectory import read_trajectory
from lrat.testing.package import write_package
from small_agents import Words

SOURCE = '''
from lrat.agents.registry import Agent
from small_agents import Plain
PLAIN = Agent("plain", "searches once", lambda options: Plain())
NOT_ONE = Plain
'''

@pytest.fixture
def installed(tmp_path, monkeypatch):
    "A package beside ours with three entry points: an agent, something else, and one that cannot be imported"
    write_package(tmp_path, "elsewhere", SOURCE, {"lrat.agents": {
        "plain": "elsewhere:PLAIN", "not-one": "elsewhere:NOT_ONE", "lost": "nowhere:AGENT", "patient": "elsewhere:PLAIN"}})
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("elsewhere", None)

def test_an_agent_from_elsewhere_collects_by_its_name(installed, tmp_path, monkeypatch):
    assert agent_names() == [*AGENTS, "lost", "not-one", "plain"]
    (tmp_path/"questions.tsv").write_text("q00\tWhich town has 0 mills?\tTown 00\n")
    monkeypatch.setattr("lrat.agents.collect.open_index", lambda folder, **second: Words())
    collect_command(str(tmp_path/"questions.tsv"), "index", str(tmp_path/"out"), agent="plain", k=3)
    run = read_trajectory(tmp_path/"out"/"run_q00.json")
    assert (run.status, run.metadata["policy"], len(run.browses())) == ("completed", "plain", 1)

def test_an_entry_point_does_not_replace_a_built_in_agent(installed):
    assert agent_named("patient") is AGENTS["patient"]

def test_what_is_not_an_agent_is_named(installed):
    with pytest.raises(LratError, match="'not-one' is a _ProtocolMeta in elsewhere:NOT_ONE; it must be"): open_agent("not-one")
    with pytest.raises(LratError, match="'lost' cannot be loaded from nowhere:AGENT"): open_agent("lost")

def test_errors_list_every_name(installed):
    for wrong in (lambda: open_agent("tongi"), lambda: open_policy("tongi", None), lambda: open_agent("tongi", "http://127.0.0.1:1/v1", "M")):
        with pytest.raises(LratError) as caught: wrong()
        assert all(name in str(caught.value) for name in agent_names()) and "\n" not in str(caught.value)

def test_one_record_covers_scripts_and_models():
    assert [name for name, agent in AGENTS.items() if agent.chat is None] == [*PERSONAS, "reader"]
    assert all(isinstance(agent, Agent) and agent.name == name and agent.about for name, agent in AGENTS.items())
    with pytest.raises(LratError, match="needs the corpus"): open_agent("hasty")
    with pytest.raises(LratError, match="'glm' is a model; add --endpoint URL"): open_agent("glm")
    assert open_agent("GLM-4.7", "http://127.0.0.1:1/v1").name == "GLM-4.7"
