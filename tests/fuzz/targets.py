"""Everything from outside that is parsed, as one table: small valid samples, and a function that reads any bytes and checks what came out.

A target's function raises nothing but the errors that it declares, each one line that names what is wrong; any other exception is a bug, and so
is an `AssertionError`: something was dropped without being counted, or what was read cannot be written.
"""
import contextlib, functools, gzip, importlib.metadata, io, json, os, shutil, warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import small_forms, small_logs
from lrat.core.settings import LratError
from lrat.core.system_errors import explain
from lrat.llm.failures import Again

@dataclass(frozen=True)
class Target:
    "What is fuzzed"
    name:str
    seeds:tuple[bytes,...] # Small valid samples
    read:Callable[[bytes,Path], object] # Bytes and an empty folder
    file:str="" # The name of the file that holds the bytes, which an error must say; empty where there is none
    refuses:tuple=(LratError,) # What may be raised


_entry_points = functools.cache(importlib.metadata.entry_points) # It reads the facts of all packages


def check(target, data, folder):
    "Read bytes: the refusal, or None where they were read; raises what is not to be raised"
    for used in (folder, Path(os.environ["LRAT_CACHE"])/"corpora"): shutil.rmtree(used, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        with mock.patch("lrat.core.plugins.entry_points", _entry_points), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(data, folder)
    except (*target.refuses, OSError) as error:
        said = explain(error) if isinstance(error, OSError) else str(error) # As the command line says it
        assert said and len(said.splitlines()) == 1, f"not one line: {said!r:.300}"
        assert len(said) <= 5000, f"a line of {len(said)} characters"
        if target.file: assert target.file in said or f"{folder}/" in said, f"does not name {target.file}: {said!r:.300}"
        return said


def written(folder, name, data):
    path = folder/name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def file_target(name, file, seeds, read, **more):
    "A target whose bytes are one file"
    seeds = tuple(seed if isinstance(seed, bytes) else seed.encode() for seed in seeds)
    return Target(name, seeds, lambda data, folder: read(written(folder, file, data)), Path(file).parts[0], **more)


def text_target(name, seeds, read, refuses=(LratError,)):
    "A target that is given text"
    return Target(name, tuple(seed.encode() for seed in seeds), lambda data, folder: read(data.decode("utf-8", "replace")), "", refuses)


def plain_lines(data): return sum(bool(line.decode("utf-8-sig", "replace").strip()) for line in data.split(b"\n"))


def jsonl(*rows): return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def packed(data, how):
    "Bytes compressed with gzip or zstd"
    if how == "gz": return gzip.compress(data, mtime=0)
    import pyarrow
    return pyarrow.compress(data, codec="zstd", asbytes=True)


def table(rows, how):
    import pyarrow as pa, pyarrow.parquet as parquet
    sink, made = pa.BufferOutputStream(), pa.Table.from_pylist(rows)
    if how == "parquet": parquet.write_table(made, sink)
    else:
        with pa.ipc.new_stream(sink, made.schema) as writer: writer.write_table(made)
    return sink.getvalue().to_pybytes()


# Trajectories and logs

def read_a_trajectory(path):
    from lrat.trajectories.trajectory import read_trajectory, write_trajectory
    run = read_trajectory(path)
    assert len(run.steps) == len(json.loads(path.read_text("utf-8-sig"))["result"])
    found = run.searches(), run.browses(), run.final_answer
    again = read_trajectory(write_trajectory(path.parent/"again", run))
    assert (again.searches(), again.browses(), again.final_answer) == found


def import_as(form, suffix):
    def read(path):
        from lrat.importers.command import import_trajectories
        from lrat.importers.formats import find_format
        from lrat.trajectories.trajectory import iterate_trajectories
        out, corpus = path.parent/"out", path.parent/"documents.jsonl"
        manifest = import_trajectories(path, out, form, corpus=corpus)
        made = list(iterate_trajectories(out))
        assert len(made) == manifest["runs"]
        for run in made: run.browses()
        if suffix in (".jsonl", ".json") and form not in ("runs",): # No line is left out without a note
            bad = unreadable(path)
            assert not bad or manifest["notes"], f"{bad} lines that are not JSON, and no note"
    return read


def unreadable(path):
    "Lines that hold no JSON, where most do"
    lines = [line for line in path.read_bytes().split(b"\n") if line.strip()]
    def fine(line):
        try: json.loads(line)
        except (ValueError, RecursionError): return False
        return True
    fine = sum(map(fine, lines))
    return len(lines) - fine if fine > 1 else 0


def log_samples(folder):
    "Form and ending -> samples"
    found, run = {}, small_logs.small()
    for n, (form, write) in enumerate(small_forms.WRITERS.values()):
        write(made(folder/str(n)), run)
        path = next(p for p in sorted((folder/str(n)).rglob("*")) if p.is_file())
        found.setdefault((form, path.suffix), []).append(path.read_bytes())
    for form, make in small_logs.LOGS.values(): found.setdefault((form, ".jsonl"), []).append(jsonl(*make(run)))
    found["chat", ".zst"] = [packed(found["chat", ".jsonl"][0], "zst")]
    return found


def made(folder):
    folder.mkdir(parents=True)
    return folder


def import_targets(folder):
    log = log_samples(folder)
    for (form, suffix), seeds in log.items():
        name = f"log.jsonl{suffix}" if suffix == ".zst" else f"{small_logs.small().query_id}{suffix}"
        if form == "runs": name = "run_q1.json"
        yield file_target(f"import {form} {suffix[1:]}", name, seeds, import_as(form, suffix))
    yield file_target("import browsecomp jsonl", "q1.jsonl", [jsonl({**json.loads(log["runs", ".json"][0]), "status": "completed"})], import_as("browsecomp", ".jsonl"))
    seeds = [seed for seeds in log.values() for seed in seeds[:1] if seed[:1] in b"{["]
    yield file_target("import, recognised", "log.jsonl", seeds, import_as(None, ".jsonl"))


def read_tool_file(path):
    from lrat.importers.tools import read_tools
    read_tools(path)


def read_shown_results(text):
    from lrat.importers.results import read_listing
    from lrat.trajectories.listed import read_list
    from lrat.trajectories.trajectory import result_docids
    docids = result_docids(text)
    assert all(isinstance(docid, str) for docid in docids)
    read_list(text, docids), read_listing(text)


# Corpora, questions, judgements

def read_a_corpus(count=True):
    def read(path):
        from lrat.data.corpus import open_corpus
        corpus = open_corpus(path)
        documents = list(corpus)
        assert [d.docid for d in documents] == list(corpus.docids) and len(corpus) == len(documents) > 0
        assert all(corpus[d.docid] == d for d in documents[:3])
        if count and (lines := plain_lines(path.read_bytes())) != len(documents): raise AssertionError(f"{len(documents)} documents in {lines} lines")
    return read


def read_a_folder(data, folder):
    written(folder, "c/a.jsonl", data)
    read_a_corpus(False)(written(folder, "c/b.jsonl", jsonl({"docid": "only-here", "text": "x"})).parent)


def read_some_questions(path):
    from lrat.data.questions import read_questions
    found = read_questions(path)
    data = path.read_bytes()
    if path.suffix in (".tsv", ".jsonl") and not data.startswith((b"#enc", b"PAR1", b"ARROW1", b"\xff\xff\xff\xff", b"\x1f\x8b", b"\x28\xb5\x2f\xfd")):
        assert len(found) == plain_lines(data)


def read_judgements(path):
    from lrat.data.questions import read_qrels, whole_grades
    found = read_qrels(path)
    whole_grades(found)
    lines = {tuple(line.split()[:1] + line.split()[2:3]) for line in (raw.decode("utf-8-sig") for raw in path.read_bytes().split(b"\n")) if line.split()}
    assert sum(map(len, found.values())) == len(lines)


def read_a_ranking(path):
    from lrat.data.questions import read_trec_run, write_trec_run
    found = read_trec_run(path)
    assert sum(map(len, found.values())) == plain_lines(path.read_bytes())
    write_trec_run(path.with_name("again.run"), found, "x")


# What models write

def read_a_call(text):
    from lrat.agents.actions import Malformed
    from lrat.agents.tools import read_call
    from lrat.agents.protocols import read_text_call, sendable
    from lrat.llm.client import ToolCall
    from lrat.trajectories.trajectory import DIALECTS
    json.loads(sendable(text))
    for dialect in DIALECTS:
        for call in (ToolCall("1", dialect.search_tool, text), ToolCall("1", dialect.browse_tools[0], text), read_text_call(text, 0), ToolCall("1", text, text)):
            action = read_call(call, "", dialect)
            if not isinstance(action, Malformed): json.loads(action.arguments)


REPLIES = (LratError, Again) # The second is asked again


def read_a_reply(protocol):
    def read(text):
        from lrat.agents.protocols import CHAT, RESPONSES, TEXT
        from lrat.agents.tools import read_call
        from lrat.core.files import to_json
        from lrat.judging.answers import read_correct
        from lrat.judging.llm import read_verdict
        from lrat.llm.credentials import Credentials
        from lrat.llm.http import Breaker, _Server
        known = {"chat": CHAT, "text": TEXT, "responses": RESPONSES}[protocol]
        reply = _Server("http://localhost:1/v1", Breaker(), Credentials())._result(text, known.read, "reply")
        assert isinstance(reply.content, str) and isinstance(reply.reasoning, str) and all(isinstance(n, int) for n in reply.usage.values())
        to_json(known.said(reply)).encode()
        for call in reply.tool_calls:
            assert all(isinstance(one, str) for one in (call.id, call.name, call.arguments))
            read_call(call)
            to_json(known.result(call, "x"))
        read_verdict(reply.content), read_correct(reply.content)
    return read


def read_thinking(text):
    from lrat.evaluation.browsecomp import read_confidence
    from lrat.judging.answers import read_correct
    from lrat.judging.llm import read_verdict
    from lrat.llm.thinking import take_thinking
    from lrat.trajectories.trajectory import thoughts, visible
    thought, said = take_thinking(text)
    kept = lambda part: sum(not c.isspace() for c in part)
    assert kept(thought) + kept(said) <= kept(text)
    assert len(visible(text)) <= len(text) and thoughts(text) in text
    read_verdict(text), read_correct(text), read_confidence(text)


def read_recording(path):
    from lrat.llm.replay import Replay
    Replay(path)


def read_ledger(path):
    from lrat.llm.budget import Meter, read_allowance
    meter = Meter(read_allowance("5 tokens"), path)
    meter.update()
    assert meter.tokens >= 0


# Servers

def asgi(application, *requests):
    "Status, headers and body of the last of some requests; each is method, path, body, and headers that may depend on the answer before"
    import asyncio
    async def ask(method, path, data, headers):
        got = {"body": b""}
        async def receive(): return {"type": "http.request", "body": data, "more_body": False}
        async def send(message):
            if message["type"] == "http.response.start": got.update(status=message["status"], headers=dict(message["headers"]))
            else: got["body"] += message.get("body", b"")
        path, _, query = path.partition("?")
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode("utf-8", "replace"), "root_path": "", "scheme": "http",
                 "query_string": query.encode("utf-8", "replace"), "client": ("127.0.0.1", 1), "server": ("localhost", 80),
                 "headers": [(b"host", b"127.0.0.1:80"), (b"content-type", b"application/json"), (b"accept", b"application/json, text/event-stream"), *headers]}
        await application(scope, receive, send)
        return got["status"], got["headers"], got["body"]
    async def all_of_them():
        answer = None
        async with application.app.router.lifespan_context(application.app):
            for method, path, data, headers in requests: answer = await ask(method, path, data, headers(answer) if callable(headers) else headers)
        return answer
    return asyncio.run(all_of_them())


