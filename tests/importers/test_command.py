"Logs of every form give the same searches, browses and reasoning; what is broken is counted and shown, and nothing is written twice."
import json, os, random, re, subprocess, sys
from pathlib import Path

import pytest
from small_logs import LOGS, broken, chat, genai, small, views

from lrat.data.published import import_pairs
from lrat.evaluation.browsecomp import write_browsecomp
from lrat.core.files import read_json, write_jsonl
from lrat.importers import folder as folder_module
from lrat.importers.command import import_command, import_trajectories
from lrat.importers.formats import format_names, log_format, recognise
from lrat.trajectories.trajectory import Trajectory, Step, iterate_trajectories, read_trajectory, write_trajectory
from lrat.core.settings import InputError, LratError
from lrat.importers.tools import read_tools
from paths import RECORDED

RUNS = [small(), *(iterate_trajectories(RECORDED/"runs") if RECORDED.is_dir() else [])]


def written(folder): return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".json"}


@pytest.mark.parametrize("name", LOGS)
@pytest.mark.parametrize("number", range(len(RUNS)))
def test_every_form_gives_the_trajectory_it_was_made_of(name, number, tmp_path):
    form, logged = LOGS[name]
    write_jsonl(tmp_path/"log.jsonl", logged(RUNS[number]))
    manifest = import_trajectories(tmp_path/"log.jsonl", tmp_path/"runs", form)
    run, = iterate_trajectories(tmp_path/"runs")
    assert views(run) == views(RUNS[number]) and run.query_id == RUNS[number].query_id
    assert run.status == "completed" and manifest["notes"] == {} and manifest["other_tools"] == {}


@pytest.mark.parametrize("name", LOGS)
def test_many_sessions_of_one_log(name, tmp_path):
    form, logged = LOGS[name]
    made = [small(f"q{n}", f"Answer {n}") for n in range(12)]
    lines = [line for run in made for line in logged(run)]
    random.Random(1).shuffle(lines)
    write_jsonl(tmp_path/"logs"/"a.jsonl", lines[::2])
    write_jsonl(tmp_path/"logs"/"deep"/"b.jsonl", lines[1::2])
    manifest = import_trajectories(tmp_path/"logs", tmp_path/"runs", form)
    assert {run.query_id: views(run) for run in iterate_trajectories(tmp_path/"runs")} == {run.query_id: views(run) for run in made}
    assert (manifest["runs"], manifest["searches"], manifest["browses"]) == (12, 24, 24)


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
    import_trajectories(tmp_path/"log.jsonl", tmp_path/"guessed", form)
    guessed, = iterate_trajectories(tmp_path/"guessed")
    assert views(guessed) == views(small())
    (tmp_path/"wrong.yaml").write_text("web: {kind: other}\n")
    with pytest.raises(LratError, match=r"none of the 1 trajectories holds a search; the tools in them are: web \(2\); name the search"):
        import_trajectories(tmp_path/"log.jsonl", tmp_path/"unmapped", form, read_tools(tmp_path/"wrong.yaml"))
    import_trajectories(tmp_path/"log.jsonl", tmp_path/"runs", form, read_tools(tmp_path/"tools.yaml"))
    imported, = iterate_trajectories(tmp_path/"runs")
    assert views(imported) == views(small()) and imported.metadata["tools"] == {"open": "get_document", "web": "search"}
    assert json.loads(imported.steps[1].arguments) == {"query": "night bird", "page": 1} # The other arguments stay


@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded trajectories are not beside this checkout")
def test_trajectory_files_keep_their_steps(tmp_path):
    import_trajectories(RECORDED/"runs", tmp_path/"runs", "runs")
    for before, after in zip(iterate_trajectories(RECORDED/"runs"), iterate_trajectories(tmp_path/"runs")):
        assert (before.steps, before.tool_call_counts, before.status, before.answer) == (after.steps, after.tool_call_counts, after.status, after.answer)
        assert before.metadata.items() <= after.metadata.items()


