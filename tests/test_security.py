"What must not leave: planted secrets. What must not come in: pickles, code, members of archives that lead elsewhere, bombs, scripts in a title."
import ast, gzip, io, json, logging, re, struct, traceback, zipfile

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
from lrat.pipeline.check import print_checks
from lrat.serving import guard
from lrat.serving.http import http_application
from lrat.testing.museum import write_museum
from lrat.testing.scripted_models import reply_to, scripted_models
from lrat.testing.server import stand_in
from lrat.viewer.folder import TrajectoryFolder
from lrat.viewer.page import write_page
from fuzz.targets import asgi
from paths import ROOT
from served_names import names_service
from small_agents import Words

SECRETS = {"key": "sk-planted-key-0001", "bearer": "planted-bearer-0002", "header": "planted-header-0003", "query": "planted-query-0004", "token": "planted-token-of-the-server-0005"}


# --------------------------------------------------------------------------------------------------- planted secrets

def echoing(scripts, count):
    "A server that tells everything it was sent: in messages, thinking, calls and errors"
    told = " ".join(SECRETS.values())
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
    monkeypatch.setattr("lrat.agents.collect.open_index", lambda path: Words())
    caplog.set_level(logging.DEBUG)
    for header, key in ((f"headers: {secrets}", ""), ("key: PLANTED", "key")): # Both ways in which a server is told who asks
        with echoing(scripts, []) as server:
            url = f"record:{out}/replies{key}.jsonl:{server.url}" if way == "recorded" else server.url
            (out/"models.yaml").write_text("".join(f"{name}: {{endpoint: '{url}', {header}}}\n" for name in ("m", "judge", "answer-judge")))
            runs, models = str(out/f"runs{key}"), {"models": str(out/"models.yaml")}
            for call in (lambda: collect_command(str(questions), "index", runs, agent="m", budget="9M tokens", **models),
                         lambda: judge_command(runs, "llm", str(out/f"verdicts{key}.jsonl"), model="judge", max_error_rate=1, **models),
                         lambda: eval_command(runs, str(questions), out=str(out/f"scores{key}.jsonl"), answer_judge="model", model="answer-judge", **models),
                         lambda: print_checks(load_settings("smoke", agent__policies=["m"], agent__models=models["models"]))):
                try: call()
                except LratError as error: said += traceback.format_exception(error)
            assert len(server.requests) > 20
    write_page(out/"page.html", [TrajectoryFolder(runs, out/f"verdicts{key}.jsonl", questions=read_questions(questions))])
    agree_command(str(out/"verdicts.jsonl"), str(out/"verdicts.jsonl"), trajectories=runs, page=str(out/"agree.html"), resamples=10)
    files = {path.name for path in out.rglob("*") if path.is_file()}
    assert {"run_q1.json", "verdicts.jsonl", "scores.jsonl", "page.html", "agree.html"} <= files and ("replies.jsonl" in files) == (way == "recorded")
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
    for path in sorted((ROOT/"lrat").rglob("*.py")): # There is no second comparison
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare) and any(isinstance(op, (ast.Eq, ast.NotEq)) for op in node.ops):
                names = {one.id for one in (node.left, *node.comparators) if isinstance(one, ast.Name)} | {one.attr for one in (node.left, *node.comparators) if isinstance(one, ast.Attribute)}
                assert not {"token", "authorization"} & names, f"{path.name}:{node.lineno}"


# ------------------------------------------------------------------------------------------- what is loaded and run

def _calls():
    "File, line and dotted name of every call of the package, with the names of its keywords and their constants"
    for path in sorted((ROOT/"lrat").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call): yield path.relative_to(ROOT).as_posix(), node.lineno, ast.unparse(node.func), {k.arg: getattr(k.value, "value", k.value) for k in node.keywords}


def test_nothing_is_unpickled_or_run_that_a_file_names():
    bad, mapped = [], 0
    for path, line, name, given in _calls():
        last = name.rpartition(".")[2]
        if last == "load" and name.startswith(("np.", "numpy.")):
            mapped += 1
            if given.get("allow_pickle") is not False and given.get("allow_pickle", False): bad.append((path, line, name))
        if name in ("torch.load", "pickle.load", "pickle.loads", "marshal.loads", "joblib.load", "dill.load", "shelve.open", "os.system", "os.popen", "eval", "exec", "yaml.load", "yaml.unsafe_load", "yaml.full_load"): bad.append((path, line, name))
        if last in ("extractall", "extract", "unpack_archive"): bad.append((path, line, name))
        if given.get("shell") is True or given.get("weights_only") is False or given.get("trust_remote_code") is True: bad.append((path, line, name))
        if last == "compose" and "Loader" in given and ast.unparse(given["Loader"]) != "yaml.SafeLoader": bad.append((path, line, name))
        if last == "from_pretrained" and "AutoModel" in name and given.get("use_safetensors") is not True: bad.append((path, line, name))
    assert not bad and mapped > 2
    users = {path.relative_to(ROOT).as_posix() for path in (ROOT/"lrat").rglob("*.py") if re.search(r"^\s*(?:import|from) (?:pickle|marshal|shelve|joblib|dill)\b", path.read_text(encoding="utf-8"), re.MULTILINE)}
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


def test_an_archive_that_lies_about_sizes_and_a_bomb_end_soon(tmp_path):
    path = tmp_path/"log.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("samples/a.json", json.dumps(SAMPLE))
        with archive.open("samples/bomb.json", "w") as member:
            for _ in range(300): member.write(b" " * (1 << 20))
    assert path.stat().st_size < 400_000
    manifest = import_trajectories(path, tmp_path/"runs", "inspect")
    note = manifest["notes"]["a member of an archive that cannot be read"]
    assert manifest["runs"] == 1 and note["count"] == 1 and "expands to more than 300 times" in note["first"][0]
    data = bytearray(path.read_bytes())
    for at in (m.start() for m in re.finditer(rb"PK\x01\x02", bytes(data))): data[at + 24:at + 28] = struct.pack("<I", 99) # Its directory says 99 bytes of each
    path.write_bytes(data)
    with pytest.raises(InputError, match="nothing in it could be imported"): import_trajectories(path, tmp_path/"others", "inspect")


@pytest.mark.parametrize("how", ["gz", "zst"])
def test_a_compressed_bomb_is_one_line_in_bounded_time(tmp_path, how):
    path, piece = tmp_path/f"c.jsonl.{how}", bytes(8 << 20)
    if how == "gz": path.write_bytes(50 * gzip.compress(piece))
    else: path.write_bytes(50 * pytest.importorskip("pyarrow").compress(piece, codec="zstd", asbytes=True))
    with pytest.raises(InputError, match="expands to more than 300 times its size"): open_corpus(path)
    with pytest.raises(InputError, match="expands to more than 300 times its size"): import_trajectories(path, tmp_path/"runs", "chat")
