"Formats of logs come from one registry, and other packages can add to it."
import json, os, subprocess, sys
from pathlib import Path

import pytest

from lrat.core.settings import LratError
from lrat.importers import formats
from lrat.importers.formats import format_names, log_format, recognise
from lrat.testing.package import write_package

LRAT = Path(sys.executable).parent/"lrat"
DIARY = '''from lrat.importers.chat import message_reader
from lrat.importers.formats import LogFormat

DIARY = LogFormat("diary", "records of the agent Diary", lambda value: "turns" in value, message_reader(lambda value: value["turns"]))
'''


def install(folder, code=DIARY, name="diary"):
    "A package with one importer, as pip would leave it in `folder`"
    write_package(folder, "diary_logs", code, {"lrat.importers": {name: "diary_logs:DIARY"}})


@pytest.fixture
def installed(tmp_path, monkeypatch):
    install(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("diary_logs", None)


def talk():
    call = {"id": "a", "function": {"name": "search", "arguments": '{"query": "bird"}'}}
    return [{"role": "user", "content": "Which?"}, {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "a", "content": "DocID:7"}, {"role": "assistant", "content": "Owl"}]


def test_a_package_adds_a_format(installed):
    (installed/"log.jsonl").write_text(json.dumps({"id": "d1", "turns": talk()}) + "\n")
    assert "diary" in format_names() and recognise(installed/"log.jsonl").name == "diary"
    path = os.pathsep.join([str(installed), str(Path(formats.__file__).parents[2])])
    def lrat(*words): return subprocess.run([LRAT, "import", *words], capture_output=True, text=True, cwd=installed, env=os.environ | {"PYTHONPATH": path})
    done = lrat("log.jsonl", "--out", "runs")
    assert done.returncode == 0 and done.stdout.startswith("recognised as records of the agent Diary (diary)\nruns: 1 trajectories, 1 of them with a search")
    assert json.loads((installed/"runs"/"run_d1.json").read_text())["metadata"]["imported"]["form"] == "diary"
    assert "diary" in lrat("--help").stdout
    assert "diary" in lrat("log.jsonl", "--out", "runs", "--form", "letters").stderr


def test_an_importer_that_cannot_be_loaded_is_one_line(tmp_path, monkeypatch):
    install(tmp_path, "import none_such")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(LratError, match=r"the format 'diary' cannot be loaded from diary_logs:DIARY \(ModuleNotFoundError.*fix or remove the package diary_logs"): log_format("diary")
    (tmp_path/"log.jsonl").write_text(json.dumps({"id": "q", "messages": talk()}))
    assert formats.find_format(tmp_path/"log.jsonl", "chat").name == "chat" # Others work as before


def test_a_package_does_not_replace_a_built_in_format(tmp_path, monkeypatch):
    install(tmp_path, DIARY.replace('"diary"', '"chat"'), "chat")
    monkeypatch.syspath_prepend(tmp_path)
    assert log_format("chat").description == "chat messages"
    sys.modules.pop("diary_logs", None)


@pytest.mark.parametrize("name", format_names())
def test_every_record_is_whole(name):
    record = log_format(name)
    assert record.name == name and record.description and len(record.description) < 80
    assert bool(record.read) != bool(record.convert)


@pytest.mark.parametrize("value,form", [
    ({"request": {"messages": talk()[:1]}, "response": {"choices": [{"message": talk()[1]}]}}, "chat"),
    ({"custom_id": "q", "body": {"messages": talk()}}, "chat"), (talk(), "chat"),
    ({"choices": [{"delta": {"content": "a"}}]}, "chat"),
    ({"request": {"input": "Which?"}, "response": {"output": [{"type": "reasoning", "summary": []}]}}, "responses"),
    ([{"role": "user", "content": "Which?"}, {"type": "function_call", "name": "search"}], "responses"),
    ([{"type": "response.output_item.done", "item": {}}], "responses"), ({"id": "r2", "previous_response_id": "r1", "output": []}, "responses"),
    ({"run_type": "llm", "inputs": {"messages": []}}, "langsmith"), ({"schema_version": "ATIF-v1.6"}, "atif"),
    ({"query_id": "1", "result": [], "messages": talk()}, "runs"), ({"query": "q", "pos": [], "neg": []}, "pairs"),
    ({"input": "free text"}, None), ({"messages": 7, "choices": 7}, None), ("text", None), ([], None), ({}, None)])
def test_recognition_of_one_value(value, form, tmp_path):
    (tmp_path/"log.json").write_text(json.dumps(value))
    found = recognise(tmp_path/"log.json")
    assert (found and found.name) == form


def test_the_first_values_vote(tmp_path):
    lines = [{"resourceSpans": []}, *({"id": n, "messages": talk()} for n in range(3))]
    (tmp_path/"log.jsonl").write_text("{\n" + "".join(json.dumps(line) + "\n" for line in lines))
    assert recognise(tmp_path/"log.jsonl").name == "chat"
