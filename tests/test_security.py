"What must not leave: planted secrets. What must not come in: pickles, code, members of archives that lead elsewhere, bombs, scripts in a title."
import ast, functools, gzip, json, logging, re, struct, traceback, zipfile

import pytest
pytest.importorskip("aiohttp", reason="the agents extra is not installed")
pytest.importorskip("starlette", reason="the serve extra is not installed")
from lrat.agents.collect import collect_command
from lrat.core.settings import InputError, LratError, load_settings
from lrat.data.corpus import open_corpus
from lrat.data.questions import read_questions
from lrat.evaluation.agreement import agree_command
from lrat.evaluation.command import eval_command
from lrat.importers.command import import_trajectories
from lrat.judging.command import judge_command
from lrat.llm.budget import Meter, metered, read_allowance
from lrat.pipeline.check import print_checks
from lrat.serving import guard
from lrat.serving.http import http_application
from lrat.testing.museum import write_museum
from lrat.testing.retriever import WordRetriever
from lrat.testing.scripted_models import reply_to, scripted_models
from lrat.testing.server import stand_in
from lrat.viewer.folder import TrajectoryFolder
from lrat.viewer.page import write_page
from fuzz.targets import asgi
from paths import ROOT
from served_names import names_service

SECRETS = {"key": "sk-planted-key-0001", "bearer": "planted-bearer-0002", "header": "planted-header-0003", "query": "planted-query-0004", "token": "planted-token-of-the-server-0005"}


# --------------------------------------------------------------------------------------------------- planted secrets

def echoing(scripts, kinds, count):
    "A server that tells the secrets it was sent: in messages, thinking, calls and errors"
    told = " ".join(SECRETS[kind] for kind in kinds)
    def answer(body):
        count.append(1)
        if len(count) == 2: return 500, f"the header Authorization: Bearer {told} was refused"
        if len(count) == 3: return 200, f"<html>{told}"
        reply = reply_to(scripts, body)
        for choice in reply.get("choices", ()) if isinstance(reply, dict) else ():
            message = choice["message"]
            message["reasoning_content"] = f"{message.get('reasoning_content') or ''} I was sent {told}."
            if message.get("content"): message["content"] += f"\n{told}"
            for call in message.get("tool_calls") or (): call["function"]["arguments"] = json.dumps(json.loads(call["function"]["arguments"]) | {"why": told})
        return reply
    return stand_in(answer, [{"id": name} for name in scripts])


@pytest.fixture
def secrets(tmp_path, monkeypatch):
    "A key in the environment, a file of headers that stays outside of what is searched, and a token"
    headers = tmp_path/"kept"/"headers.txt"
    headers.parent.mkdir()
    headers.write_text(f"Authorization: Bearer {SECRETS['bearer']}\nX-Team: {SECRETS['header']}\n?token={SECRETS['query']}\n")
    for name in ("LRAT_API_KEY", "OPENAI_API_KEY", "PLANTED"): monkeypatch.setenv(name, SECRETS["key"])
    monkeypatch.setenv("LRAT_SERVE_TOKEN", SECRETS["token"])
    monkeypatch.setenv("LRAT_CACHE", str(tmp_path/"out"/"cache"))
    return headers


def held(folder, *texts):
    "The secrets that a file below a folder, or a text, holds"
    seen = {str(path.relative_to(folder)): path.name.encode() + path.read_bytes() for path in folder.rglob("*") if path.is_file()} | {f"text {n}": text.encode() for n, text in enumerate(texts)}
    return {(name, kind) for name, data in seen.items() for kind, secret in SECRETS.items() if secret.encode() in data}


