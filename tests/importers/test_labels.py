"Which result belongs to which call and query, what was opened, and what is said of it: nothing is shifted, guessed or lost without a note."
import json

import pytest
from paths import SHARED

from lrat.core.files import write_jsonl
from lrat.importers.command import import_command, import_trajectories
from lrat.importers.opens import UNRESOLVED
from lrat.importers.report import ImportReport
from lrat.importers.sessions import Event, Session, UNMATCHED, to_trajectory
from lrat.importers.tools import NO_ANSWER, NOT_SEPARATED, TOOLS, Tool, read_tools
from lrat.trajectories.docids import normal_docid
from lrat.trajectories.trajectory import Step, Trajectory, iterate_trajectories, read_trajectory, write_trajectory

CASES = SHARED/"cases"
LISTED = "DocID:7\n[Lund]\nA city.\n\nDocID:9\n[Uppsala]\nA city."
ASKED = Event("user", "Which city?")
END = [Event("thought", "It fits."), Event("text", "Uppsala")]


def imported(*events, tools=TOOLS):
    report = ImportReport()
    return to_trajectory(Session("log:1", [ASKED, *events]), tools, report), report.counts


def called(name, arguments, result=None, call_id="a"):
    return [Event("text", ""), Event("call", arguments, name, call_id), *([Event("result", result, None, call_id)] if result is not None else [])]


def searches(run): return [(search.query, list(search.docids)) for search in run.searches()]
def browses(run): return [(browse.docid, browse.search and browse.search.query) for browse in run.browses()]


# Results and calls

def unnamed(*values): return [Event("result", value) for value in values]


@pytest.mark.parametrize("results,outputs", [
    (unnamed(LISTED), [None, None]), (unnamed(LISTED, "A page."), [LISTED, "A page."]), (unnamed("1", "2", "3"), [None, None]),
    ([Event("result", "A page.", "visit")], [None, "A page."]), ([Event("result", "A page.", "visit"), Event("result", LISTED, "search")], [LISTED, "A page."]),
    ([Event("result", "1", "visit"), Event("result", "2", "visit"), Event("result", LISTED)], [None, None])])
def test_results_without_ids_are_matched_by_tool_and_count(results, outputs):
    run, notes = imported(Event("call", {"query": "a"}, "search"), Event("call", {"docid": "7"}, "visit"), *results, Event("text", ""),
                          Event("call", {"query": "b"}, "search"), *unnamed("DocID:11"), *END)
    assert [step.output for step in run.steps if step.type == "tool_call"] == [*outputs, "DocID:11"]
    assert notes["a call without a result"] == outputs.count(None) and notes[UNMATCHED] == len(results) - (2 - outputs.count(None))


def test_some_results_have_ids():
    run, notes = imported(Event("call", {"query": "a"}, "search", "x"), Event("call", {"query": "b"}, "search", "y"), Event("result", "DocID:2", None, "y"),
                          Event("result", "DocID:1"), *END)
    assert searches(run) == [("a", ["1"]), ("b", ["2"])] and not notes


@pytest.mark.parametrize("ids", [("z", "z"), (None, None), ("", "")])
def test_parallel_calls_of_one_id(ids):
    calls = [Event("call", {"query": query}, "search", i) for query, i in zip("ab", ids)]
    results = [Event("result", f"DocID:{n}", None, i) for n, i in zip("12", ids)]
    assert searches(imported(*calls, *results, *END)[0]) == [("a", ["1"]), ("b", ["2"])]
    run, notes = imported(*calls, results[1], Event("text", ""), *[Event("call", {"query": "c"}, "search", ids[0]), Event("result", "DocID:3", None, ids[0])], *END)
    assert searches(run) == [("a", []), ("b", []), ("c", ["3"])] and notes[UNMATCHED] == 1 and notes["a call without a result"] == 2