def test_trajectories_of_browsecomp(tmp_path):
    write_browsecomp([small("1"), small("2")], tmp_path/"runs.jsonl")
    with open(tmp_path/"runs.jsonl", "a") as file: file.write('{"query_id": "3", "status"\n')
    manifest = import_trajectories(tmp_path/"runs.jsonl", tmp_path/"out", "browsecomp")
    assert manifest["runs"] == 2 and manifest["notes"]["a trajectory that cannot be read"]["count"] == 1
    assert re.search(r"runs\.jsonl:3: is (no|not valid) JSON", manifest["notes"]["a trajectory that cannot be read"]["first"][0])
    assert views(read_trajectory(tmp_path/"out"/"run_1.json"))[0] == views(small())[0]


def test_pairs_are_checked_and_copied(tmp_path):
    pair = {"query": "owls", "pos": ["Owl"], "neg": ["Oak"], "reasoning_len": 40, "satisfied": True, "reweight_rate": 1.2}
    write_jsonl(tmp_path/"released.jsonl", [pair, pair | {"pos": []}])
    import_command(str(tmp_path/"released.jsonl"), str(tmp_path/"out"), "pairs")
    import_pairs(tmp_path/"released.jsonl", tmp_path/"direct.jsonl")
    assert (tmp_path/"out"/"pairs.jsonl").read_bytes() == (tmp_path/"direct.jsonl").read_bytes()


def test_an_interrupted_import_resumes(tmp_path, monkeypatch):
    write_jsonl(tmp_path/"log.jsonl", [line for n in range(8) for line in chat(small(f"q{n}"))])
    import_trajectories(tmp_path/"log.jsonl", tmp_path/"whole", "chat")
    count = 0

    def dies(folder, run, **more):
        nonlocal count
        if (count := count + 1) > 3: raise KeyboardInterrupt
        return write_trajectory(folder, run, **more)

    monkeypatch.setattr(folder_module, "write_trajectory", dies)
    with pytest.raises(KeyboardInterrupt): import_trajectories(tmp_path/"log.jsonl", tmp_path/"runs", "chat")
    assert len(list((tmp_path/"runs").glob("run_*"))) == 3
    (tmp_path/"runs"/".run_q3.json.x.part").write_text("half") # What kill -9 leaves
    made = []
    monkeypatch.setattr(folder_module, "write_trajectory", lambda folder, run, **more: made.append(run.query_id) or write_trajectory(folder, run, **more))
    import_trajectories(tmp_path/"log.jsonl", tmp_path/"runs", "chat")
    assert made == [f"q{n}" for n in range(3, 8)] and written(tmp_path/"runs") == written(tmp_path/"whole")
    assert not list((tmp_path/"runs").glob(".*.part"))


def test_a_conversation_logged_at_each_request_is_one_trajectory(tmp_path):
    messages = chat(small())[0]["messages"]
    write_jsonl(tmp_path/"log.jsonl", [{"id": "q1", "messages": messages[:n]} for n in range(3, len(messages) + 1)])
    manifest = import_trajectories(tmp_path/"log.jsonl", tmp_path/"runs", "chat")
    assert views(read_trajectory(tmp_path/"runs"/"run_q1.json")) == views(small())
    before = written(tmp_path/"runs")
    assert import_trajectories(tmp_path/"log.jsonl", tmp_path/"runs", "chat") == manifest and written(tmp_path/"runs") == before


def test_two_sessions_with_one_id_are_reported(tmp_path):
    write_jsonl(tmp_path/"log.jsonl", chat(small("q1")) + chat(small("q1", "The oak")) + chat(small("q2")))
    manifest = import_trajectories(tmp_path/"log.jsonl", tmp_path/"runs", "chat")
    assert manifest["notes"]["two sessions with one id, the first is kept"]["first"] == ["log.jsonl:2: 'q1' is the id of log.jsonl:1, give each its own"]
    assert read_trajectory(tmp_path/"runs"/"run_q1.json").final_answer == "The owl" and manifest["runs"] == 2


