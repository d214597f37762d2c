"Logs of every form give the same searches, browses and reasoning; what is broken is counted and shown, and nothing is written twice."
import copy, json, os, random, subprocess, sys
from pathlib import Path

import pytest
from small_logs import LOGS, chat, genai

from lrat import importing
from lrat.data.published import import_pairs
from lrat.evaluation.browsecomp import write_browsecomp
from lrat.core.files import read_json, write_jsonl
from lrat.importers.command import FORMS, import_trajectories, import_command
from lrat.trajectories.trajectory import Trajectory, Step, iterate_trajectories, read_trajectory, write_trajectory
from lrat.core.settings import InputError, LratError
from lrat.importers.tools import read_tools
from paths import RECORDED

LISTED = "DocID:7\n[Owl]\nA bird.\n\nDocID:9\n[Oak]\nA tree."


def small(query_id="q1", last="The owl"):
    call = lambda tool, output, **arguments: Step("tool_call", tool, json.dumps(arguments), output)
    return Trajectory(query_id, "Which bird flies at night?", "completed", [
        Step("reasoning", output="I search."), call("search", LISTED, query="night bird"), Step("reasoning", output="The owl, perhaps."),
        call("get_document", "An owl.", docid="7"), Step("reasoning", output="It flies at night, says the page."),
        call("search", "DocID:9\n[Oak]\nA tree.", query="oak"), call("visit", "An oak.", docid="9"), Step("output_text", output=last)])


RUNS = [small(), *(iterate_trajectories(RECORDED/"runs") if RECORDED.is_dir() else [])]


def views(run): return ([(s.query, s.docids) for s in run.searches()], [(b.docid, b.search and b.search.query, b.reasoning) for b in run.browses()],
                        run.query, run.final_answer)


def written(folder): return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".json"}


@pytest.mark.parametrize("name", LOGS)
@pytest.mark.parametrize("number", range(len(RUNS)))
def test_every_form_gives_the_run_that_it_was_made_of(name, number, tmp_path):
    form, logged = LOGS[name]
    write_jsonl(tmp_path/"log.jsonl", logged(RUNS[number]))
    account = import_trajectories(tmp_path/"log.jsonl", form, tmp_path/"runs")
    run, = iterate_trajectories(tmp_path/"runs")
    assert views(run) == views(RUNS[number]) and run.query_id == RUNS[number].query_id
    assert run.status == "completed" and account["notes"] == {} and account["other_tools"] == {}


@pytest.mark.parametrize("name", LOGS)
def test_many_sessions_of_one_log(name, tmp_path):
    form, logged = LOGS[name]
    made = [small(f"q{n}", f"Answer {n}") for n in range(12)]
    lines = [line for run in made for line in logged(run)]
    random.Random(1).shuffle(lines)
    write_jsonl(tmp_path/"logs"/"a.jsonl", lines[::2])
    write_jsonl(tmp_path/"logs"/"deep"/"b.jsonl", lines[1::2])
    account = import_trajectories(tmp_path/"logs", form, tmp_path/"runs")
    assert {run.query_id: views(run) for run in iterate_trajectories(tmp_path/"runs")} == {run.query_id: views(run) for run in made}
    assert (account["runs"], account["searches"], account["browses"]) == (12, 24, 24)


@pytest.mark.parametrize("name", LOGS)
def test_tools_of_other_names(name, tmp_path):
    form, logged = LOGS[name]
    run = small()
    for n, step in enumerate(run.steps):
        if step.type != "tool_call": continue
        is_search, value = step.tool_name == "search", next(iter(json.loads(step.arguments).values()))
        output = json.dumps({"hits": [{"url": d} for d in ("7", "9") if d in step.output]}) if is_search else step.output
        run.steps[n] = Step("tool_call", "web" if is_search else "open", json.dumps({"q": value, "page": 1} if is_search else {"url": value}), output)
    write_jsonl(tmp_path/"log.jsonl", logged(run))
    (tmp_path/"tools.yaml").write_text("web: {kind: search, query: q, results: hits.url}\nopen: {kind: browse, docid: url}\n")
    with pytest.raises(LratError, match=r"none of the 1 runs holds a search; the tools in them are: open \(2\), web \(2\); name the search"):
        import_trajectories(tmp_path/"log.jsonl", form, tmp_path/"unmapped")
    import_trajectories(tmp_path/"log.jsonl", form, tmp_path/"runs", read_tools(tmp_path/"tools.yaml"))
    imported, = iterate_trajectories(tmp_path/"runs")
    assert views(imported) == views(small()) and imported.metadata["tools"] == {"open": "get_document", "web": "search"}
    assert json.loads(imported.steps[1].arguments) == {"query": "night bird", "page": 1} # The other arguments stay