def test_half_of_a_log_is_counted_and_printed(tmp_path, capsys):
    call = {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "search", "arguments": '{"query": "old city"}'}}]}
    write_jsonl(tmp_path/"log.jsonl", [{"id": "q1", "messages": [{"role": "user", "content": "Which?"}, call, {"role": "tool", "tool_call_id": "lost", "content": LISTED},
                                                                {"role": "assistant", "content": "Uppsala"}]}])
    import_command(str(tmp_path/"log.jsonl"), str(tmp_path/"runs"), "chat")
    said = capsys.readouterr().out
    assert "1 x a call without a result, for example\n    log.jsonl:1: search" in said and "1 x a result without its call, for example\n    log.jsonl:1: DocID:7" in said


# Several queries

BOTH = ["old city", "capital of Norway"]
ROW = {"docid": "7"}, {"docid": "9"}, {"docid": "11"}


@pytest.mark.parametrize("output", [
    "Results for 'old city':\n\nDocID:7\n[Capital of Norway]\n\nDocID:9\n\n=======\nResults for 'capital of Norway':\n\nDocID:11",
    "## old city\n\nDocID:7\n\nDocID:9\n\n## capital of Norway\n\nDocID:11", "Query: capital of Norway\nDocID:11\n\nQuery: old city\nDocID:7\n\nDocID:9",
    "A search for 'old city' found 2 results:\n\nDocID:7\n\nDocID:9\n\nA search for 'capital of Norway' found 1 results:\n\nDocID:11",
    "Results for query 1:\nDocID:7\n\nDocID:9\n\nResults for query 2:\nDocID:11", "DocID:7\n\nDocID:9\n=======\nDocID:11",
    "A search for 'old city' found 2 results:\n\n## Web Results\nDocID:7\n[Old city]\nOld city\n\nOld city\n\nDocID:9\n[B]\n=======\n"
    "A search for 'capital of Norway' found 1 results:\n\n## Web Results\nDocID:11",
    [ROW[:2], ROW[2:]], json.dumps([ROW[:2], ROW[2:]]), {"results": [ROW[:2], ROW[2:]]}, {"capital of Norway": ROW[2:], "Old  City": ROW[:2]},
    [{"query": "capital of Norway", "results": ROW[2:]}, {"query": "old city", "results": ROW[:2]}], {"data": [{"hits": ROW[:2]}, {"hits": ROW[2:]}]},
    {"results": [{"query": "old city", **ROW[0]}, {"query": "capital of Norway", **ROW[2]}, {"query": "old city", **ROW[1]}]},
    [{"type": "text", "text": "DocID:7\n\nDocID:9"}, {"type": "text", "text": "DocID:11"}], ["DocID:7\n\nDocID:9", "DocID:11"]])
@pytest.mark.parametrize("argument", ["query", "queries"])
def test_each_query_has_its_own_results(output, argument):
    output = json.loads(json.dumps(output))
    run, notes = imported(*called("search", {argument: BOTH, "k": 5}, output), *called("visit", {"docid": "11"}, "Oslo", "b"), *END)
    assert searches(run) == [("old city", ["7", "9"]), ("capital of Norway", ["11"])] and browses(run) == [("11", "capital of Norway")] and not notes
    assert run.tool_call_counts == {"search": 1, "visit": 1} and [step.parallel for step in run.steps[:2]] == [False, True]


@pytest.mark.parametrize("output", [LISTED, [*ROW], json.dumps(ROW), [ROW[0], ROW[1]], ["DocID:7", "DocID:9"], "DocID:7\n=======\nDocID:9",
                                    "Results for 'old city', 'capital of Norway':\n\nDocID:7\n\nDocID:9", "DocID:7\n\nResults for 'capital of Norway':\n\nDocID:11"])
def test_results_that_are_not_separated_go_to_no_query(output):
    output = json.loads(json.dumps(output))
    run, notes = imported(*called("search", {"query": BOTH}, output), *called("visit", {"docid": "7"}, "Lund", "b"), *END)
    assert searches(run) == [("old city", []), ("capital of Norway", [])] and browses(run) == [("7", None)] and notes == {NOT_SEPARATED: 1}
    assert json.loads(run.steps[0].output)[0]["result"] == output # Kept, but not as a result list