def in_session(answer): return [(b"mcp-session-id", answer[1][b"mcp-session-id"])]


def serve(path):
    def read(data, folder):
        from lrat.serving.http import http_application
        from lrat.serving.mcp import mcp_application
        from lrat.trajectories.trajectory import read_trajectory
        from served_names import names_service
        service = names_service(folder/"runs", max_bytes=100_000)
        try:
            if path == "/mcp": status, _, body = asgi(mcp_application(service, {}), ("POST", path, rpc("initialize", **HELLO), ()), ("POST", path, data, in_session))
            else: status, _, body = asgi(http_application(service, {}), ("POST", path, data, ()))
        finally: service.close()
        assert 200 <= status < 500, (status, body[:300])
        assert not body or json.loads(body) is not None
        for run in (folder/"runs").glob("run_*.json"): read_trajectory(run)
    return read


def rpc(method, **params): return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}


def ask_the_viewer(text, folder=None):
    from lrat.viewer.folder import TrajectoryFolder
    from lrat.viewer.server import ViewerService, viewer_application
    path, _, query = text.partition("?")
    service = ViewerService([TrajectoryFolder(VIEWED)])
    try: status, *_ = asgi(viewer_application(service), ("GET", f"/{path.lstrip('/')}?{query}", b"", ()))
    finally: service.close()
    assert 200 <= status < 500, status


