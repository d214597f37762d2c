"Trajectories of every dialect are read into the same three views, and what is broken is named by file and step."
import json

import pytest

from lrat.trajectories.trajectory import Trajectory, Step, iterate_trajectories, read_trajectory, write_trajectory
from lrat.core.settings import InputError

BLOCKS = "A search for 'x' found 2 results:\n\n## Web Results\nDocID:7\n[Oslo]\nOslo\nCapital\n\nDocID:8\n[Bergen]\nRainy"
LISTED = json.dumps([{"docid": "7", "score": 2.5, "snippet": "Oslo"}, {"docid": 8, "score": 1, "snippet": "Bergen"}])


def call(tool, arguments, output=None, **more):
    return {"type": "tool_call", "tool_name": tool, "arguments": arguments, "output": output, **more}


def thought(text): return {"type": "reasoning", "tool_name": None, "arguments": None, "output": text}
def said(text, **more): return {"type": "output_text", "tool_name": None, "arguments": None, "output": text, **more}


DIALECTS = {
    "tongyi, one query": [call("search", '{"query": "x"}', BLOCKS), thought("open it"), call("get_document", '{"docid": "7"}', "t"), thought("It fits."), said("Oslo")],
    "tongyi, a list of which the first is run": [call("search", '{"query": ["x", "y"]}', BLOCKS), call("visit", '{"docid": ["7"]}', "t"), thought("It fits."), said("Oslo")],
    "tongyi, number and prefix": [call("search", '{"query": "x"}', BLOCKS), call("visit", '{"docid": 7}', "t"), thought("It fits."), said("Oslo")],
    "tongyi, prefix": [call("search", '{"query": "x"}', BLOCKS), call("get_document", '{"docid": "corpus: 7"}', "t"), thought("It fits."), said("Oslo")],
    "chat, thinking in the message": [call("search", {"user_query": "x"}, LISTED), call("get_document", {"docid": "7"}, "t"), said("<think>It fits.</think>\nOslo")],
    "chat, thinking that was opened in the prompt": [call("search", {"user_query": "x"}, LISTED), call("get_document", {"docid": "7"}, "t"), said("It fits.</think>Oslo")],
    "chat, thinking beside the message": [call("search", '{"user_query": "x"}', LISTED), call("get_document", '{"docid": "7"}', "t"), said("Oslo", reasoning_content="It fits.")],
    "chat, thinking beside the next call": [call("search", '{"user_query": "x"}', LISTED), call("get_document", '{"docid": "7"}', "t"),
                                            call("search", '{"user_query": "z"}', "[]", reasoning_content="It fits."), said("Oslo")],
    "chat, content in parts": [call("search", '{"user_query": "x"}', json.loads(LISTED)), call("get_document", '{"docid": "7"}', "t"), thought([{"type": "text", "text": "It fits."}]), said([{"type": "output_text", "text": "Oslo"}])],
    "responses": [call("local_knowledge_base_retrieval", '{"user_query": "x"}', LISTED), call("get_document", '{"docid": "7"}', "t"), thought(["It fits."]), said("Oslo")],
    "responses, raw items": [call("local_knowledge_base_retrieval", {"user_query": "x"}, LISTED), call("get_document", {"docid": "7"}, "t"),
                             {"type": "reasoning", "summary": [{"type": "summary_text", "text": "It fits."}]}, said("Oslo")],
}


def write(folder, steps, name="run_1", **fields):
    folder.mkdir(exist_ok=True)
    path = folder/f"{name}.json"
    path.write_text(json.dumps({"query_id": "1", "status": "completed", "result": steps} | fields))
    return path


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_gives_the_same_views(name, tmp_path):
    run = read_trajectory(write(tmp_path/"runs", DIALECTS[name]))
    search, browse = run.searches()[0], run.browses()[0]
    assert (search.query, search.docids) == ("x", ("7", "8"))
    assert (browse.docid, browse.search, browse.reasoning) == ("7", search, "It fits.")
    assert run.final_answer == "Oslo"
    again = read_trajectory(write_trajectory(tmp_path/"written", run)) # Written and read again, nothing changes
    assert (again.searches(), again.browses(), again.final_answer) == (run.searches(), run.browses(), "Oslo")