def test_a_query_without_an_answer(tmp_path):
    three = [*BOTH, "fjord"]
    run, notes = imported(*called("search", {"query": three}, "Results for 'old city':\n\nDocID:7\n\nResults for 'fjord':\n\nDocID:3"), *END)
    assert searches(run) == [("old city", ["7"]), ("capital of Norway", []), ("fjord", ["3"])] and notes == {NO_ANSWER: 1}
    run, notes = imported(*called("search", {"query": three}, "A search for 'old city' found 1 results:\n\nDocID:7"), *END) # It ran the first only
    assert searches(run) == [("old city", ["7"])] and not notes
    write_trajectory(tmp_path/"log", Trajectory("q1", "Which?", "completed", [
        Step("tool_call", "search", json.dumps({"query": BOTH}), "Results for 'old city':\nDocID:7\n\nResults for 'capital of Norway':\nDocID:11")]))
    import_trajectories(tmp_path/"log", tmp_path/"runs", "runs")
    assert searches(read_trajectory(tmp_path/"runs"/"run_q1.json")) == [("old city", ["7"]), ("capital of Norway", ["11"])] # In files of trajectories as well


# Addresses and other docids

SITE = "https://en.example.org/wiki"


@pytest.mark.parametrize("shown", ["{}/Uppsala", "{}/Uppsala/", "{}/Uppsala?utm_source=x&gclid=1", "{}/Uppsala#Top"])
@pytest.mark.parametrize("opened", ["{}/Uppsala#History", "{}/Uppsala/?fbclid=2", "HTTPS://EN.example.org/wiki/Uppsala"])
def test_an_address_is_one_document_however_it_is_written(shown, opened):
    output = json.dumps([{"url": shown.format(SITE)}, {"url": f"{SITE}/Help:Contents"}])
    run, notes = imported(*called("search", {"query": "old"}, output), *called("visit", {"url": [opened.format(SITE), f"{SITE}/Help:Contents", f"{SITE}/Help:Other?page=2"]}, "A page."), *END)
    assert searches(run) == [("old", [f"{SITE}/Uppsala", f"{SITE}/Help:Contents"])] and not notes
    assert browses(run) == [(f"{SITE}/Uppsala", "old"), (f"{SITE}/Help:Contents", "old"), (f"{SITE}/Help:Other?page=2", None)]


def test_normal_forms_stay_as_they_are():
    for docid in ("https://a.example/b?x=1&y=2", "https://a.example/b//c", "wiki/a/", "a:b#c", "7", f"{SITE}/#!/owl"): assert normal_docid(normal_docid(docid)) == normal_docid(docid)
    assert normal_docid("https://a.example/b?utm_campaign=x&y=2&msclkid=3") == "https://a.example/b?y=2"


@pytest.mark.parametrize("field", ["docid", "doc_id", "document_id", "id", "_id", "url", "link", "source"])
@pytest.mark.parametrize("wrap", [lambda rows: rows, json.dumps, lambda rows: {"hits": {"total": 2, "hits": rows}}, lambda rows: {"results": [{"metadata": row} for row in rows]}])
def test_docids_under_any_usual_name(field, wrap):
    run, notes = imported(*called("search", {"query": "old"}, wrap([{field: "a", "title": "Lund"}, {field: "b", "title": "Uppsala"}])), *called("get_document", {field: "b"}, "A page."), *END)
    assert searches(run) == [("old", ["a", "b"])] and browses(run) == [("b", "old")] and not notes


@pytest.mark.parametrize("parts", [[json.dumps({"id": "a"}, indent=2), json.dumps({"id": "b"}, indent=2)], [json.dumps([{"id": "a"}, {"id": "b"}])], ["DocID:a\n\nDocID:b"]])
@pytest.mark.parametrize("more", [[], [{"type": "image", "data": "..."}]])
def test_docids_in_parts_of_text(parts, more):
    run, notes = imported(*called("search", {"query": "old"}, [*({"type": "text", "text": text} for text in parts), *more]), *END)
    assert searches(run) == [("old", ["a", "b"])] and not notes


