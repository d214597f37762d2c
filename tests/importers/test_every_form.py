"Every form that can be written gives back the searches, results, opened documents and reasoning that it was made of, and says what it does not know."
import csv, json, random, zipfile

import pytest
from small_forms import ONE_AFTER_THE_OTHER, WITHOUT_QUESTION, WRITERS
from small_logs import LISTED, LOGS, broken, small, views

from lrat.core.files import write_jsonl
from lrat.core.settings import LratError
from lrat.importers.command import import_command, import_trajectories
from lrat.importers.formats import recognise
from lrat.trajectories.trajectory import Step, Trajectory, iterate_trajectories

ALL = WRITERS | {"LangSmith": ("langsmith", lambda folder, run: write_jsonl(folder/"log.jsonl", LOGS["LangSmith"][1](run)))}


def imported(folder, out, form=None):
    source = next(folder.iterdir()) if len(list(folder.iterdir())) == 1 else folder
    manifest = import_trajectories(source, out, form)
    return list(iterate_trajectories(out)), manifest


def known(run, name):
    "What a form can say of a trajectory"
    searches, browses, query, answer = views(run)
    return searches, browses, None if name in WITHOUT_QUESTION else query, answer


def notes_of(name): return {"a session without a question"} if name in WITHOUT_QUESTION else set()


@pytest.mark.parametrize("name", ALL)
def test_a_form_is_recognised_and_read(name, tmp_path):
    form, write = ALL[name]
    (tmp_path/"log").mkdir()
    write(tmp_path/"log", small())
    assert recognise(next((tmp_path/"log").iterdir())).name == form
    (run,), manifest = imported(tmp_path/"log", tmp_path/"out")
    assert views(run) == known(small(), name) and manifest["form"] == form
    assert run.query_id == "q1" and {*manifest["notes"]} == notes_of(name)


# Trajectories by chance

WORDS = "owl oak night 鳥 Wörter \"quoted\" {brace} back\\slash line\nbreak 7 <b>".split(" ")


def chance(rng, parallel):
    "A trajectory of searches, opened documents and thoughts in any order"
    def words(most=5): return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, most))).strip() or "owl"
    steps, shown, number = [], ["d0"], 0
    for _ in range(rng.randint(1, 7)):
        if rng.random() < .7: steps.append(Step("reasoning", output=f"I think {words()}."))
        for n in range(rng.choice([1, 1, 2, 3]) if parallel else 1):
            number += 1
            if rng.random() < .6:
                found = [f"d{rng.randint(1, 40)}" for _ in range(rng.randint(1, 4))]
                listed = "\n\n".join(f"DocID:{d}\n[Title]\nAbout {words(2)}." for d in dict.fromkeys(found))
                steps.append(Step("tool_call", "search", json.dumps({"query": f"{number} {words()}"}, ensure_ascii=False), listed, parallel=n > 0))
                shown += found
            else: steps.append(Step("tool_call", "get_document", json.dumps({"docid": rng.choice(shown)}), f"Page {number}. {words()}", parallel=n > 0))
    if not any(step.tool_name == "search" for step in steps): steps.append(Step("tool_call", "search", '{"query": "owl"}', LISTED))
    if rng.random() < .8: steps += [Step("reasoning", output=f"So {words()}."), Step("output_text", output=f"It is {words()}")]
    else: steps.append(Step("output_text", output="Owl"))
    return Trajectory("q1", f"Which {words()}?", "completed", steps)


@pytest.mark.parametrize("name", ALL)
def test_trajectories_by_chance_come_back(name, tmp_path):
    form, write = ALL[name]
    for seed in range(5):
        run = chance(random.Random(f"{name} {seed}"), name not in ONE_AFTER_THE_OTHER)
        folder = tmp_path/f"log{seed}"
        folder.mkdir()
        write(folder, run)
        (back,), manifest = imported(folder, tmp_path/f"out{seed}", form)
        assert views(back) == known(run, name), f"seed {seed}"
        assert {*manifest["notes"]} == notes_of(name), f"seed {seed}"


# Broken values

@pytest.mark.parametrize("name", [name for name in ALL if "Parquet" not in name and "archive" not in name and "CSV" not in name and "console" not in name])
def test_broken_values_of_a_form_never_stop_an_import(name, tmp_path):
    form, write = ALL[name]
    (tmp_path/"log").mkdir()
    write(tmp_path/"log", small())
    path = next((tmp_path/"log").iterdir())
    text, rng = path.read_text(), random.Random(name)
    try: good = json.loads(text)
    except json.JSONDecodeError: good = [json.loads(line) for line in text.splitlines()]
    for n in range(8):
        write_jsonl(path.with_suffix(".jsonl"), [broken(broken(row, rng), rng) if rng.random() < .6 else row for row in (good if isinstance(good, list) else [good])])
        try: import_trajectories(path.with_suffix(".jsonl"), tmp_path/f"out{n}", form)
        except LratError as error: assert "\n" not in str(error)