VIEWED = None # A folder of trajectories, made by `all_targets`


def read_a_journal(path):
    from lrat.serving.recording import read_journal
    from lrat.trajectories.trajectory import write_trajectory
    run = read_journal(path, "ended")
    if run: write_trajectory(path.parent/"again", run)
    *lines, _ = path.read_bytes().split(b"\n")
    calls = sum(step.type == "tool_call" for step in run.steps) if run else 0
    assert not run or len(lines) <= calls + 2 + run.metadata.get("damaged_lines", 0), "lines are left out and not counted"


def view_a_trajectory(path):
    from lrat.viewer.folder import TrajectoryFolder, list_notes, list_rows, page_json, show_trajectory
    known = TrajectoryFolder(path.parent)
    rows = list(list_rows(known))
    assert len(rows) + len(known.unreadable) >= 1
    page_json([rows, list_notes(known)])
    if not known.unreadable: page_json(show_trajectory(known, path.stem))


# Settings and small files

def read_a_setting(text):
    from lrat.core.settings import load_settings, parse_settings
    load_settings("smoke", **parse_settings(text.split("\n")))


def read_rules(text):
    from lrat.mining.rules import mining_rules, parse_changes
    mining_rules("paper", parse_changes(text.split("\n")))


def read_an_amount(text):
    from lrat.llm.budget import read_allowance
    str(read_allowance(text))