def test_a_document_that_no_search_returned_has_no_search(tmp_path):
    run = read_trajectory(write(tmp_path, [call("search", '{"query": "x"}', BLOCKS), call("get_document", '{"docid": "99"}', "t"), thought("?")]))
    browse, = run.browses()
    assert browse.search is None and browse.latest.query == "x" and run.final_answer is None


def test_the_latest_list_that_holds_a_document_is_its_search(tmp_path):
    run = read_trajectory(write(tmp_path, [call("search", '{"query": "a"}', BLOCKS), call("search", '{"query": "b"}', BLOCKS),
                                    call("search", '{"query": "c"}', "DocID:9\n[T]\nt"), call("visit", '{"docid": "8"}', "t")]))
    assert (run.browses()[0].search.query, run.browses()[0].latest.query) == ("b", "c")


def test_a_colon_in_a_docid_of_ones_own_is_no_prefix(tmp_path):
    run = read_trajectory(write(tmp_path, [call("search", '{"query": "a"}', "DocID:wiki:7\n[T]\nt"), call("visit", '{"docid": "wiki:7"}', "t")]))
    assert run.browses()[0].docid == "wiki:7" and run.browses()[0].search


def test_failed_calls_are_read_as_such(tmp_path):
    run = read_trajectory(write(tmp_path, [call("search", '{"query": "x"', "Error: bad arguments"), call("search", '{"query": "x"}', "Error: down"),
                                    call("search", '{"query": "x"}', None), call("get_document", "{}", "Error"), call("get_document", None, None)]))
    assert [s.docids for s in run.searches()] == [(), ()] and run.browses() == []


def test_reasoning_of_parallel_calls_belongs_to_the_last(tmp_path):
    run = read_trajectory(write(tmp_path, [call("search", '{"query": "x"}', BLOCKS), call("visit", '{"docid": "7"}', "t"),
                                    call("visit", '{"docid": "8"}', "t"), thought("Both read."), thought("The second fits.")]))
    assert [b.reasoning for b in run.browses()] == ["", "Both read.\nThe second fits."]


@pytest.mark.parametrize("steps,fields,says", [
    ([said("x"), {"output": "y"}], {}, r"run_1.json: result\[1\]: has no field 'type'"),
    ([{"type": "message"}], {}, r"run_1.json: result\[0\]: type is 'message'"),
    ([{"type": "tool_call", "arguments": "{}"}], {}, r"run_1.json: result\[0\]: has no field 'tool_name'"),
    ([call("search", 7)], {}, r"run_1.json: result\[0\]: field 'arguments' is int"),
    (["text"], {}, r"run_1.json: result\[0\]: is str"),
    ([], {"query_id": None}, "run_1.json: field 'query_id' is NoneType"),
    ({}, {}, "run_1.json: field 'result' is dict"),
    ([], {"metadata": []}, None),
    ([], {"metadata": [1]}, "run_1.json: field 'metadata' is list")])
def test_what_is_missing_is_named(tmp_path, steps, fields, says):
    path = write(tmp_path, steps, **fields)
    if says is None: assert read_trajectory(path).metadata == {}
    else:
        with pytest.raises(InputError, match=says): read_trajectory(path)


def test_a_half_written_file_is_named_or_noted(tmp_path):
    whole = write(tmp_path, [said("x")])
    (tmp_path/"run_2.json").write_text(whole.read_text()[:40])
    (tmp_path/"run_3.json").write_text("[]")
    with pytest.raises(InputError, match="run_2.json:1: is not valid JSON"): list(iterate_trajectories(tmp_path))
    noted = []
    assert [run.name for run in iterate_trajectories(tmp_path, noted)] == ["run_1"] and len(noted) == 2
    with pytest.raises(InputError, match="holds no trajectory files"): list(iterate_trajectories(tmp_path/"none"))


@pytest.mark.parametrize("query_id", ["7", "q/7", "../7", "a b", "ü", "7.5", "con:7"])
def test_any_query_id_makes_a_file_of_its_own(tmp_path, query_id):
    path = write_trajectory(tmp_path/"runs", Trajectory(query_id, "?", "completed", [Step("output_text", output="x")]))
    assert path.parent == tmp_path/"runs" and path.is_file() and read_trajectory(path).query_id == query_id
    assert [run.query_id for run in iterate_trajectories(tmp_path/"runs")] == [query_id]