# One unknown thing in each form

HOLOGRAM = {"type": "hologram", "data": "x"}
PART, FIRST = "a content part of unknown type 'hologram'", lambda rows: rows[0]


def edit(change):
    "Change the values of the only file of a log"
    def plant(folder):
        path = next(folder.iterdir())
        text = path.read_text()
        try: rows = json.loads(text); whole = True
        except json.JSONDecodeError: rows, whole = [json.loads(line) for line in text.splitlines()], False
        rows = rows if isinstance(rows, list) else [rows]
        change(rows)
        path.write_text(json.dumps(rows[0] if len(rows) == 1 else rows) if whole else "".join(json.dumps(row) + "\n" for row in rows))
    return plant


def part_of(find, field="content"):
    "Put an unknown part into a message"
    def change(rows):
        message = find(rows)
        content = message[field] if message.get(field) else []
        message[field] = [*([{"type": "text", "text": content}] if isinstance(content, str) else content), HOLOGRAM]
    return edit(change)


def in_archive(folder):
    path, = folder.iterdir()
    with zipfile.ZipFile(path) as archive: files = {info.filename: json.loads(archive.read(info)) for info in archive.infolist()}
    sample = next(value for name, value in files.items() if name.startswith("samples/"))
    sample["messages"][1]["content"].append(HOLOGRAM)
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in files.items(): archive.writestr(name, json.dumps(value))


def in_table(change):
    def plant(folder):
        path, = folder.iterdir()
        with open(path, newline="", encoding="utf-8") as file: rows = list(csv.DictReader(file))
        change(rows)
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
    return plant


def in_parquet(folder):
    import pyarrow as pa, pyarrow.parquet as parquet
    rows = parquet.read_table(path := next(folder.iterdir())).to_pylist()
    parquet.write_table(pa.Table.from_pylist([*rows, {**rows[0], "context.span_id": "x", "span_kind": "HOLOGRAM", "attributes.openinference.span.kind": "HOLOGRAM"}]), path)


def spans_of(rows): return [span for row in rows for resource in (row.get("trace", row).get("resourceSpans") or row.get("batches")) for scope in resource["scopeSpans"] for span in scope["spans"]]


def hologram_span(rows):
    spans = spans_of(rows)
    next(one for one in spans if one["name"] == "agent")["attributes"] = [{"key": "openinference.span.kind", "value": {"stringValue": "HOLOGRAM"}}]


def span_message(rows):
    for span in spans_of(rows):
        for row in span["attributes"]:
            if row["key"] == "gen_ai.output.messages":
                messages = json.loads(row["value"]["stringValue"])
                messages[0]["parts"].append(HOLOGRAM)
                row["value"]["stringValue"] = json.dumps(messages)
                return


def in_console(folder):
    path, = folder.iterdir()
    path.write_text(path.read_text().replace('"openinference.span.kind": "AGENT"', '"openinference.span.kind": "HOLOGRAM"'))