@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded runs are not beside this checkout")
def test_run_files_keep_their_steps(tmp_path):
    import_trajectories(RECORDED/"runs", "runs", tmp_path/"runs")
    for before, after in zip(iterate_trajectories(RECORDED/"runs"), iterate_trajectories(tmp_path/"runs")):
        assert (before.steps, before.tool_call_counts, before.status, before.answer) == (after.steps, after.tool_call_counts, after.status, after.answer)
        assert before.metadata.items() <= after.metadata.items()


def test_runs_of_browsecomp(tmp_path):
    write_browsecomp([small("1"), small("2")], tmp_path/"runs.jsonl")
    with open(tmp_path/"runs.jsonl", "a") as file: file.write('{"query_id": "3", "status"\n')
    account = import_trajectories(tmp_path/"runs.jsonl", "browsecomp", tmp_path/"out")
    assert account["runs"] == 2 and account["notes"]["a run that cannot be read"]["count"] == 1
    assert "runs.jsonl:3: is not valid JSON" in account["notes"]["a run that cannot be read"]["first"][0]
    assert views(read_trajectory(tmp_path/"out"/"run_1.json"))[0] == views(small())[0]


def test_pairs_take_the_one_way_there_is(tmp_path):
    pair = {"query": "owls", "pos": ["Owl"], "neg": ["Oak"], "reasoning_len": 40, "satisfied": True, "reweight_rate": 1.2}
    write_jsonl(tmp_path/"released.jsonl", [pair, pair | {"pos": []}])
    import_command(str(tmp_path/"released.jsonl"), "pairs", str(tmp_path/"out"))
    import_pairs(tmp_path/"released.jsonl", tmp_path/"direct.jsonl")
    assert (tmp_path/"out"/"pairs.jsonl").read_bytes() == (tmp_path/"direct.jsonl").read_bytes()


def test_an_import_that_was_cut_off_goes_on(tmp_path, monkeypatch):
    write_jsonl(tmp_path/"log.jsonl", [line for n in range(8) for line in chat(small(f"q{n}"))])
    import_trajectories(tmp_path/"log.jsonl", "chat", tmp_path/"whole")
    count = 0

    def dies(folder, run):
        nonlocal count
        if (count := count + 1) > 3: raise KeyboardInterrupt
        return write_trajectory(folder, run)

    monkeypatch.setattr(importing, "write_run", dies)
    with pytest.raises(KeyboardInterrupt): import_trajectories(tmp_path/"log.jsonl", "chat", tmp_path/"runs")
    assert len(list((tmp_path/"runs").glob("run_*"))) == 3
    (tmp_path/"runs"/".run_q3.json.x.part").write_text("half") # What kill -9 leaves
    made = []
    monkeypatch.setattr(importing, "write_run", lambda folder, run: made.append(run.query_id) or write_trajectory(folder, run))
    import_trajectories(tmp_path/"log.jsonl", "chat", tmp_path/"runs")
    assert made == [f"q{n}" for n in range(3, 8)] and written(tmp_path/"runs") == written(tmp_path/"whole")
    assert not list((tmp_path/"runs").glob(".*.part"))


def test_a_conversation_logged_at_each_request_is_one_run(tmp_path):
    messages = chat(small())[0]["messages"]
    write_jsonl(tmp_path/"log.jsonl", [{"id": "q1", "messages": messages[:n]} for n in range(3, len(messages) + 1)])
    account = import_trajectories(tmp_path/"log.jsonl", "chat", tmp_path/"runs")
    assert views(read_trajectory(tmp_path/"runs"/"run_q1.json")) == views(small())
    before = written(tmp_path/"runs")
    assert import_trajectories(tmp_path/"log.jsonl", "chat", tmp_path/"runs") == account and written(tmp_path/"runs") == before


def test_two_sessions_with_one_id_are_said(tmp_path):
    write_jsonl(tmp_path/"log.jsonl", chat(small("q1")) + chat(small("q1", "The oak")) + chat(small("q2")))
    account = import_trajectories(tmp_path/"log.jsonl", "chat", tmp_path/"runs")
    assert account["notes"]["two sessions with one id; the first is kept"]["first"] == ["log.jsonl:2: 'q1' is the id of log.jsonl:1, give each its own"]
    assert read_trajectory(tmp_path/"runs"/"run_q1.json").final_answer == "The owl" and account["runs"] == 2


