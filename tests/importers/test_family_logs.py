"Logs that the software of each family wrote, beside the how-tos: their searches, results, opened documents and reasoning."
import json, re

import pytest
from paths import ROOT

from lrat.importers.command import import_trajectories
from lrat.importers.formats import recognise
from lrat.importers.tools import read_tools
from lrat.trajectories.trajectory import iterate_trajectories

LOGS = ROOT/"nbs"/"howto"/"logs"
FORMS = {"openai_agents.jsonl": "responses", "langgraph.jsonl": "chat", "pydantic_ai.jsonl": "chat", "inspect.eval": "inspect", "claude_code.jsonl": "claude-code",
         "codex.jsonl": "codex", "smolagents.jsonl": "spans"}
PARTLY = {"codex_exec.jsonl": "codex-exec", "langgraph_updates.jsonl": "langgraph", "langgraph_messages.jsonl": "langgraph", "langgraph_values.jsonl": "chat",
          "smolagents_steps.jsonl": "smolagents"} # Other logs of theirs; not each holds all runs, or the question
LAMP = "A lamp fuelled with colza oil. Its lens was ground by a woman who taught an astronomer"
VESSEL = "A copper vessel on the quay in which the cloth of the luggers was soaked against rot"
SEARCHES = {"q1": [(LAMP, ("m07", "m08", "m10", "m13"))],
            "q2": [(VESSEL, ("m12", "m02", "m01", "m03")), ("A copper vessel on the quay in", ("m12", "m00", "m01", "m03")),
                   ("the cloth of the luggers was soaked against rot", ("m02", "m12", "m01", "m03")), (f"{VESSEL}.", ("m12", "m02", "m01", "m03"))]}
OPENED = {"q1": [("m07", LAMP, "This document helps", "My answer is Lantern of Orrin.")],
          "q2": [("m12", VESSEL, "This document helps", "I search for: A copper vessel on the quay in"),
                 ("m02", "the cloth of the luggers was soaked against rot", "This document helps", f"I search for: {VESSEL}.")],
          "q4": [("m10", None, "This document does not help", None), ("m08", None, "This document does not help", "My answer is Cole Pender.")]}
ANSWERS = {"q1": "Lantern of Orrin", "q2": "Tannin vat", "q4": "Cole Pender"}


def imported(name, tmp_path):
    (tmp_path/"tools.yaml").write_text("mcp__library__search: {kind: search, query: query}\nmcp__library__get_document: {kind: browse, docid: docid}\n")
    mapped = {"tools": read_tools(tmp_path/"tools.yaml")} if FORMS[name] in ("claude-code", "codex") else {} # These name MCP's tools with their server
    manifest = import_trajectories(LOGS/name, tmp_path/"runs", **mapped)
    return {run.query_id: run for run in iterate_trajectories(tmp_path/"runs")}, manifest


@pytest.mark.parametrize("name", FORMS | PARTLY)
def test_a_log_is_small_and_names_no_machine_and_its_form_is_recognised(name):
    text = (LOGS/name).read_bytes()
    assert len(text) < 60_000 and not re.search(rb"/(home|root|tmp|Users)/|sk-\w{8}", text)
    assert recognise(LOGS/name).name == (FORMS | PARTLY)[name]


@pytest.mark.parametrize("name", [name for name in FORMS if name != "smolagents.jsonl"])
def test_searches_results_opened_documents_and_reasoning_of_three_runs(name, tmp_path):
    runs, manifest = imported(name, tmp_path)
    assert (manifest["runs"], manifest["searches"], manifest["browses"], manifest["other_tools"], manifest["notes"]) == (3, 7, 5, {}, {})
    assert {query_id: run.final_answer for query_id, run in runs.items()} == ANSWERS
    assert {run.query[:12] for run in runs.values()} == {"A lamp fuell", "A copper ves", "Who built hi"}
    assert {run.answer for run in runs.values()} == ({*ANSWERS.values()} if name == "inspect.eval" else {None}) # The targets of its samples
    for query_id, expected in SEARCHES.items(): assert [(s.query, s.docids) for s in runs[query_id].searches()] == expected
    for query_id, expected in OPENED.items():
        found = runs[query_id].browses()
        assert [b.docid for b in found] == [docid for docid, *_ in expected]
        for browse, (_, query, first, last) in zip(found, expected):
            assert query in (None, browse.search.query) and browse.reasoning.startswith(first) and browse.reasoning.endswith(last or "")
            assert browse.reasoning.count(first) == 1