@pytest.mark.parametrize("way", ["live", "recorded"])
def test_no_planted_secret_is_in_anything_written_or_said(way, tmp_path, monkeypatch, capfd, caplog, secrets):
    out = tmp_path/"out"
    corpus, questions = write_museum(out)
    scripts, said = scripted_models(open_corpus(corpus), agents=["m"]), []
    monkeypatch.setattr("lrat.agents.collect.open_index", lambda path, **second: WordRetriever())
    caplog.set_level(logging.DEBUG)
    for header, key, kinds in ((f"headers: {secrets}", "", ("bearer", "header", "query")), ("key: PLANTED", "key", ("key",))): # Both ways in which a server is told who asks
        with echoing(scripts, kinds, []) as server:
            url = f"record:{out}/replies{key}.jsonl:{server.url}" if way == "recorded" else server.url
            (out/"models.yaml").write_text("".join(f"{name}: {{endpoint: '{url}', {header}}}\n" for name in ("m", "judge", "answer-judge")))
            runs, models = str(out/f"runs{key}"), {"models": str(out/"models.yaml")}
            for call in (lambda: collect_command(str(questions), "index", runs, agent="m", **models),
                         lambda: judge_command(runs, "llm", str(out/f"verdicts{key}.jsonl"), model="judge", max_error_rate=1, **models),
                         lambda: eval_command(runs, str(questions), out=str(out/f"scores{key}.jsonl"), answer_judge="model", model="answer-judge", **models),
                         lambda: print_checks(load_settings("smoke", agent__policies=["m"], agent__models=models["models"]))):
                try:
                    with metered(Meter(read_allowance("9M tokens"), out/"spent.jsonl")): call()
                except LratError as error: said += traceback.format_exception(error)
            assert len(server.requests) > 20
    write_page(out/"page.html", [TrajectoryFolder(runs, out/f"verdicts{key}.jsonl", questions=read_questions(questions))])
    agree_command(str(out/"verdicts.jsonl"), str(out/"verdicts.jsonl"), trajectories=runs, page=str(out/"agree.html"), resamples=10)
    files = {path.name for path in out.rglob("*") if path.is_file()}
    assert {"spent.jsonl", "run_q1.json", "verdicts.jsonl", "scores.jsonl", "page.html", "agree.html"} <= files and ("replies.jsonl" in files) == (way == "recorded")
    assert held(out, *said, *capfd.readouterr(), caplog.text) == set()
    assert "***" in (out/"runs"/"run_q1.json").read_text(), "the server told them, so they were hidden and not merely never sent"


def test_the_servers_token_is_in_no_record_log_or_answer(tmp_path, capfd, caplog, secrets):
    caplog.set_level(logging.DEBUG)
    token, service, answers = guard.read_token("0.0.0.0"), names_service(tmp_path/"out"), []
    application = http_application(service, {"index": "names"}, token)
    for data in (b'{"queries": ["oslo", "fault"], "session": "s"}', b'{"queries": ["oslo"], "topk": "x"}', b"{"):
        for shown in (token, token[:-1], ""):
            answers.append(asgi(application, ("POST", "/retrieve", data, [(b"authorization", f"Bearer {shown}".encode())])))
    answers.append(asgi(application, ("GET", "/metrics", b"", [(b"authorization", f"Bearer {token}".encode())])))
    service.close()
    assert {status for status, *_ in answers} == {200, 400, 401, 422} and "a fault of the retriever" in caplog.text
    assert held(tmp_path/"out", *(repr(answer) for answer in answers), *capfd.readouterr(), caplog.text) == set()


def test_tokens_are_compared_in_constant_time(monkeypatch):
    seen = []
    monkeypatch.setattr(guard.hmac, "compare_digest", lambda a, b: seen.append((a, b)) or a == b)
    assert guard.is_authorized("a" * 16, "Bearer " + "a" * 16) and not guard.is_authorized("a" * 16, "Bearer é") and guard.is_authorized("", "")
    assert len(seen) == 2
    for path, node in _nodes(): # There is no second comparison
        if isinstance(node, ast.Compare) and any(isinstance(op, (ast.Eq, ast.NotEq)) for op in node.ops):
            assert not {"token", "authorization"} & {_dotted(one).rpartition(".")[2] for one in (node.left, *node.comparators)}, f"{path}:{node.lineno}"


# ------------------------------------------------------------------------------------------- what is loaded and run

@functools.cache
def _nodes(): return [(path.relative_to(ROOT).as_posix(), node) for path in sorted((ROOT/"lrat").rglob("*.py")) if path.name != "_modidx.py" for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]


def _dotted(node):
    "`a.b.c` of a name or attribute, the last names of anything else"
    if isinstance(node, ast.Name): return node.id
    if isinstance(node, ast.Attribute): return f"{_dotted(node.value)}.{node.attr}".removeprefix(".")
    return _dotted(node.func) if isinstance(node, ast.Call) else ""


RUNS_WHAT_IT_READS = {"torch.load", "pickle.load", "pickle.loads", "marshal.loads", "joblib.load", "dill.load", "shelve.open", "os.system", "os.popen", "eval", "exec", "yaml.load", "yaml.unsafe_load", "yaml.full_load"}