def test_a_document_opened_by_its_other_name():
    rows = [{"id": 1, "doc_id": "lund", "link": f"{SITE}/Lund"}, {"id": 2, "doc_id": "uppsala", "link": f"{SITE}/Uppsala"}]
    run, notes = imported(*called("search", {"query": "old"}, rows), *called("visit", {"url": f"{SITE}/Uppsala#x"}, "A page."), *END)
    assert searches(run) == [("old", ["lund", "uppsala"])] and browses(run) == [("uppsala", "old")] and not notes


@pytest.mark.parametrize("output", ["1. Lund\nURL: {0}/Lund\nA city.\n\n2. Uppsala\nURL: {0}/Uppsala", "1. [Lund]({0}/Lund)\nA city.\n2. [Uppsala]({0}/Uppsala)",
                                    "- **Link**: <{0}/Lund>\n- **Link**: <{0}/Uppsala>", "{0}/Lund\n{0}/Uppsala"])
def test_addresses_in_text(output):
    run, notes = imported(*called("search", {"query": "old"}, output.format(SITE)), *END)
    assert searches(run) == [("old", [f"{SITE}/Lund", f"{SITE}/Uppsala"])] and not notes


def test_an_agent_of_the_web_with_lists_of_queries_and_pages():
    def block(query, *pages):
        rows = [f"{n}. [{page.title()}](https://{page}.example/a?utm_source=s)\nSource: The {page}\n\nSee https://other.example/x for more." for n, page in enumerate(pages, 1)]
        return f"A Google search for '{query}' found {len(pages)} results:\n\n## Web Results\n" + "\n\n".join(rows)
    run, notes = imported(*called("search", {"query": BOTH}, block(BOTH[0], "lund", "uppsala") + "\n=======\n" + block(BOTH[1], "oslo")),
                          *called("visit", {"url": ["https://uppsala.example/a", "https://oslo.example/a#x"], "goal": "its age"}, "The useful information ...", "b"), *END)
    assert searches(run) == [(BOTH[0], ["https://lund.example/a", "https://uppsala.example/a"]), (BOTH[1], ["https://oslo.example/a"])] and not notes
    assert browses(run) == [("https://uppsala.example/a", BOTH[0]), ("https://oslo.example/a", BOTH[1])] and {b.reasoning for b in run.browses()} == {"It fits."}


def test_results_without_a_docid_are_counted():
    for output in ("1. Lund, a city", [{"title": "Lund"}], {"results": [{"source": "wiki"}, {"source": "wiki"}]}):
        assert imported(*called("search", {"query": "old"}, output), *END)[1] == {"a search that returned results in which no docid can be read": 1}
    for output in ("", "No results found.", [], {"results": []}, "Error: 500"): assert not imported(*called("search", {"query": "old"}, output), *END)[1]
    assert imported(*called("search", {"query": "old"}, [{"id": "a"}, {"title": "Lund"}]), *END)[1] == {"a result without a docid": 1}
    assert imported(*called("search", {"words": "old"}, LISTED), *called("visit", {"page": 2}, "A page."), *END)[1] == {
        "a search call without a query": 1, "a browse call without a docid": 1, "a session without a search": 1}


# Opens by number

TOOLS_OF = {"find": Tool("search", ("query",)), "open": Tool("browse", ("id",))}


@pytest.mark.parametrize("output,number,docid", [
    ([{"url": "https://a.example/l"}, {"url": "https://a.example/u"}], 2, "https://a.example/u"), ("URL: https://a.example/l\nURL: https://a.example/u", "1", "https://a.example/l"),
    ([{"rank": 0, "url": "https://a.example/l"}, {"rank": 1, "url": "https://a.example/u"}], 1, "https://a.example/u"),
    ("[0] [L](https://a.example/l)\n[1] [U](https://a.example/u)", 1, "https://a.example/u"), ("[1] [L](https://a.example/l)\n[2] [U](https://a.example/u)", 1, "https://a.example/l"),
    ("【0†L†a.example/l】\n【1†U†a.example/u】", 1, "a.example/u")])