def test_spans_of_smolagents(tmp_path):
    runs, manifest = imported("smolagents.jsonl", tmp_path)
    (run,) = runs.values()
    assert [(s.query, s.docids) for s in run.searches()] == SEARCHES["q1"] and manifest["other_tools"] == {"final_answer": 1} and not manifest["notes"]
    assert run.query == f"{LAMP}." # Without "New task:" before it
    assert (run.final_answer, run.status) == ("Lantern of Orrin", "completed") # Given to a tool
    (browse,) = run.browses()
    assert browse.docid == "m07" and "This document helps." in browse.reasoning
    assert "looks right, so I read it" not in browse.reasoning # Said before it was opened, and sent again after


def test_events_of_codex_exec(tmp_path):
    manifest = import_trajectories(LOGS/"codex_exec.jsonl", tmp_path/"runs")
    runs = {run.query_id: run for run in iterate_trajectories(tmp_path/"runs")}
    assert (manifest["runs"], manifest["searches"], manifest["browses"], {*manifest["notes"]}) == (3, 7, 5, {"a session without a question"})
    assert {query_id: run.final_answer for query_id, run in runs.items()} == ANSWERS and {run.query for run in runs.values()} == {None}
    for query_id, expected in SEARCHES.items(): assert [(s.query, s.docids) for s in runs[query_id].searches()] == expected
    for query_id, expected in OPENED.items(): assert [b.docid for b in runs[query_id].browses()] == [docid for docid, *_ in expected]
    assert all(browse.reasoning.startswith("This document") for run in runs.values() for browse in run.browses())


@pytest.mark.parametrize("name", [name for name in PARTLY if name != "codex_exec.jsonl"])
def test_streams_of_langgraph_and_the_memory_of_smolagents(name, tmp_path):
    manifest = import_trajectories(LOGS/name, tmp_path/"runs")
    (run,) = iterate_trajectories(tmp_path/"runs")
    assert [(s.query, s.docids) for s in run.searches()] == SEARCHES["q1"] and run.final_answer == "Lantern of Orrin"
    assert [(b.docid, b.search.query) for b in run.browses()] == [("m07", LAMP)]
    unknown = {"langgraph_updates.jsonl": {"a session without a question", "a session without an id, named after its position"},
               "langgraph_messages.jsonl": {"a session without a question"}, "langgraph_values.jsonl": {"a session without an id, named after its position"}}
    assert {*manifest["notes"]} == unknown.get(name, set()) and run.query == (None if "a session without a question" in unknown.get(name, ()) else f"{LAMP}.")


def test_opened_documents_of_a_rollout_are_texts(tmp_path):
    "Codex writes a result as JSON below a header"
    runs, _ = imported("codex.jsonl", tmp_path)
    opened = [step.output for step in runs["q1"].steps if step.tool_name == "get_document"]
    assert [text[:30] for text in opened] == ["Document m07:\nLantern of Orrin"]


def test_the_memory_of_smolagents_as_messages(tmp_path):
    "Roles as `write_memory_to_messages` of smolagents 1.26 gives them; calls are a list of Python, observations have no id"
    def said(role, text): return {"role": role, "content": [{"type": "text", "text": text}]}
    def calling(name, **given): return said("tool-call", f"Calling tools:\n{[{'id': name, 'type': 'function', 'function': {'name': name, 'arguments': given}}]}")
    messages = [said("user", "New task:\nWhose lamp?"), calling("search", query="it's a \"lamp\""), said("tool-response", "Observation:\nDocID:m07\n[Lantern]\nA lamp."),
                said("assistant", "I open it."), calling("get_document", docid="m07"), said("tool-response", "Observation:\nA lamp."),
                said("assistant", "This document helps."), calling("final_answer", answer="Orrin"), said("tool-response", "Observation:\nOrrin")]
    (tmp_path/"log.jsonl").write_text(json.dumps({"id": "q1", "messages": messages}) + "\n")
    manifest = import_trajectories(tmp_path/"log.jsonl", tmp_path/"runs")
    (run,) = iterate_trajectories(tmp_path/"runs")
    assert [(s.query, s.docids) for s in run.searches()] == [("it's a \"lamp\"", ("m07",))] and not manifest["notes"]
    assert [(b.docid, b.reasoning) for b in run.browses()] == [("m07", "This document helps.")] and run.final_answer == "Orrin"