def test_a_trajectory_from_another_source_is_not_overwritten(tmp_path):
    write_trajectory(tmp_path/"runs", small("q1", "Made here"))
    write_jsonl(tmp_path/"log.jsonl", chat(small("q1")) + chat(small("q2")))
    manifest = import_trajectories(tmp_path/"log.jsonl", tmp_path/"runs", "chat")
    assert read_trajectory(tmp_path/"runs"/"run_q1.json").final_answer == "Made here"
    assert list(manifest["notes"]) == ["an id that another source has in this folder, left out"]


@pytest.mark.parametrize("query_id", ["a/b", "../up", "x" * 400, "é" * 200, "con:7"])
def test_any_id_makes_a_file(query_id, tmp_path):
    write_jsonl(tmp_path/"log.jsonl", chat(small(query_id)))
    import_trajectories(tmp_path/"log.jsonl", tmp_path/"runs", "chat")
    assert [views(run) for run in iterate_trajectories(tmp_path/"runs")] == [views(small())]


GOOD = json.dumps(chat(small("good"))[0])


@pytest.mark.parametrize("line,what,detail", [
    (GOOD[:200], "a line or value that is not valid JSON", "log.jsonl:2: is not valid JSON"),
    ('{"id": "x", "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}', "a session without a search", "log.jsonl:2"),
    ('{"id": "x", "messages": [{"role": "user", "content": "Hi"}]}', "a session without a step", "log.jsonl:2"),
    ('{"id": "x", "messages": [{"role": "narrator", "content": "Once"}]}', "a message with an unknown role", 'log.jsonl:2: {"role": "narrator"'),
    ('{"id": "x", "messages": [{"role": "tool", "content": "Lost"}, {"role": "assistant", "content": "a"}]}', "a result without its call", "log.jsonl:2: Lost"),
    ('{"id": "x", "messages": [{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "search", "arguments": "{\\"que"}}]}]}',
     "a call whose arguments are not a JSON object", 'log.jsonl:2: search({"que)'),
    ('{"id": "x", "messages": [{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "search", "arguments": "{}"}}]}]}', "a call without a result", "log.jsonl:2: search"),
    ('{"id": "x", "messages": [{"role": "assistant", "tool_calls": 7}]}', "a value with an unexpected structure", "log.jsonl:2: TypeError"),
    ('{"id": "x", "messages": [{"role": "assistant", "content": "\\ud800"}]}', "half of a character, as a cut leaves it, read as ?", "log.jsonl:2"),
    ('{"resourceSpans": []}', "a value without messages", 'log.jsonl:2: {"resourceSpans"'),
    ("[" * 100_000, "a line or value that is not valid JSON", "log.jsonl:2: is nested too deeply"),
])
def test_what_is_not_understood_is_counted_and_shown(line, what, detail, tmp_path):
    (tmp_path/"log.jsonl").write_text(f"{GOOD}\n{line}\n{GOOD.replace('good', 'also good')}\n")
    manifest = import_trajectories(tmp_path/"log.jsonl", tmp_path/"runs", "chat")
    assert manifest["notes"][what]["count"] == 1 and manifest["notes"][what]["first"][0].startswith(detail)
    assert {"good", "also good"} <= {run.query_id for run in iterate_trajectories(tmp_path/"runs")}
    assert read_json(tmp_path/"runs"/"import.manifest.json") == manifest


@pytest.mark.parametrize("content,says", [
    (b"", "is empty"), (b"\n \n", "is empty"), (b"\x89PNG\r\n\x1a\n\0\xff", "is not UTF-8 text"), (b"[" + GOOD.encode()[:80], "is not valid JSON"),
    (b'{"resourceSpans": []}', "it looks like the format 'spans'"), (b'{"schema_version": "ATIF-v1.4", "steps": []}', "it looks like the format 'atif'"),
    (json.dumps({"query_id": "1", "result": []}).encode(), "it looks like the format 'runs'"), (b'"text"', "a value without messages"), (b"[]", "it holds no value")])
