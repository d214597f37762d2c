"Every target of the table, for a moment: its samples are read, and changed samples are read or refused in one line. `make fuzz` does the same for half an hour."
import io, random, zipfile

import pytest
from fuzz.mutate import mutations
from fuzz.targets import all_targets, check
from lrat.importers.formats import format_names, log_format

SLOW = {"tokenizer": 3, "served: MCP": 10, "import": 8} # Inputs of targets that need longer for each; 20 of the others


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LRAT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield all_targets(tmp_path_factory.mktemp("targets"))


def test_samples_are_read(targets, tmp_path):
    refused = {(target.name, n): said for target in targets for n, data in enumerate(target.seeds) if (said := check(target, data, tmp_path/"input"))}
    assert {name for name, _ in refused} <= {"stream"} # One of its samples is an error of a server
    assert len({target.name for target in targets}) == len(targets)


def test_every_log_format_is_a_target(targets):
    known = {name for name in format_names() if log_format(name).read}
    assert known <= {target.name.split()[1] for target in targets if target.name.startswith("import ")}


def test_changed_samples_are_read_or_refused(targets, tmp_path):
    for target in targets:
        count = next((n for start, n in SLOW.items() if target.name.startswith(start)), 20)
        for n, data in zip(range(count), mutations(target.seeds, random.Random(target.name))):
            try: check(target, data, tmp_path/"input")
            except Exception as error: raise AssertionError(f"{target.name}, change {n}: {data[:300]!r}") from error


def changed(target, old, new):
    "The first sample with a piece replaced"
    assert old in target.seeds[0]
    return target.seeds[0].replace(old, new, 1)


def empty_member():
    "An archive with a member without a name"
    info, data = zipfile.ZipInfo("x"), io.BytesIO()
    info.filename = ""
    with zipfile.ZipFile(data, "w") as archive: archive.writestr(info, "{}")
    return data.getvalue()


