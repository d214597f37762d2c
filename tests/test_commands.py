"Every stage is a command: it says what it takes, and a user's mistake is one line and a status that is not zero."
import os, re, subprocess, sys
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = ConfigParser(delimiters=["="])
SETTINGS.read(ROOT/"settings.ini")
COMMANDS = sorted(line.split("=")[0] for line in SETTINGS["DEFAULT"]["console_scripts"].split())
PROMISED = "lrat fetch lrat index lrat search lrat collect lrat judge lrat mine lrat train lrat eval lrat compare lrat stats lrat merge lrat import lrat serve lrat run".split()


def run(*words, cwd=None):
    program = Path(sys.executable).parent/words[0]
    return subprocess.run([program, *map(str, words[1:])], capture_output=True, text=True, cwd=cwd, timeout=300,
                          env=os.environ | {"COLUMNS": "120"})


def test_the_promised_commands_exist(): assert set(PROMISED) <= set(COMMANDS)


def test_every_command_of_the_library_is_installed():
    defined = {name for path in (ROOT/"lrat").glob("*.py") for name in re.findall(r"^def (lrat_\w+)", path.read_text(), re.MULTILINE)}
    assert defined == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command):
    done = run(command, "--help")
    assert done.returncode == 0 and done.stdout.startswith("usage: " + command)


@pytest.mark.parametrize("words,says", [
    (("lrat run", "--profile", "huge"), "choose one of: smoke, mini, paper"),
    (("lrat run", "99"), "names 0 notebooks"),
    (("lrat fetch", "none-such"), "none-such"),
    (("lrat index", "none.jsonl", "--kind", "bm25", "--out", "i"), "none.jsonl"),
    (("lrat search", "no-index", "words"), "no-index"),
    (("lrat collect", "none.tsv", "--index", "no-index", "--agent", "patient", "--out", "runs"), "none.tsv"),
    (("lrat judge", "no-runs", "--judge", "rule", "--out", "v.jsonl"), "no-runs"),
    (("lrat mine", "no-runs", "--corpus", "none.jsonl", "--verdicts", "none", "--preset", "recommended", "--tokenizer",
      "all-MiniLM-L6-v2", "--out", "p.jsonl"), "none.jsonl"),
    (("lrat train", "none.jsonl", "--model", "all-MiniLM-L6-v2", "--out", "m"), "none.jsonl"),
    (("lrat eval", "no-runs", "--questions", "none.tsv", "--out", "e.json"), "none.tsv"),
    (("lrat compare", "none-a", "none-b"), "none-a"),
    (("lrat costs", "no-runs"), "no-runs"),
    (("lrat run", "--pairs", "theirs"), "choose mine or hub"),
])
def test_a_mistake_is_one_line(words, says, tmp_path):
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(words[0] + ": ") and says in last
    assert "Traceback" not in done.stderr


def test_a_reader_that_has_had_enough_is_no_traceback():
    program = Path(sys.executable).parent/"lrat run"
    with subprocess.Popen([program, "--profile", "paper", "--plan"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert not process.stderr.read()
    assert process.returncode == 1