PLANTS = {
    "chat": (part_of(lambda rows: rows[0]["messages"][1]), PART), "chat, a message a line": (part_of(lambda rows: rows[1]), PART),
    "chat, requests with streams": (part_of(lambda rows: rows[0]["request"]["messages"][0]), PART),
    "Anthropic": (part_of(lambda rows: rows[0]["messages"][1]), PART), "Anthropic, requests with replies": (part_of(lambda rows: rows[-1]["response"]), PART),
    "Gemini": (part_of(lambda rows: rows[0]["contents"][1], "parts"), PART),
    "Gemini, requests with replies": (part_of(lambda rows: rows[-1]["response"]["candidates"][0]["content"], "parts"), PART),
    "Bedrock": (part_of(lambda rows: rows[0]["messages"][1]), PART),
    "Bedrock, invocations": (part_of(lambda rows: rows[-1]["output"]["outputBodyJson"]["output"]["message"]), PART),
    "Vercel, for the model": (part_of(lambda rows: rows[0]["messages"][1]), PART), "Vercel, for the screen": (part_of(lambda rows: rows[0]["messages"][1], "parts"), PART),
    "LangGraph, by type": (part_of(lambda rows: rows[0]["messages"][-1]), PART), "LangGraph, wrapped": (part_of(lambda rows: rows[0]["values"]["messages"][-1]["data"]), PART),
    "LangGraph, objects": (part_of(lambda rows: rows[0]["messages"][-1]["kwargs"]), PART), "LangGraph, blocks": (part_of(lambda rows: rows[0]["messages"][1]), PART),
    "Pydantic AI": (edit(lambda rows: rows[0]["messages"][-1]["parts"].append({"part_kind": "hologram", "content": "x"})), PART),
    "ShareGPT with calls in the text": (edit(lambda rows: rows[0]["conversations"].append({"from": "hologram", "value": "x"})), "a message with an unknown role"),
    "Claude Code": (edit(lambda rows: rows.append({**rows[0], **HOLOGRAM, "uuid": "x"})), "a line of unknown type 'hologram'"),
    "Responses": (edit(lambda rows: rows[0]["output"].append(HOLOGRAM)), "an item of unknown type 'hologram'"),
    "Responses, an item a line": (part_of(lambda rows: rows[-1]), PART),
    "Codex": (edit(lambda rows: rows.append({"type": "event_msg", "payload": HOLOGRAM})), "an event of unknown type 'hologram'"),
    "Codex, exec": (edit(lambda rows: rows.append({"type": "item.completed", "item": {"id": "x", **HOLOGRAM}})), "an item of unknown type 'hologram'"),
    "LangGraph, updates": (edit(lambda rows: rows.append({**rows[-1], "data": {"hologram": {"shown": 1}}})), "an update without messages of the node 'hologram', left out"),
    "LangGraph, pieces": (edit(lambda rows: rows[-1][0].update(content=[HOLOGRAM])), PART),
    "LangGraph, events of a server": (edit(lambda rows: rows.append({"event": "hologram", "data": "x"})), "a value that is not a chunk of a stream"),
    "smolagents, memory": (edit(lambda rows: rows[0]["steps"].append(HOLOGRAM)), "a step of unknown form"),
    "ATIF": (edit(lambda rows: rows[0]["steps"][0].update(message=[{"type": "text", "text": rows[0]["steps"][0]["message"]}, HOLOGRAM])), "a content part that is not text"),
    "Inspect, JSON": (part_of(lambda rows: rows[0]["samples"][0]["messages"][1]), PART), "Inspect, archive": (in_archive, PART),
    "Langfuse, traces": (edit(lambda rows: rows[0]["observations"][0].update(type="HOLOGRAM")), "an observation of unknown type 'HOLOGRAM'"),
    "Langfuse, a page of the API": (edit(lambda rows: rows[0]["data"].append(HOLOGRAM)), "a value that is not a trace or an observation"),
    "Langfuse, CSV": (in_table(lambda rows: rows[0].update(type="HOLOGRAM")), "an observation of unknown type 'HOLOGRAM'"),
    "OpenTelemetry": (edit(span_message), PART), "OpenInference": (edit(hologram_span), "a span of unknown kind 'HOLOGRAM'"),
    "Phoenix, CSV": (in_table(lambda rows: rows.append({**rows[0], "context.span_id": "x", "attributes.llm.input_messages": "[{oops"})), "a list in a cell that cannot be read"),
    "Phoenix, Parquet": (in_parquet, "a span of unknown kind 'HOLOGRAM'"),
    "Tempo 1": (edit(hologram_span), "a span of unknown kind 'HOLOGRAM'"), "Tempo 2": (edit(hologram_span), "a span of unknown kind 'HOLOGRAM'"),
    "OTel console exporter": (in_console, "a span of unknown kind 'HOLOGRAM'"),
    "react": (edit(lambda rows: rows[0]["trajectory"].append({"note": "x"})), "an entry that is not an action"),
    "transcripts": (edit(lambda rows: rows[0].update(response=rows[0]["response"].replace("<answer>", "<tool_call>{hologram</tool_call><answer>"))), "a call in the text that cannot be read"),
    "trajectory files": (lambda folder: (folder/"other.json").write_text('{"hologram": 1}'), "a value that is not a trajectory, left out"),
    "LangSmith": (edit(lambda rows: rows.append({**rows[0], "id": "x", "run_type": "hologram", "parent_run_id": "r"})), "a run of unknown type 'hologram'"),
}


@pytest.mark.parametrize("name", ALL)
def test_one_unknown_thing_is_counted_and_shown(name, tmp_path, capsys):
    plant, expected = PLANTS[name]
    (tmp_path/"log").mkdir()
    ALL[name][1](tmp_path/"log", small())
    plant(tmp_path/"log")
    files = list((tmp_path/"log").iterdir())
    import_command(str(files[0] if len(files) == 1 else tmp_path/"log"), str(tmp_path/"out"))
    run, = iterate_trajectories(tmp_path/"out")
    assert views(run) == known(small(), name)
    said = capsys.readouterr().out.splitlines()
    assert f"1 x {expected}, for example" in said and said[said.index(f"1 x {expected}, for example") + 1].strip()
    counted = [line for line in said if " x " in line and line.endswith(", for example")]
    assert sorted(counted) == sorted(f"1 x {what}, for example" for what in {expected, *notes_of(name)})