def read_an_address(text):
    from lrat.llm.client import ChatModel
    from lrat.llm.credentials import Credentials
    ChatModel(text, "m", credentials=Credentials())


def models(path):
    from lrat.core.files import to_json
    from lrat.llm.models import read_models
    for entry in read_models(path).values(): to_json(entry.identity())


def prices(path):
    from lrat.evaluation.prices import read_prices
    assert read_prices(path).models


def headers(path):
    from lrat.llm.credentials import Credentials, read_headers
    Credentials("", *read_headers(path)).all_headers()


def verdicts(path):
    from lrat.judging.verdicts import read_verdicts
    assert len(read_verdicts(path)) == plain_lines(path.read_bytes())


def answer_verdicts(path):
    from lrat.judging.answers import read_answer_verdicts
    read_answer_verdicts(path)


def pairs(path):
    from lrat.evaluation.pairs import read_pairs
    columns = read_pairs(path)
    if not path.read_bytes().startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")): assert len(columns) == plain_lines(path.read_bytes())


def training_pairs(path):
    from lrat.training.dataset import PairsFile
    data = PairsFile(path, group_size=2)
    data[0]
    assert len(data) == plain_lines(path.read_bytes())


def scores(path):
    from lrat.evaluation.files import read_scores
    assert len(read_scores(path).query_ids) == plain_lines(path.read_bytes())