def test_a_number_is_a_position_in_the_latest_list(output, number, docid):
    run, notes = imported(*called("find", {"query": "old"}, "URL: https://a.example/x"), *called("find", {"query": "older"}, output), *called("open", {"id": number}, "A page."), *END, tools=TOOLS_OF)
    assert browses(run) == [(docid, "older")] and not notes


@pytest.mark.parametrize("output,number", [("DocID:7\nDocID:9", "2"), ("DocID:7\nDocID:9", 9), ([{"docid": "b"}, {"docid": "2"}], 2)])
def test_a_number_that_may_be_a_docid_stays(output, number):
    run, _ = imported(*called("find", {"query": "old"}, output), *called("open", {"id": number}, "A page."), *END, tools=TOOLS_OF)
    assert run.browses()[0].docid == str(number)


def test_a_number_that_names_no_result_is_counted():
    run, notes = imported(*called("find", {"query": "old"}, "URL: https://a.example/x"), *called("open", {"id": 5}, "A page."), *END, tools=TOOLS_OF)
    assert browses(run) == [("5", None)] and notes == {UNRESOLVED: 1}


# Parallel calls

def test_parallel_opens_carry_the_reasoning_that_follows(tmp_path):
    turn = [Event("call", {"docid": "9"}, "visit", "b"), Event("call", {"docid": "7"}, "visit", "c"), Event("result", "U", None, "b"), Event("result", "L", None, "c")]
    run, _ = imported(*called("search", {"query": "old"}, LISTED), Event("text", ""), *turn, *END)
    assert [(b.docid, b.reasoning) for b in run.browses()] == [("9", "It fits."), ("7", "It fits.")]
    write_trajectory(tmp_path, run)
    assert read_trajectory(next(tmp_path.glob("run_*"))).browses() == run.browses()
    one_after_the_other, _ = imported(*called("search", {"query": "old"}, LISTED), *called("visit", {"docid": "9"}, "U", "b"), *called("visit", {"docid": "7"}, "L", "c"), *END)
    assert [(b.docid, b.reasoning) for b in one_after_the_other.browses()] == [("9", ""), ("7", "It fits.")]
    by_list, _ = imported(*called("search", {"query": "old"}, LISTED), *called("visit", {"docid": ["9", "7"]}, "U and L"), *END)
    assert [(b.docid, b.reasoning) for b in by_list.browses()] == [("9", "It fits."), ("7", "It fits.")]


PAGES = (("b", "9", "Uppsala, 1477."), ("c", "7", "Lund, 1666."))


def parallel_chat():
    def call(i, name, arguments): return {"id": i, "function": {"name": name, "arguments": json.dumps(arguments)}}
    return {"id": "q1", "messages": [
        {"role": "user", "content": "Which?"}, {"role": "assistant", "tool_calls": [call("a", "search", {"query": "old"})]}, {"role": "tool", "tool_call_id": "a", "content": LISTED},
        {"role": "assistant", "tool_calls": [call(i, "visit", {"docid": docid}) for i, docid, _ in PAGES]},
        *({"role": "tool", "tool_call_id": i, "content": text} for i, _, text in PAGES[::-1]), {"role": "assistant", "content": "Uppsala", "reasoning_content": "It fits."}]}


