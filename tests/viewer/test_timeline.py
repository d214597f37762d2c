"The timeline says of every kind of agent what mining sees: the same lists, the same opened documents, the same reasoning."
import json, random

import pytest
from lrat.trajectories.trajectory import Step, Trajectory, iterate_trajectories
from lrat.viewer.timeline import KINDS, shown_results, timeline
from paths import reference_runs

WORDS = "lens lamp glass oil bell rock loom".split()


def random_step(draw, number):
    "A step of any agent's dialect, with what real logs hold: no output, thinking beside calls, calls in parallel, several documents"
    more = {"reasoning_content": draw.choice([None, "", f"beside {number}"]), "parallel": draw.random() < .3}
    docids = draw.sample(WORDS, 3)
    kind = draw.randrange(8)
    if kind < 2: return Step("reasoning", output=draw.choice([f"thought {number}", "", None]))
    if kind == 2: return Step("output_text", output=f"<think>inside {number}</think>said {number}")
    if kind < 5:
        tool, name = draw.choice([("search", "query"), ("search", "user_query"), ("local_knowledge_base_retrieval", "query")])
        output = draw.choice(["\n\n".join(f"DocID:{d}\n[{d}]\ntext" for d in docids), json.dumps([{"docid": d, "score": .5, "snippet": f"{d}\ntext"} for d in docids]), "", None])
        return Step("tool_call", tool, json.dumps({name: f"query {number}"}), output, **more)
    if kind < 7: return Step("tool_call", draw.choice(["get_document", "visit"]), {"docid": draw.choice([docids, docids[0], "corpus: " + docids[1]])}, "text", **more)
    return Step("tool_call", "python", draw.choice(["{", None]), "1", **more)


def check(trajectory):
    events = timeline(trajectory)
    assert {event["kind"] for event in events} <= set(KINDS)
    assert [event["step"] for event in events] == sorted(event["step"] for event in events)
    assert {event["step"] for event in events} == set(range(len(trajectory.steps))), "each step is shown"
    lists = [(e["step"], one["query"], tuple(r["docid"] for r in one["results"])) for e in events for one in e.get("lists", ())]
    assert lists == [(s.step, s.query, s.docids) for s in trajectory.searches()]
    opened = [(e["step"], d["docid"], d["search"]) for e in events if e["kind"] == "open" for d in e["documents"]]
    assert opened == list(dict.fromkeys((b.step, b.docid, b.search and b.search.step) for b in trajectory.browses()))
    for browse in trajectory.browses():
        assert "\n".join(e["text"] for e in events if e["kind"] == "thought" and browse.step in e["after"]) == browse.reasoning
        marks = [(e["step"], r["docid"]) for e in events for one in e.get("lists", ()) for r in one["results"] if browse.step in r["opened"]]
        assert (browse.search is None) or (browse.search.step, browse.docid) in marks
    json.dumps(events)


def test_generated_trajectories_show_what_mining_sees():
    draw = random.Random(2025)
    for n in range(300): check(Trajectory(f"q{n}", "?", "completed", [random_step(draw, number) for number in range(draw.randrange(14))]))


def test_published_trajectories_show_what_mining_sees():
    folder = reference_runs() or pytest.skip("the reference trajectories are not here; lrat fetch reference-trajectories")
    for trajectory in iterate_trajectories(folder): check(trajectory)


@pytest.mark.parametrize("output", ['[{"docid": 7, "title": null, "score": "high", "text": ["a", "list"]}]', '[{"docid": "7", "snippet": 5}]', "DocID:7", "DocID:7\n\n\n[",
                                    '{"results": [{"docid": "7"}, {"no": 1}, 3]}', [{"docid": 7}], "[broken\nDocID:7\n[T]\ntext", {"results": None}, "DocID:\n", '["7"]'])
def test_odd_results_are_shown_as_far_as_they_go(output):
    shown = shown_results(output, ["7"])
    assert set(shown) <= {"7"} and all(isinstance(one.title, str) and isinstance(one.snippet, str) for one in shown.values())


def test_lists_of_imported_logs_are_shown_with_titles_and_snippets():
    rows = [{"link": "https://a.example/x", "title": "Lamp of Orrin", "snippet": "A lamp.", "score": .9}, {"link": "https://b.example/y", "title": "Other", "snippet": "Else."}]
    for output in ({"hits": rows}, json.dumps(rows), [*({"docid": row["link"]} for row in rows), {"result": {"hits": rows}}]):
        shown = shown_results(output, [row["link"] for row in rows])
        assert {docid: (one.title, one.snippet, one.score) for docid, one in shown.items()} == {r["link"]: (r["title"], r["snippet"], r.get("score")) for r in rows}