def test_a_run_from_elsewhere_is_not_overwritten(tmp_path):
    write_trajectory(tmp_path/"runs", small("q1", "Made here"))
    write_jsonl(tmp_path/"log.jsonl", chat(small("q1")) + chat(small("q2")))
    account = import_trajectories(tmp_path/"log.jsonl", "chat", tmp_path/"runs")
    assert read_trajectory(tmp_path/"runs"/"run_q1.json").final_answer == "Made here"
    assert list(account["notes"]) == ["an id that the folder already holds from elsewhere; left out"]


@pytest.mark.parametrize("query_id", ["a/b", "../up", "x" * 400, "é" * 200, "con:7"])
def test_any_id_makes_a_file(query_id, tmp_path):
    write_jsonl(tmp_path/"log.jsonl", chat(small(query_id)))
    import_trajectories(tmp_path/"log.jsonl", "chat", tmp_path/"runs")
    assert [views(run) for run in iterate_trajectories(tmp_path/"runs")] == [views(small())]


GOOD = json.dumps(chat(small("good"))[0])


@pytest.mark.parametrize("line,what,detail", [
    (GOOD[:200], "a line or value that is no JSON", "log.jsonl:2: is no JSON"),
    ('{"id": "x", "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}', "a session without a search", "log.jsonl:2"),
    ('{"id": "x", "messages": [{"role": "user", "content": "Hi"}]}', "a session in which nothing happens", "log.jsonl:2"),
    ('{"id": "x", "messages": [{"role": "narrator", "content": "Once"}]}', "a message of an unknown role", 'log.jsonl:2: {"role": "narrator"'),
    ('{"id": "x", "messages": [{"role": "tool", "content": "Lost"}, {"role": "assistant", "content": "a"}]}', "a result without its call", "log.jsonl:2: Lost"),
    ('{"id": "x", "messages": [{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "search", "arguments": "{\\"que"}}]}]}',
     "a call whose arguments are no JSON object", 'log.jsonl:2: search({"que)'),
    ('{"id": "x", "messages": [{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "search", "arguments": "{}"}}]}]}', "a call without a result", "log.jsonl:2: search"),
    ('{"id": "x", "messages": [{"role": "assistant", "tool_calls": 7}]}', "a value of another shape than its form has", "log.jsonl:2: TypeError"),
    ('{"id": "x", "messages": [{"role": "assistant", "content": "\\ud800"}]}', "a session with characters that no file holds", "log.jsonl:2"),
    ('{"resourceSpans": []}', "no conversation", 'log.jsonl:2: {"resourceSpans"'),
    ("[" * 100_000, "a line or value that is no JSON", "log.jsonl:2: is nested too deep"),
])
def test_what_is_not_understood_is_counted_and_shown(line, what, detail, tmp_path):
    (tmp_path/"log.jsonl").write_text(f"{GOOD}\n{line}\n{GOOD.replace('good', 'also good')}\n")
    account = import_trajectories(tmp_path/"log.jsonl", "chat", tmp_path/"runs")
    assert account["notes"][what]["count"] == 1 and account["notes"][what]["first"][0].startswith(detail)
    assert {"good", "also good"} <= {run.query_id for run in iterate_trajectories(tmp_path/"runs")}
    assert read_json(tmp_path/"runs"/"import.manifest.json") == account


@pytest.mark.parametrize("content,says", [
    (b"", "is empty"), (b"\n \n", "is empty"), (b"\x89PNG\r\n\x1a\n\0\xff", "is not UTF-8 text"), (b"[" + GOOD.encode()[:80], "is no JSON"),
    (b'{"resourceSpans": []}', "it looks like the form 'spans'"), (b'{"schema_version": "ATIF-v1.4", "steps": []}', "it looks like the form 'atif'"),
    (json.dumps({"query_id": "1", "result": []}).encode(), "it looks like the form 'runs'"), (b'"text"', "no conversation"), (b"[]", "holds no")])
def test_what_cannot_be_imported_is_one_line(content, says, tmp_path):
    (tmp_path/"log.jsonl").write_bytes(content)
    with pytest.raises(InputError) as caught: import_trajectories(tmp_path/"log.jsonl", "chat", tmp_path/"runs")
    assert str(caught.value).startswith(f"{tmp_path/'log.jsonl'}: nothing in it could be imported as the form 'chat'") and "\n" not in str(caught.value)
    if content != b"[]": assert says in str(caught.value)
    assert not list((tmp_path/"runs").glob("*.json"))