# What fuzzing found: each was a traceback, a killed process, a message of many lines, or a part that was lost without a word
FOUND = [
    *((f"import {form}", lambda t: changed(t, b'"name": "search"', b'"name": 7')) for form in ("responses jsonl", "chat jsonl", "codex jsonl")),
    ("import responses jsonl", lambda t: changed(t, b'"name": "search"', b'"name": "sea\\ud83drch"')),
    ("import chat jsonl", lambda t: changed(t, b"flies at night", b"flies \\ud83d at night")),
    ("import chat jsonl", lambda t: changed(t, b'"id":', b'"n": ' + b"9" * 5000 + b', "id":')),
    ("import codex jsonl", lambda t: "{\u2028\x1b[2J\n".encode() * 2),
    ("import codex-exec jsonl", lambda t: changed(t, b'"thread_id": "q1"', b'"thread_id": ["q1"]')), ("import codex-exec jsonl", lambda t: changed(t, b'"tool": "search"', b'"tool": null')),
    ("import codex jsonl", lambda t: changed(t, b'"payload": {"id": "q1"', b'"payload": {"id": 1.5')),
    ("import claude-code jsonl", lambda t: t.seeds[0].replace(b'"parentUuid": "q1-4"', b'"parentUuid": ["q1-4"], "isSidechain": true').replace(b'"uuid": "q1-5"', b'"uuid": ["q1-5"]')),
    ("import inspect eval", lambda t: empty_member()), ("import spans csv", lambda t: t.seeds[0] + b'x,"{1, 2}"\n'),
    ("import claude-code jsonl", lambda t: b'{"type": {"a": 1}, "uuid": "u"}\n' + t.seeds[0]), ("trajectory", lambda t: b'{"query_id": "q", "result": [], "tool_call_counts": {"search": {}}}'),
    ("import inspect eval", lambda t: t.seeds[0][:90] + b"\xff\xff\xff\xff" + t.seeds[0][94:]),
    ("result lists", lambda t: b'[false, {"result": "x"}]'),
    ("result lists", lambda t: b'[{"docid": "\\q"}, {"result": "x"}]'),
    ("tools, YAML", lambda t: b"[" * 3000), ("tools, YAML", lambda t: b"web: {kind: 2020-13-45}"),
    ("models.yaml", lambda t: b"m: {endpoint: 'http://localhost:1/v1', sampling: {stop: 2020-12-24}}"), ("models.yaml", lambda t: b"m: {endpoint: 'http://[x'}"),
    ("address", lambda t: b"http://[x"), ("address", lambda t: b"record:" + b"x" * 3000 + b":http://localhost:1/v1"),
    ("reply, chat", lambda t: changed(t, b'"name": "search"', b'"name": 7')), ("reply, chat", lambda t: changed(t, b'"id": "c1"', b'"id": [7]')),
    ("reply, responses", lambda t: changed(t, b'"arguments": "{\\"query\\": \\"x\\"}"', b'"arguments": {"query": "x"}')), ("reply, responses", lambda t: changed(t, b'"name": "search"', b'"name": 1.5')),
    ("tool call", lambda t: b'{"query": "\\ud83d"}'),
    ("corpus, TSV", lambda t: b"docid\ttext\n"),
    ("pairs, statistics", lambda t: changed(t, b'"pos_id": ["d1"]', b'"pos_id": 7')), ("pairs, statistics", lambda t: b'{"query": "q", "pos": ["a"], "neg": false}'), ("pairs, statistics", lambda t: changed(t, b'"satisfied": true', b'"satisfied": [1]')),
    ("docids of a shard", lambda t: b"1.5"), ("shard", lambda t: changed(t, b"'shape': (2, 3)", b"'shape': ((, 3)")),
    *(("journal", lambda t, old=old, new=new: changed(t, old, new)) for old, new in ((b'"docids": ["d"]', b'"docids": 7'), (b'"query_id": "s"', b'"query_id": 1'), (b', "client": "c"', b""), (b'{"query_id"', b'["query_id"'))),
    *((f"model folder, {name}", lambda t, new=new: new) for name, new in (("config.json", b'{"architectures": {"a": 1}}'), ("2_Dense/config.json", b"[1]"), ("config_sentence_transformers.json", b'{"prompts": {"query": "x"}, "default_prompt_name": ["query"]}'))),
    *((f"tokenizer, {name}", lambda t, new=new: new) for name, new in (("tokenizer.json", b"[" * 3000), ("special_tokens_map.json", b'"[PAD]"'), ("tokenizer_config.json", b'{"tokenizer_class": [["x"]]}'))),
    ("settings", lambda t: b"x" * 30_000),
]


@pytest.mark.parametrize("name,change", FOUND, ids=[f"{n} {name}" for n, (name, _) in enumerate(FOUND)])
def test_what_was_found_stays_mended(targets, tmp_path, name, change):
    target = next(target for target in targets if target.name == name)
    check(target, change(target), tmp_path/"input")


@pytest.mark.parametrize("name", ["corpus, arrow", "corpus, parquet", "questions, Parquet", "import spans parquet"])
def test_a_table_that_is_cut_or_flipped_ends_no_process(targets, tmp_path, name):
    target = next(target for target in targets if target.name == name)
    data = target.seeds[0]
    for at in range(0, len(data), max(1, len(data) // 40)):
        check(target, data[:at], tmp_path/"input")
        check(target, data[:at] + bytes([data[at] ^ 0xff]) + data[at + 1:], tmp_path/"input")


def test_calls_of_a_damaged_journal_are_kept_and_what_is_lost_is_counted(tmp_path):
    from lrat.serving.recording import finish_journal
    call = '{"tool": "search", "arguments": {"query": "x"}, "output": "[]", "docids": ["d"], "succeeded": true, "reasoning": "", "question": "q", "client": "c"}\n'
    journal = tmp_path/".a1b2.000001.jsonl"
    journal.write_text('{"query_id": "s", "meta\0\0\0\n' + call + '{"tool": "search", "arg\0\0\n' + call + call[:40])
    run = finish_journal(journal, "server killed")
    assert (run.query_id, run.metadata["damaged_lines"], len(run.steps), run.query) == ("a1b2.000001", 2, 2, "q") and not journal.exists()