def parallel_responses():
    def call(i, name, arguments): return {"type": "function_call", "call_id": i, "name": name, "arguments": json.dumps(arguments)}
    def output(i, text): return {"type": "function_call_output", "call_id": i, "output": text}
    return {"id": "q1", "input": "Which?", "output": [call("a", "search", {"query": "old"}), output("a", LISTED), *(call(i, "visit", {"docid": docid}) for i, docid, _ in PAGES),
            *(output(i, text) for i, _, text in PAGES), {"type": "reasoning", "summary": [{"type": "summary_text", "text": "It fits."}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Uppsala"}]}]}


def parallel_atif():
    def call(i, name, arguments): return {"tool_call_id": i, "function_name": name, "arguments": arguments}
    def step(n, calls, contents): return {"step_id": n, "source": "agent", "message": "", "tool_calls": calls, "observation": {"results": [{"content": one} for one in contents]}}
    return {"schema_version": "ATIF-v1.6", "session_id": "q1", "agent": {"name": "a"}, "steps": [
        {"step_id": 1, "source": "user", "message": "Which?"}, step(2, [call("a", "search", {"query": "old"})], [LISTED]),
        step(3, [call(i, "visit", {"docid": docid}) for i, docid, _ in PAGES], [text for *_, text in PAGES]),
        {"step_id": 4, "source": "agent", "message": "Uppsala", "reasoning_content": "It fits."}]}


def parallel_langsmith():
    chat = parallel_chat()["messages"]
    def row(n, kind, **more): return {"id": f"r{n}", "trace_id": "q1", "run_type": kind, "start_time": f"2025-01-01T00:00:{n:02}", "end_time": f"2025-01-01T00:00:{n:02}.5", **more}
    yield from (row(n, "llm", inputs={"messages": chat[:end]}, outputs={"choices": [{"message": chat[end]}]}) for n, end in ((1, 1), (3, 3), (6, 6)))
    yield row(2, "tool", name="search", inputs={"input": "{'query': 'old'}"}, outputs={"output": {"type": "tool", "content": LISTED, "tool_call_id": "a"}})
    for n, (i, docid, text) in enumerate(PAGES, 4):
        yield row(n, "tool", name="visit", inputs={"input": str({"docid": docid})}, outputs={"output": {"type": "tool", "content": text, "tool_call_id": i}})


@pytest.mark.parametrize("form,log", [("chat", parallel_chat), ("responses", parallel_responses), ("atif", parallel_atif), ("langsmith", parallel_langsmith)])
def test_parallel_opens_of_each_form(form, log, tmp_path):
    made = log()
    write_jsonl(tmp_path/"log.jsonl", [made] if isinstance(made, dict) else list(made))
    manifest = import_trajectories(tmp_path/"log.jsonl", tmp_path/"runs", form)
    run, = iterate_trajectories(tmp_path/"runs")
    assert [(b.docid, b.search.query, b.reasoning, run.steps[b.step].output) for b in run.browses()] == [(docid, "old", "It fits.", text) for _, docid, text in PAGES]
    assert not manifest["notes"]


def test_an_open_beside_a_search_did_not_see_its_results():
    run, _ = imported(*called("search", {"query": "old"}, LISTED), Event("text", ""), Event("call", {"query": "older"}, "search", "b"), Event("call", {"docid": "9"}, "visit", "c"),
                      Event("result", LISTED, None, "b"), Event("result", "U", None, "c"), *END)
    assert browses(run) == [("9", "old")] and run.browses()[0].latest.query == "old"


# The cases of issue 12, where they are beside this checkout

@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not beside this checkout")
@pytest.mark.parametrize("case,form,found,opened", [
    ("logs_25_atif_results_without_ids/trajectory.json", "atif", [("oldest university Scandinavia", []), ("oldest university Norway", ["11", "12"])], [("11", "oldest university Norway", "")]),
    ("logs_10_several_queries/log.jsonl", "chat", [("oldest university Scandinavia", ["7", "9"]), ("capital of Norway", ["11"])],
     [("11", "capital of Norway", "Oslo is the capital, that helps.")]),
    ("logs_11_urls_as_docids/log.jsonl", "chat", [("oldest university", [f"{SITE}/Uppsala", f"{SITE}/Lund"])],
     [(f"{SITE}/Uppsala", "oldest university", ""), (f"{SITE}/Help:Contents", None, ""), ("https://other.example.org/a", None, "")]),
    ("logs_12_parallel_opens/log.jsonl", "chat", [("oldest university Scandinavia", ["7", "9"])],
     [(docid, "oldest university Scandinavia", "Both documents help: Lund 1666, Uppsala 1477.") for docid in ("9", "7")]),
    ("logs_17_opens_by_number/log.jsonl", "chat", [("oldest university Scandinavia", ["a.example/lund", "a.example/uppsala"])],
     [("a.example/uppsala", "oldest university Scandinavia", "1477 settles it.")]),
    ("logs_09_results_without_docids/log.jsonl", "chat", [("oldest university Scandinavia", ["https://a.example/lund", "https://a.example/uppsala"])],
     [("https://a.example/uppsala", "oldest university Scandinavia", "")])])
def test_cases(case, form, found, opened, tmp_path):
    mapping = (CASES/case).with_name("tools.yaml")
    import_trajectories(CASES/case, tmp_path, form, read_tools(mapping if mapping.exists() else None))
    run, = iterate_trajectories(tmp_path)
    assert searches(run) == found and [(b.docid, b.search and b.search.query, b.reasoning) for b in run.browses()] == opened


ROWS = [{"link": "https://a.example/x", "title": "Lamp", "snippet": "A lamp."}, {"link": "https://b.example/y", "title": "Other", "snippet": "Else."}]


@pytest.mark.parametrize("name", ["web_search", "WebSearch", "file_search"])
@pytest.mark.parametrize("argument", ["q", "query", "search_query"])
@pytest.mark.parametrize("result", [{"hits": ROWS}, {"organic": ROWS}, ROWS, [{**row, "file_id": row["link"]} for row in ROWS], "1. Lamp\nurl: https://a.example/x\n\n2. Other\nurl: https://b.example/y"], ids=lambda r: type(r).__name__)
def test_a_tool_of_the_users_own_under_the_name_of_a_servers_tool(name, argument, result, tmp_path):
    call = {"id": "a", "type": "function", "function": {"name": name, "arguments": json.dumps({argument: "lamp maker"})}}
    messages = [{"role": "user", "content": "Who made the lamp?"}, {"role": "assistant", "content": "", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "a", "content": result if isinstance(result, str) else json.dumps(result)}, {"role": "assistant", "content": "Orrin."}]
    (tmp_path/"log.jsonl").write_text(json.dumps({"id": "s", "messages": messages}))
    manifest = import_trajectories(tmp_path/"log.jsonl", tmp_path/"out")
    run, = iterate_trajectories(tmp_path/"out")
    assert [(s.query, s.docids) for s in run.searches()] == [("lamp maker", ("https://a.example/x", "https://b.example/y"))] and not manifest["notes"]


@pytest.mark.parametrize("call", ['{"name": "search", "arguments": {"query": ["lamp"]}}', "{'name': 'search', 'arguments': {'query': ['lamp']}}",
    '{"name": "search", "arguments": {"query": ["lamp"],}}', '```json\n{"name": "search", "arguments": {"query": ["lamp"]}}\n```', '{"name": "search", "arguments": {"query": ["lamp"]}'])
def test_a_call_in_text_is_read_as_a_live_agent_s_is(call, tmp_path):
    said = [("system", "s"), ("user", "Q?"), ("assistant", f"<think>t</think><tool_call>\n{call}\n</tool_call>"),
            ("user", "<tool_response>\nDocID:7\n[T]\ntext\n</tool_response>"), ("assistant", "<answer>A</answer>")]
    row = {"question": "Q?", "prediction": "A", "termination": "answer", "messages": [{"role": role, "content": text} for role, text in said]}
    (tmp_path/"log.jsonl").write_text(json.dumps(row))
    import_trajectories(tmp_path/"log.jsonl", tmp_path/"out")
    run, = iterate_trajectories(tmp_path/"out")
    assert [(s.query, s.docids) for s in run.searches()] == [("lamp", ("7",))]