@pytest.mark.parametrize("text,says", [
    ("web: {kind: find}", "tool 'web': kind is 'find'; choose one of: search, browse, other"), ("web: search", "tool 'web': is str; write it as"),
    ("web: {kind: search, docid: d}", "has no use for 'docid'; kind search takes: pattern, query, results"), ("[1]", "must map tool names"), ("", "must map tool names"),
    ("web: {kind: search, pattern: '('}", "pattern is no regular expression"), ("web: {kind: search, pattern: 'x'}", "pattern has 0 groups"),
    ("web: {kind: search, query: 7}", "field 'query' is int"), ("web: {kind", "is no YAML")])
def test_a_mapping_that_cannot_be_used_is_one_line(text, says, tmp_path):
    (tmp_path/"tools.yaml").write_text(text)
    with pytest.raises(InputError) as caught: read_tools(tmp_path/"tools.yaml")
    assert str(caught.value).startswith(f"{tmp_path/'tools.yaml'}: ") and says in str(caught.value) and "\n" not in str(caught.value)


def test_the_command_ends_with_a_status(tmp_path, capsys):
    write_jsonl(tmp_path/"log.jsonl", chat(small()))
    done = subprocess.run([Path(sys.executable).parent/"lrat import", "log.jsonl", "--form", "spans", "--out", "runs"], capture_output=True,
                          text=True, cwd=tmp_path, env=os.environ | {"COLUMNS": "120"})
    assert done.returncode == 2 and done.stderr.strip().splitlines()[-1].startswith("lrat import: log.jsonl: nothing in it could be imported")
    import_command(str(tmp_path/"log.jsonl"), "chat", str(tmp_path/"runs"))
    assert capsys.readouterr().out == f"{tmp_path/'runs'}: 1 runs, 1 of them with a search; 2 searches, 2 documents opened\n"
    with pytest.raises(LratError, match="unknown form 'letters'; choose one of: chat, responses, spans"):
        import_command(str(tmp_path/"log.jsonl"), "letters", str(tmp_path/"runs"))


def broken(value, rng):
    "The value with one part of it replaced, left out or doubled"
    value = copy.deepcopy(value)
    places = []

    def walk(part):
        for key in part if isinstance(part, dict) else range(len(part)):
            places.append((part, key))
            if isinstance(part[key], (dict, list)): walk(part[key])

    walk(value)
    part, key = rng.choice(places)
    change = rng.choice(["", None, 7, "x", [], {}, [None], [7], {"x": 1}, "leave out", "double"])
    if change == "leave out": del part[key]
    elif change == "double" and isinstance(part, list): part.insert(key, copy.deepcopy(part[key]))
    else: part[key] = change
    return value


@pytest.mark.parametrize("name", LOGS)
def test_a_broken_value_never_stops_an_import(name, tmp_path):
    form, logged = LOGS[name]
    rng, good = random.Random(2025), list(logged(small()))
    for n in range(40):
        lines = [broken(line, rng) if rng.random() < .5 else line for line in good]
        write_jsonl(tmp_path/"log.jsonl", [*lines, *logged(small("whole"))])
        import_trajectories(tmp_path/"log.jsonl", form, tmp_path/f"runs{n}")
        assert views(read_trajectory(tmp_path/f"runs{n}"/"run_whole.json")) == views(small())


def test_spans_twice_and_conversations_over_traces(tmp_path):
    lines = list(genai(small("t1")))
    talk = {"key": "gen_ai.conversation.id", "value": {"stringValue": "talk"}}
    for n, line in enumerate(lines): # Half of the trace under another id, both naming one conversation
        span = line["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
        span["attributes"].append(talk)
        if n % 2: span["traceId"] = "t2"
    write_jsonl(tmp_path/"log.jsonl", lines + lines[:3])
    account = import_trajectories(tmp_path/"log.jsonl", "spans", tmp_path/"runs")
    run, = iterate_trajectories(tmp_path/"runs")
    assert (run.query_id, views(run)) == ("talk", views(small()))
    assert account["notes"]["the same span twice"]["count"] == 3 and run.metadata["conventions"]["versions"] == ["1.38.0"]


def test_forms_are_told_from_their_first_value(tmp_path):
    for form, logged in LOGS.values():
        write_jsonl(tmp_path/"log.jsonl", logged(small()))
        assert importing.likely_form(tmp_path/"log.jsonl") == form
    assert set(FORMS) >= {form for form, _ in LOGS.values()} | {"runs", "browsecomp"}