def test_what_cannot_be_imported_is_one_line(content, says, tmp_path):
    (tmp_path/"log.jsonl").write_bytes(content)
    with pytest.raises(InputError) as caught: import_trajectories(tmp_path/"log.jsonl", tmp_path/"runs", "chat")
    assert str(caught.value).startswith(f"{tmp_path/'log.jsonl'}: nothing in it could be imported as the format 'chat'") and "\n" not in str(caught.value)
    assert says in str(caught.value)
    assert not list((tmp_path/"runs").glob("*.json"))


@pytest.mark.parametrize("text,says", [
    ("web: {kind: find}", "tool 'web': kind is 'find'; choose one of: search, browse, other"), ("web: search", "tool 'web': is str; write it as"),
    ("web: {kind: search, docid: d}", "has an unknown field 'docid'; kind search takes: pattern, query, results"), ("[1]", "names no tool"), ("", "names no tool"),
    ("web: {kind: search, pattern: '('}", "pattern is not a regular expression"), ("web: {kind: search, pattern: 'x'}", "pattern has 0 groups"),
    ("web: {kind: search, query: 7}", "field 'query' is int"), ("web: {kind", "is not valid YAML")])
def test_a_mapping_that_cannot_be_used_is_one_line(text, says, tmp_path):
    (tmp_path/"tools.yaml").write_text(text)
    with pytest.raises(InputError) as caught: read_tools(tmp_path/"tools.yaml")
    assert str(caught.value).startswith(f"{tmp_path/'tools.yaml'}:") and says in str(caught.value) and "\n" not in str(caught.value)


def lrat_import(folder, *words):
    return subprocess.run([Path(sys.executable).parent/"lrat", "import", *words], capture_output=True, text=True, cwd=folder, env=os.environ | {"COLUMNS": "120"})


@pytest.mark.parametrize("name", LOGS)
def test_a_log_needs_no_form(name, tmp_path, capsys):
    form, logged = LOGS[name]
    write_jsonl(tmp_path/"log.jsonl", logged(small()))
    import_command(str(tmp_path/"log.jsonl"), str(tmp_path/"recognised"))
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"recognised as {log_format(form).description} ({form})"
    import_command(str(tmp_path/"log.jsonl"), str(tmp_path/"named"), form)
    assert capsys.readouterr().out.splitlines() == [said[1].replace("recognised", "named")]
    assert written(tmp_path/"recognised") == written(tmp_path/"named")


def test_files_of_trajectories_and_pairs_need_no_form(tmp_path):
    write_trajectory(tmp_path/"runs", small())
    write_browsecomp([small("1"), small("2")], tmp_path/"browsecomp.jsonl")
    pair = {"query": "owls", "pos": ["Owl"], "neg": ["Oak"], "reasoning_len": 40, "satisfied": True, "reweight_rate": 1.2}
    write_jsonl(tmp_path/"pairs.jsonl", [pair])
    for source, form, made in (("runs", "runs", "run_q1.json"), ("runs/run_q1.json", "runs", "run_q1.json"),
                               ("browsecomp.jsonl", "browsecomp", "run_1.json"), ("pairs.jsonl", "pairs", "pairs.jsonl")):
        assert recognise(tmp_path/source).name == form
        import_command(str(tmp_path/source), str(tmp_path/f"of-{Path(source).stem}"))
        assert (tmp_path/f"of-{Path(source).stem}"/made).is_file()


def test_a_form_that_is_not_recognised_must_be_named(tmp_path):
    write_jsonl(tmp_path/"log.jsonl", [{"turns": []}])
    done = lrat_import(tmp_path, "log.jsonl", "--out", "runs")
    assert done.returncode == 2 and not (tmp_path/"runs").exists()
    assert done.stderr.strip() == f"lrat import: log.jsonl: no log format is recognised in it; name it with --form, one of: {', '.join(format_names())}"


