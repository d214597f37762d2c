"Every stage is a command: it says what it takes, and a user's mistake is one line and a status that is not zero."
import importlib, inspect, os, subprocess, sys
from configparser import ConfigParser
from pathlib import Path

import pytest
from lrat.core.cli import COMMANDS, command_parser
from paths import ROOT

LRAT = Path(sys.executable).parent/"lrat"
PROMISED = "fetch index search serve collect import judge agree mine merge stats train average eval compare run recommend costs bench".split()


def run(words, cwd=None):
    "Run `lrat` with words, given as one text or as a list"
    words = words.split() if isinstance(words, str) else words
    return subprocess.run([LRAT, *map(str, words)], capture_output=True, text=True, cwd=cwd, timeout=300, env=os.environ | {"COLUMNS": "120"})


def function_of(command):
    module, _, name = command.target.partition(":")
    return getattr(importlib.import_module(module), name)


def test_the_promised_commands_exist_in_the_order_of_the_method():
    names = [command.name for command in COMMANDS]
    assert [name for name in names if name in PROMISED] == PROMISED and len(set(names)) == len(names)


def test_one_program_is_installed():
    settings = ConfigParser(delimiters=["="])
    settings.read(ROOT/"settings.ini")
    assert settings["DEFAULT"]["console_scripts"].split() == ["lrat=lrat.core.cli:main"]


def test_every_command_function_of_the_library_is_a_command():
    targets = {command.target for command in COMMANDS}
    for path in (ROOT/"lrat").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for line in path.read_text().splitlines():
            if line.startswith("def ") and line.partition("(")[0].endswith("_command"):
                assert f"{module}:{line[4:].partition('(')[0]}" in targets


def test_the_overview_names_each_command_with_its_line():
    done = run("--help")
    assert done.returncode == 0
    for command in COMMANDS: assert f"  {command.name} " in done.stdout and command.help in done.stdout


def test_the_overview_loads_nothing_heavy():
    program = "import sys; from lrat.core.cli import main; main(['--help']); print([m for m in ('torch', 'pandas', 'transformers', 'lrat.training') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help(command):
    "Each help shows its options, its defaults and an example whose options exist"
    text = " ".join(command_parser(function_of(command), f"lrat {command.name}", command.example).format_help().split())
    assert text.startswith(f"usage: lrat {command.name}") and f"example: {command.example}" in text
    known = set(inspect.signature(function_of(command)).parameters)
    options = [word[2:].partition("=")[0] for word in command.example.split() if word.startswith("--")]
    assert set(options) <= known and all(not option.startswith("no_") for option in options)


@pytest.mark.parametrize("words,says", [
    ("run --profile huge", "choose one of: smoke, mini, paper"),
    ("run 99", "names 0 notebooks"),
    ("fetch none-such", "none-such"),
    ("index none.jsonl --kind bm25 --out i", "none.jsonl"),
    ("search no-index words", "no-index"),
    ("collect none.tsv --index no-index --agent patient --out runs", "none.tsv"),
    ("judge no-runs --judge rule --out v.jsonl", "no-runs"),
    ("mine no-runs --corpus none.jsonl --verdicts none --preset recommended --tokenizer all-MiniLM-L6-v2 --out p.jsonl", "none.jsonl"),
    ("train none.jsonl --model all-MiniLM-L6-v2 --out m", "none.jsonl"),
    ("eval no-runs --questions none.tsv --out e.json", "none.tsv"),
    ("compare none-a none-b", "none-a"),
    ("costs no-runs", "no-runs"),
    ("run --pairs theirs", "choose mine or hub"),
    ("minne", "did you mean 'mine'"),
])
def test_a_mistake_is_one_line(words, says, tmp_path):
    done = run(words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"lrat {words.split()[0]}: ") and says in last
    assert "Traceback" not in done.stderr


def test_hyphens_and_underscores_are_the_same(tmp_path):
    done = run("judge no-runs --max-error-rate 0.5 --out v.jsonl", cwd=tmp_path)
    assert done.returncode == 2 and "no-runs" in done.stderr


def test_a_closed_pipe_is_no_traceback():
    with subprocess.Popen([LRAT, "run", "--profile", "paper", "--plan"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert not process.stderr.read()
    assert process.returncode == 1