def browsecomp(path):
    from lrat.evaluation.browsecomp import iterate_browsecomp
    assert len(list(iterate_browsecomp(path))) == plain_lines(path.read_bytes())


# Models and indexes

MODEL = {"config.json": {"architectures": ["BertModel"], "model_type": "bert", "hidden_size": 32, "max_position_embeddings": 128, "vocab_size": 60},
         "modules.json": [{"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
                          for n, (path, kind) in enumerate([("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"), ("3_Normalize", "Normalize")])],
         "1_Pooling/config.json": {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False, "include_prompt": True},
         "2_Dense/config.json": {"in_features": 32, "out_features": 8, "bias": True, "activation_function": "torch.nn.modules.activation.Tanh"},
         "sentence_bert_config.json": {"max_seq_length": 128, "do_lower_case": False},
         "config_sentence_transformers.json": {"prompts": {"query": "find: ", "document": ""}, "default_prompt_name": None, "similarity_fn_name": "cosine"},
         "tokenizer_config.json": {"auto_map": {"AutoTokenizer": ["t.T", None]}, "model_max_length": 128},
         "query_form.json": {"name": "query", "question": False, "earlier": 0, "reasoning_words": 0}}


def model_folder(name):
    def read(path):
        from lrat.retrieval.model_folder import agreed, agreed_length, read_model_folder
        from lrat.retrieval.query_forms import read_query_form
        from lrat.retrieval.encoder import load_dense
        folder = path.parents[len(Path(name).parts) - 1]
        for other, content in MODEL.items():
            if other != name: written(folder, other, json.dumps(content).encode())
        said = read_model_folder(folder)
        agreed(said)
        agreed_length("query_max_length", None, said, 128)
        if name.startswith("2_"):
            written(folder, "2_Dense/model.safetensors", DENSE)
            load_dense(path.parent, 32)
        read_query_form(folder)
    return read


def tokenizer(name):
    def read(path):
        from lrat.retrieval.encoder import load_own_tokenizer
        for other, content in TOKENIZER.items():
            if other != name: written(path.parent, other, content)
        written(path.parent, "config.json", json.dumps(MODEL["config.json"]).encode())
        load_own_tokenizer(path.parent, "m")(["find baran"], truncation=True, max_length=8)
    return read


WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "find", ":", "baran"]
TOKENIZER = {name: json.dumps(content).encode() for name, content in {
    "tokenizer.json": {"version": "1.0", "truncation": None, "padding": None, "normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"}, "decoder": None, "post_processor": None,
                       "added_tokens": [{"id": n, "content": word, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True} for n, word in enumerate(WORDS[:4])],
                       "model": {"type": "WordLevel", "vocab": {word: n for n, word in enumerate(WORDS)}, "unk_token": "[UNK]"}},
    "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "unk_token": "[UNK]", "eos_token": "[SEP]", "model_max_length": 128},
    "special_tokens_map.json": {"pad_token": "[PAD]", "unk_token": {"content": "[UNK]", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}}}.items()}
DENSE = b"" # Weights of a layer; made by `all_targets`


def shard(path):
    from lrat.retrieval.shards import read_shard
    written(path.parent, "shard-0000.json", b'["a", "b"]')
    vectors, docids = read_shard(path, 3)
    assert vectors.shape == (2, 3) and len(docids) == 2
    sum(map(float, vectors.ravel()))


def shard_ids(path):
    import numpy as np
    from lrat.retrieval.shards import read_shard
    np.save(path.with_suffix(".npy"), np.zeros((2, 3), np.float32))
    assert len(read_shard(path.with_suffix(".npy"), 3)[1]) == 2