def test_the_parser_requires_source_and_out(tmp_path):
    for words in (["--out", "runs"], ["log.jsonl"]):
        done = lrat_import(tmp_path, *words)
        assert done.returncode == 2 and "the following arguments are required" in done.stderr


def test_what_was_skipped_is_counted_and_printed(tmp_path, capsys):
    (tmp_path/"logs").mkdir()
    (tmp_path/"logs"/"a.jsonl").write_text(f"{GOOD}\n{{\n{json.dumps({'messages': [{'role': 'narrator'}]})}\n")
    (tmp_path/"logs"/"b.txt").write_text("1,2\n")
    import_command(str(tmp_path/"logs"), str(tmp_path/"runs"))
    said = capsys.readouterr().out.splitlines()
    assert said[2] == "skipped or incomplete: 4"
    assert "1 x a file with another ending than a log, left out, for example" in said and "    b.txt" in said
    assert "1 x a line or value that is not valid JSON, for example" in said and "1 x a message with an unknown role, for example" in said


def test_the_command_ends_with_a_status(tmp_path, capsys):
    write_jsonl(tmp_path/"log.jsonl", chat(small()))
    done = lrat_import(tmp_path, "log.jsonl", "--form", "spans", "--out", "runs")
    assert done.returncode == 2 and done.stderr.strip().splitlines()[-1].startswith("lrat import: log.jsonl: nothing in it could be imported")
    import_command(str(tmp_path/"log.jsonl"), str(tmp_path/"runs"), "chat")
    assert capsys.readouterr().out == f"{tmp_path/'runs'}: 1 trajectories, 1 of them with a search; 2 searches, 2 documents opened\n"
    with pytest.raises(LratError, match="unknown log format 'letters'; choose one of: atif, browsecomp, chat"):
        import_command(str(tmp_path/"log.jsonl"), str(tmp_path/"runs"), "letters")


@pytest.mark.parametrize("name", LOGS)
def test_a_broken_value_never_stops_an_import(name, tmp_path):
    form, logged = LOGS[name]
    rng, good = random.Random(2025), list(logged(small()))
    for n in range(40):
        lines = [broken(line, rng) if rng.random() < .5 else line for line in good]
        write_jsonl(tmp_path/"log.jsonl", [*lines, *logged(small("whole"))])
        import_trajectories(tmp_path/"log.jsonl", tmp_path/f"runs{n}", form)
        assert views(read_trajectory(tmp_path/f"runs{n}"/"run_whole.json")) == views(small())


def test_spans_twice_and_conversations_over_traces(tmp_path):
    lines = list(genai(small("t1")))
    talk = {"key": "gen_ai.conversation.id", "value": {"stringValue": "talk"}}
    for n, line in enumerate(lines): # Half of the trace under another id, both naming one conversation
        span = line["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
        span["attributes"].append(talk)
        if n % 2: span["traceId"] = "t2"
    write_jsonl(tmp_path/"log.jsonl", lines + lines[:3])
    manifest = import_trajectories(tmp_path/"log.jsonl", tmp_path/"runs", "spans")
    run, = iterate_trajectories(tmp_path/"runs")
    assert (run.query_id, views(run)) == ("talk", views(small()))
    assert manifest["notes"]["a span that was logged twice"]["count"] == 3 and run.metadata["conventions"]["versions"] == ["1.38.0"]


def test_every_form_is_recognised(tmp_path):
    for form, logged in LOGS.values():
        write_jsonl(tmp_path/"log.jsonl", logged(small()))
        assert recognise(tmp_path/"log.jsonl").name == form
    assert set(format_names()) >= {form for form, _ in LOGS.values()} | {"runs", "browsecomp", "pairs"}
