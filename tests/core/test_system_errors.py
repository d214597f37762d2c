"What the system refuses is one line and status 2, whoever raised it; a bug keeps its traceback."
import errno, os, sqlite3, subprocess, sys

import pytest
import lrat.core.cli
from lrat.core.cli import main
from lrat.core.files import open_atomic, read_text
from lrat.core.settings import InputError, LratError
from lrat.core.system_errors import explain


def system(number, path=None): return OSError(number, os.strerror(number), path)


def raised(error):
    "As a library wraps the system's error: raised while that was handled"
    try:
        try: raise system(errno.ENOSPC, "model.safetensors")
        except OSError: raise error
    except Exception as found: return found


PROBLEMS = {
    "full disk": (system(errno.ENOSPC, "v.jsonl"), "v.jsonl: No space left on device; make room"),
    "read-only disk": (system(errno.EROFS, "cache"), "cache: Read-only file system; choose a path on another disk; LRAT_CACHE"),
    "not allowed": (system(errno.EACCES, "out"), "out: Permission denied; choose another path"),
    "missing": (system(errno.ENOENT, "none"), "none: there is no such file or folder; check the path"),
    "long name": (system(errno.ENAMETOOLONG, "x" * 9), "File name too long; choose a shorter name"),
    "port taken": (system(errno.EADDRINUSE), "Address already in use; choose another --port"),
    "no answer": (system(errno.ECONNREFUSED), "Connection refused; check the address"),
    "wrapped": (raised(RuntimeError("could not save")), "model.safetensors: No space left on device; make room"),
    "group": (ExceptionGroup("tasks", [ValueError("x"), system(errno.EMFILE)]), "Too many open files; allow more open files"),
    "rust": (RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), "No space left on device; make room"),
    "java": (Exception("JVM exception occurred: No space left on device java.io.IOException"), "No space left on device; make room"),
    "torch": (RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"), "No space left on device; make room"),
    "sqlite": (sqlite3.OperationalError("database or disk is full"), "No space left on device; make room"),
    "port": (OverflowError("bind(): port must be 0-65535."), "a port is a number from 0 to 65535; choose another --port"),
    "terminal": (UnicodeEncodeError("ascii", "1  北京", 3, 5, "ordinal not in range(128)"), "the output cannot show '北京'.*PYTHONIOENCODING=utf-8"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_command_says_it_in_one_line(name, monkeypatch, capsys):
    error, says = PROBLEMS[name]
    def run(*_): raise error
    monkeypatch.setattr(lrat.core.cli, "_run", run)
    with pytest.raises(SystemExit) as ended: main(["index", "c.jsonl"])
    said = capsys.readouterr().err
    assert ended.value.code == 2 and said.startswith("lrat index: ") and said.count("\n") == 1
    with pytest.raises(AssertionError, match=says): raise AssertionError(said)


def test_a_bug_keeps_its_traceback(monkeypatch):
    def run(*_):
        try: open("none")
        except OSError: return {}["docid"]
    monkeypatch.setattr(lrat.core.cli, "_run", run)
    with pytest.raises(KeyError): main(["index", "c.jsonl"])
    assert explain(AssertionError("x")) is None and explain(ValueError("No such document")) is None


@pytest.mark.parametrize("words", [["index", "c.jsonl", "--kind", "bm25", "--out", "afile"], ["index", "c.jsonl", "--kind", "bm25", "--out", "afile/x"],
                                   ["index", "afile/c.jsonl", "--kind", "bm25", "--out", "i"]])
def test_a_file_in_the_place_of_a_folder(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path/"afile").touch()
    (tmp_path/"c.jsonl").write_text('{"docid": "1", "text": "lund"}\n')
    with pytest.raises(SystemExit) as ended: main(words)
    last = capsys.readouterr().err.splitlines()[-1]
    assert ended.value.code == 2 and last.startswith("lrat index: ") and "afile" in last


def test_writing_where_nothing_can_be_written(tmp_path):
    (tmp_path/"afile").touch()
    def write(path):
        with open_atomic(path): pass
    with pytest.raises(LratError, match="v.jsonl: could not be written .*afile: is a file, but a folder is needed there; choose another path"): write(tmp_path/"afile"/"v.jsonl")
    with pytest.raises(LratError, match="could not be written .*choose a shorter name"): write(tmp_path/("x" * 300))
    write(tmp_path/("x" * 250)) # The temporary name is not longer than the name
    with pytest.raises(InputError, match="afile: is a file, but a folder is needed there"): read_text(tmp_path/"afile"/"c.jsonl")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["afile", "x" * 250]


PROGRAM = """
import resource, signal, sys
import lrat.core.cli as cli
def run(*_):
    import numpy
    from safetensors.numpy import save_file
    save_file({"w": numpy.zeros(100_000)}, sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
cli._run = run
cli.main(["train", "pairs.jsonl"])
"""


def test_a_library_that_cannot_write(tmp_path):
    "A limit on the size of files is what a full disk is to the library that saves models"
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path/"model.safetensors")], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("lrat train: ") and "File too large" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("program, output, status, says", [
    ("cli.overview = lambda: '北京'; cli.main(['--help'])", "ascii", 2, r"the output cannot show '\u5317\u4eac', since its encoding is ascii"),
    ("cli.main(['--help'])", "full", 2, "No space left on device"),
    ("cli.main(['--help'])", "closed", 1, "")])
def test_output_that_nobody_can_take(program, output, status, says):
    if output == "full" and not os.path.exists("/dev/full"): pytest.skip("this system has no /dev/full")
    out = open("/dev/full", "w") if output == "full" else subprocess.PIPE
    environment = os.environ | ({"PYTHONIOENCODING": "ascii"} if output == "ascii" else {})
    with subprocess.Popen([sys.executable, "-c", f"import lrat.core.cli as cli; {program}"], stdout=out, stderr=subprocess.PIPE, text=True, env=environment) as process:
        if output == "closed": process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == status and said.count("\n") == bool(says) and says in said