def test_nothing_is_unpickled_or_run_that_a_file_names():
    bad, arrays = [], 0
    for path, node in _nodes():
        if not isinstance(node, ast.Call): continue
        name, last = _dotted(node.func), getattr(node.func, "attr", "")
        given = {one.arg: one.value.value if isinstance(one.value, ast.Constant) else _dotted(one.value) for one in node.keywords}
        arrays += name == "np.load"
        if (name in RUNS_WHAT_IT_READS or last in ("extractall", "extract", "unpack_archive") and "zip" in path + name or given.get("allow_pickle") is True or given.get("shell") is True
                or given.get("weights_only") is False or given.get("trust_remote_code") is True or last == "compose" and given.get("Loader") != "yaml.SafeLoader"
                or last == "from_pretrained" and "AutoModel" in name and given.get("use_safetensors") is not True): bad.append((path, node.lineno, name))
    assert not bad and arrays > 2
    users = {path for path, node in _nodes() if isinstance(node, (ast.Import, ast.ImportFrom)) and {"pickle", "marshal", "shelve", "joblib", "dill"} & {getattr(node, "module", None), *(one.name for one in node.names)}}
    assert users == {"lrat/retrieval/tevatron.py"} # Which reads arrays alone, and is asked for by name (--form tevatron)


# ----------------------------------------------------------------------------------------------- archives and bombs

SAMPLE = {"id": "q1", "epoch": 1, "input": "Which bird?", "messages": [{"role": "user", "content": "Which bird?"},
          {"role": "assistant", "content": "", "tool_calls": [{"id": "c", "function": "search", "arguments": {"query": "bird"}, "type": "function"}]}, {"role": "tool", "tool_call_id": "c", "function": "search", "content": "DocID:7\n[Owl]\nA bird."},
          {"role": "assistant", "content": "The owl"}], "output": {"model": "m"}}


@pytest.mark.parametrize("name", ["samples/../../evil.json", "/samples/evil.json", "samples/..\\evil.json", "C:/samples/evil.json", "samples/x/../../../evil.json"])
@pytest.mark.parametrize("suffix", [".eval", ".zip"])
def test_members_that_lead_out_of_an_archive_are_left_out_and_counted(tmp_path, name, suffix):
    path = tmp_path/"logs"/f"log{suffix}"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("samples/q1_epoch_1.json", json.dumps(SAMPLE))
        archive.writestr(name, json.dumps({**SAMPLE, "id": "evil"}))
    manifest = import_trajectories(path, tmp_path/"out"/"runs", "inspect")
    assert manifest["runs"] == 1 and [f.name for f in tmp_path.rglob("*evil*")] == []
    outside = [what for what in manifest["notes"] if "leads out of it" in what]
    assert outside or suffix == ".eval" and not name.startswith("samples/") # Only samples/ is looked at there


def test_an_archive_that_lies_about_sizes_and_a_bomb_end_soon(tmp_path, monkeypatch):
    monkeypatch.setattr("lrat.core.expansion.ALWAYS_READ", 1 << 22)
    path = tmp_path/"log.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("samples/a.json", json.dumps(SAMPLE))
        with archive.open("samples/bomb.json", "w") as member:
            for _ in range(5): member.write(b" " * (1 << 20))
    assert path.stat().st_size < 10_000
    manifest = import_trajectories(path, tmp_path/"runs", "inspect")
    note = manifest["notes"]["a member of an archive that cannot be read"]
    assert manifest["runs"] == 1 and note["count"] == 1 and "expands to more than 300 times" in note["first"][0]
    data = bytearray(path.read_bytes())
    for at in (m.start() for m in re.finditer(rb"PK\x01\x02", bytes(data))): data[at + 24:at + 28] = struct.pack("<I", 99) # Its directory says 99 bytes of each
    path.write_bytes(data)
    with pytest.raises(InputError, match="nothing in it could be imported"): import_trajectories(path, tmp_path/"others", "inspect")


@pytest.mark.parametrize("how", ["gz", "zst"])
def test_a_compressed_bomb_is_one_line_in_bounded_time(tmp_path, how, monkeypatch):
    monkeypatch.setattr("lrat.core.expansion.ALWAYS_READ", 1 << 22)
    monkeypatch.setenv("LRAT_CACHE", str(tmp_path/"cache"))
    path, piece = tmp_path/f"c.jsonl.{how}", bytes(1 << 20)
    if how == "gz": path.write_bytes(9 * gzip.compress(piece))
    else: path.write_bytes(9 * pytest.importorskip("pyarrow").compress(piece, codec="zstd", asbytes=True))
    with pytest.raises(InputError, match="expands to more than 300 times its size"): open_corpus(path)
    with pytest.raises(InputError, match="expands to more than 300 times its size"): import_trajectories(path, tmp_path/"runs", "chat")