def test_a_drawing_shows_every_step_and_what_was_opened(tmp_path):
    pytest.importorskip("matplotlib", reason="the notebooks extra is not installed").use("agg")
    from lrat.trajectories.drawing import cards_of, draw_trajectory
    ranked = "\n\n".join(f"DocID:d{n}\n[T]\nt" for n in range(20))
    run = read_trajectory(write(tmp_path, [call("search", '{"query": "x"', "Error: bad arguments"), call("search", '{"query": "x"}', ranked),
                                           call("visit", '{"docid": ["d17", "d3"]}', "t"), thought("It fits."), call("visit", '{"docid": "absent"}', "Error"),
                                           said("<think>So.</think>Oslo")]))
    assert [card.kind for card in cards_of(run)] == ["search", "search", "browse", "reasoning", "browse", "answer"]
    texts = {text.get_text() for text in draw_trajectory(run, ties=True, columns=2, results=3).axes[0].texts}
    assert {"1  d0", "18  d17", "and 16 more", "Oslo", "absent"} <= texts and "4  d3" not in texts
    assert draw_trajectory(Trajectory("1", None, "failed: x", [])).axes[0].texts[0].get_text() == ""


@pytest.mark.parametrize("query_id", ["x" * 260, "北京" * 50, "Q1", "..", "a/b", "!14", "\u2114", ""])
def test_any_id_is_kept_in_the_file_whatever_its_name(query_id, tmp_path):
    path = write_trajectory(tmp_path, Trajectory(query_id, "q", "completed", []))
    assert path.parent == tmp_path and path.name.startswith("run_") and len(path.name.encode()) < 200
    assert [run.query_id for run in iterate_trajectories(tmp_path)] == [query_id]


def test_ids_that_differ_in_case_alone_never_share_a_file(tmp_path):
    paths = [write_trajectory(tmp_path, Trajectory(query_id, "q", "completed", [])) for query_id in ("Q1", "q1", "É", "é", "e\u0301")]
    assert len({path.name.casefold() for path in paths}) == 5 and paths[1].name == "run_q1.json"


def test_a_trajectory_that_an_earlier_version_named_is_written_where_it_is(tmp_path):
    old = write(tmp_path, [said("x")], "run_Q1", query_id="Q1")
    assert write_trajectory(tmp_path, Trajectory("Q1", "q", "completed", [])) == old
    old = write(tmp_path, [said("x")], "run_Q2", query_id="q2") # Of another question, as a disk without upper case would answer
    assert write_trajectory(tmp_path, Trajectory("Q2", "q", "completed", [])) != old


@pytest.mark.parametrize("fields, says", [
    ({"retrieved_docids": 7}, "field 'retrieved_docids' is int"), ({"answer": {"a": 1}}, "field 'answer' is dict"), ({"query": True}, "field 'query' is bool"),
    ({"tool_call_counts": [1]}, "field 'tool_call_counts' is list"), ({"metadata": "m"}, "field 'metadata' is str")])
def test_fields_of_another_type_are_named(fields, says, tmp_path):
    with pytest.raises(InputError, match=f"run_1.json: {says}"): read_trajectory(write(tmp_path, [], **fields))


def test_what_cannot_be_a_number_or_text_is_refused_with_its_line(tmp_path):
    (tmp_path/"run_1.json").write_text('{\n "query_id": "1",\n "metadata": {"usage": {"input_tokens": NaN}},\n "result": []\n}')
    with pytest.raises(InputError, match="run_1.json:3: holds NaN, which is not a finite number"): read_trajectory(tmp_path/"run_1.json")
    (tmp_path/"run_1.json").write_text('{"query_id": "1", "query": "an owl \\ud83e", "result": []}')
    with pytest.raises(InputError, match="half of a surrogate pair"): read_trajectory(tmp_path/"run_1.json")


def test_half_an_emoji_in_a_query_can_be_written_again(tmp_path):
    run = read_trajectory(write(tmp_path, [call("search", '{"query": "an owl \\ud83e"}', BLOCKS)]))
    assert run.searches()[0].query == "an owl ?"