def pickled(path):
    from lrat.retrieval.tevatron import read_pickle
    read_pickle(path)


def npy(array):
    import numpy as np
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


# The table

def all_targets(folder):
    "The table; `folder` takes files that some targets need, and a cache"
    global VIEWED, DENSE
    import pickle
    import numpy as np
    from safetensors.numpy import save
    from lrat.data.questions import Question, write_questions
    from lrat.llm.models import example_models
    from lrat.testing.museum import DOCUMENTS, TRAJECTORY
    from lrat.trajectories.trajectory import write_trajectory
    os.environ.setdefault("LRAT_CACHE", str(folder/"cache"))
    VIEWED, DENSE = folder/"viewed", save({"linear.weight": np.zeros((8, 32), np.float32), "linear.bias": np.zeros(8, np.float32)})
    write_trajectory(VIEWED, TRAJECTORY)
    museum = write_trajectory(folder/"museum", TRAJECTORY).read_bytes()
    write_questions(folder/"hidden.tsv", [Question("q1", "Who?", "Me")], encrypted=True)
    documents = [{"docid": "d1", "title": "Oslo", "text": "A town.", "url": "x"}, {"docid": "d2", "title": "Rome", "text": "Another.", "url": None}]
    lines = jsonl(*documents)
    reply = {"choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": "<think>a</think>verdict: yes", "reasoning_content": "b", "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"user_query": "x"}'}}]}}], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    parts = {"choices": [{"message": {"content": [{"type": "thinking", "thinking": "x"}, {"type": "text", "text": "correct: yes"}], "reasoning_details": [{"type": "reasoning.text", "text": "x", "index": 0}]}}]}
    intext = {"choices": [{"finish_reason": "stop", "message": {"content": '<think>t</think><tool_call>{"name": "search", "arguments": {"query": ["a", "b"]}}</tool_call><tool_response>'}}]}
    response = {"status": "completed", "output": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "t"}]}, {"type": "function_call", "call_id": "c", "name": "search", "arguments": '{"query": "x"}'},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "done"}]}], "usage": {"input_tokens": 1, "output_tokens": 2}}
    chunk = lambda **delta: "data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}) + "\n\n"
    stream = chunk(role="assistant", content="") + chunk(reasoning_content="th") + chunk(content="a") + chunk(tool_calls=[{"index": 0, "id": "c", "function": {"name": "search", "arguments": ""}}]) \
        + chunk(tool_calls=[{"index": 0, "function": {"arguments": '{"query": "x"}'}}]) + 'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}}\n\ndata: [DONE]\n\n'
    typed = "event: response.completed\ndata: " + json.dumps({"type": "response.completed", "response": response}) + "\n\n"
    pair = {"query": "q", "pos": ["a"], "neg": ["b", "c"], "pos_id": ["d1"], "neg_id": ["d2", "d3"], "reweight_rate": .5, "reasoning_len": 3, "satisfied": True, "trajectory": "run_q1"}
    calls = ['{"query": "night bird"}', "{'docid': 'd1',}", '```json\n{"user_query": ["a", "b"]}\n```', '{"name": "search", "arguments": {"query": "x"}}', '{query: "x", // why\n}', '[{"docid": 7}]']
    listing = 'DocID:7\n[Owl]\nA bird.\n\nDocID:9\n[Oak]\nA tree.'
    tool_calls = [rpc("tools/call", name=tool, arguments=given) for tool, given in (("search", {"query": "oslo", "k": 2, "reasoning": "r", "question": "q"}), ("get_document", {"docid": "oslo"}))]
    return [
        file_target("trajectory", "run_museum.json", [museum, json.dumps({"query_id": "q", "result": [{"type": "output_text", "output": ["x"]}], "usage": {}})], read_a_trajectory),
        *import_targets(folder/"logs"),
        file_target("tools, YAML", "tools.yaml", ["web: {kind: search, query: q, pattern: 'id=(\\d+)'}\nopen: {kind: browse, docid: url}\nx: {kind: other}\n"], read_tool_file),
        file_target("tools, JSON", "tools.json", ['{"web": {"kind": "search", "query": "q", "results": "meta.id"}}'], read_tool_file),
        text_target("result lists", [listing, '[{"docid": "7", "title": "Owl"}]', '[{"docid": "7"}, {"result": "x"}]', "1. [Owl](https://a.b/c)\nA bird.", "{'results': [{'url': 'https://a.b'}]}"], read_shown_results),
        file_target("corpus, JSON lines", "c.jsonl", [lines, '{"_id": "1", "text": "t"}\n\n{"_id": "2", "contents": "u"}'], read_a_corpus()),
        *(file_target(f"corpus, {how}", f"c.jsonl.{how}", [packed(lines, how)], read_a_corpus(False)) for how in ("gz", "zst")),
        *(file_target(f"corpus, {how}", f"c.{how}", [table(documents, how)], read_a_corpus(False)) for how in ("parquet", "arrow")),
        file_target("corpus, TSV", "c.tsv", ["docid\ttitle\ttext\nd1\tOslo\tA \"town\"\nd2\tRome\t\"x\"\n", "d1\tOslo\n"], read_a_corpus(False)),
        Target("corpus, folder", (lines,), read_a_folder, "c"),
        file_target("questions, TSV", "q.tsv", ["q1\tWho?\tMe\nq2\tWhere?\n", (folder/"hidden.tsv").read_bytes()], read_some_questions),
        file_target("questions, JSON lines", "q.jsonl", [jsonl({"query_id": "q1", "question": "Who?", "answer": ["Me"]}, {"id": 2, "query": "x"})], read_some_questions),
        file_target("questions, Parquet", "q.parquet", [table([{"qid": 1, "text": "x", "answers": ["a"]}], "parquet")], read_some_questions),
        file_target("qrels", "j.qrels", ["q1 0 d1 1\nq1 0 d2 0.5\nq2\t0\td1\t-1\n"], read_judgements),
        file_target("TREC run", "r.run", ["q1 Q0 d1 1 2.5 x\nq1 Q0 d2 2 -1e-3 x\nq2 Q0 d1 1 3 x\n"], read_a_ranking),
        text_target("tool call", calls, read_a_call),
        text_target("reply, chat", [json.dumps(reply), json.dumps(parts), stream], read_a_reply("chat"), REPLIES),
        text_target("reply, text", [json.dumps(intext), json.dumps(reply)], read_a_reply("text"), REPLIES),
        text_target("reply, responses", [json.dumps(response), typed], read_a_reply("responses"), REPLIES),
        text_target("stream", [stream, typed, 'data: {"error": {"message": "x"}}\n\n'], read_a_reply("chat"), REPLIES),
        text_target("thinking", ["<think>a\n<think>b</think>c</think>verdict: yes", "[THINK]x[/THINK]y", "a</think><tool_call>{}</tool_call>", "<seed:think>x</seed:think>\ncorrect: no\nconfidence: 80%"], read_thinking),
        file_target("recording", "r.jsonl", [jsonl({"request": "a" * 64, "path": "chat/completions", "ends_in": "x", "reply": reply})], read_recording),
        file_target("ledger", "spent.jsonl", [jsonl({"model": "m", "read": 1, "written": 2}, {"model": "n", "read": 3, "written": 4})], read_ledger),
        Target("served: /retrieve", (b'{"queries": ["oslo", ["bergen", "x"]], "topk": 2, "return_scores": true, "session": "s", "question": ["q", "r"], "reasoning": "r"}',), serve("/retrieve")),
        Target("served: /document", (b'{"docid": "DocID: oslo", "session": "s"}',), serve("/document")),
        Target("served: /finish", (b'{"session": "s", "answer": "x", "reasoning": "y"}',), serve("/finish")),
        Target("served: MCP", (rpc("initialize", **HELLO), rpc("tools/list"), *tool_calls), serve("/mcp")),
        text_target("viewer: addresses", ["/trajectory?name=run_museum&folder=0", "/rows?after=0&folder=0", "/?x", "/health"], ask_the_viewer),
        file_target("viewer: trajectory", "run_museum.json", [museum], view_a_trajectory),
        file_target("journal", ".a.000001.jsonl", [jsonl({"query_id": "s", "metadata": {"a": 1}}, {"tool": "search", "arguments": {"query": "x"}, "output": "[]", "docids": ["d"], "succeeded": True, "reasoning": "r",
                    "question": "q", "client": "c"}, {"answer": "x", "reasoning": "y"})], read_a_journal),
        text_target("settings", ["training.epochs=1\nseed=3", 'agent.policies=["hasty"]', "training__learning_rate=1e-5", "world.leaf=none", "evaluation.train_seeds=1,2"], read_a_setting),
        text_target("rules of mining", ["negatives=tiers\ncap=3", "correct_only=true\ntier_weights=1,.5,0"], read_rules),
        text_target("budget", ["2M tokens", "5 USD", "1_000", ".5 EUR"], read_an_amount),
        text_target("address", ["http://localhost:8000/v1", "https://[::1]:80/v1", "record:f.jsonl:http://a/v1"], read_an_address),
        file_target("models.yaml", "models.yaml", [example_models(), "m: {endpoint: 'http://localhost:1/v1', sampling: {temperature: 0.5, stop: [a]}, leave_out: [seed], rename: {a: b}, price: {input: 1, output: 2, currency: USD}, concurrency: 3}\n"], models),
        file_target("prices", "prices.tsv", ["m\t0.25\t1\tUSD\nn\t0\t2\tUSD\n"], prices),
        file_target("prices, YAML", "prices.yaml", ["m: {endpoint: 'http://localhost:1/v1', price: {input: 1, output: 2, currency: USD}}\n"], prices),
        file_target("headers", "headers.txt", ["# who\nX-Key: abc\n?version=${HOME}\nAuthorization: Basic eA==\n"], headers),
        file_target("verdicts", "v.jsonl", [jsonl({"run": "run_q1", "step": 2, "docid": "d1", "verdict": "yes"}, {"run": "run_q1", "step": 4, "verdict": "undecided"})], verdicts),
        file_target("verdicts on answers", "a.jsonl", [jsonl({"query_id": "q1", "verdict": "correct", "seen": "0" * 16}, {"query_id": 2, "verdict": "no-answer"})], answer_verdicts),
        file_target("pairs, statistics", "p.jsonl", [jsonl(pair, {**pair, "segment_tag": "x"})], pairs),
        file_target("pairs, training", "p.jsonl", [jsonl(pair, {**pair, "neg_weights": [.5, 1]})], training_pairs),
        file_target("scores", "s.jsonl", [jsonl({"query_id": "q1", "status": "completed", "recall": .5, "ndcg": None})], scores),
        file_target("BrowseComp-Plus", "t.jsonl", [jsonl({**json.loads(museum), "status": "completed"})], browsecomp),
        *(file_target(f"model folder, {name}", f"m/{name}", [json.dumps(content)], model_folder(name)) for name, content in MODEL.items()),
        *(file_target(f"tokenizer, {name}", f"m/{name}", [content], tokenizer(name)) for name, content in TOKENIZER.items()),
        file_target("shard", "shard-0000.npy", [npy(np.zeros((2, 3), np.float32)), npy(np.zeros((2, 3), np.float16))], shard),
        file_target("docids of a shard", "shard-0000.json", ['["a", "b"]'], shard_ids),
        file_target("Tevatron's pickle", "v.pkl", [pickle.dumps((np.zeros((2, 3), np.float32), ["a", "b"]))], pickled),
    ]
