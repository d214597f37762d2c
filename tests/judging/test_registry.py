"Judges are named in one registry, which the command, its help and its errors read; another package adds one by an entry point."
import re, subprocess, sys
from pathlib import Path

import pytest

from lrat.core.settings import LratError
from lrat.judging.command import JUDGES, judge_names, make_judge
from lrat.testing.package import write_package
from small_trajectories import rows, write_runs

MODULE = """
from dataclasses import dataclass
from lrat.judging.command import JudgeKind
from lrat.judging.judge import Decision

@dataclass
class LongNotes:
    words:int
    concurrency:int=1
    @property
    def name(self): return f"long-notes {self.words}"
    def decide(self, browse): return Decision("yes" if len(browse.reasoning.split()) >= self.words else "no")

LONG_NOTES = JudgeKind("long-notes:WORDS", "yes to notes of so many words", lambda options: LongNotes(int(options.argument)))
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    "Another package, as pip would install it"
    site = write_package(tmp_path/"site", "long_notes", MODULE, {"lrat.judges": {
        "long-notes": "long_notes:LONG_NOTES", "broken": "no_such_module:JUDGE", "rule": "long_notes:LONG_NOTES"}})
    monkeypatch.syspath_prepend(str(site))
    return site


def lrat_judge(*words, path=""):
    import os
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(path), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run([Path(sys.executable).parent/"lrat", "judge", *map(str, words)], capture_output=True, text=True, env=environment)


def test_another_package_adds_a_judge(package, tmp_path):
    runs = write_runs(tmp_path/"runs", 3)
    done = lrat_judge(runs, "--judge", "long-notes:2", "--out", tmp_path/"v.jsonl", path=package)
    assert done.returncode == 0, done.stderr
    assert [(row["verdict"], row["judge"]) for row in rows(tmp_path/"v.jsonl")] == [("yes", "long-notes 2")] * 3
    assert make_judge("long-notes:3").decide.__self__.words == 3


def test_help_and_errors_name_every_judge(package):
    spoken = re.sub(r"\s+", "", lrat_judge("--help", path=package).stdout)
    for name in (*(kind.usage for kind in JUDGES.values()), "long-notes"): assert name in spoken
    with pytest.raises(LratError) as caught: make_judge("strict")
    assert str(caught.value) == f"unknown judge 'strict'; choose one of: {', '.join(judge_names())}"
    assert judge_names() == ["rule", "llm", "accept-all", "labels:FILE", "ensemble:FILE,FILE", "noisy:MISSES,ACCEPTS", "broken", "long-notes"]


def test_a_built_in_name_cannot_be_taken_and_a_broken_package_is_named(package):
    assert make_judge("rule").name == "rule"
    with pytest.raises(LratError, match="the judge 'broken' cannot be loaded from no_such_module:JUDGE .*remove the package"): make_judge("broken")
    with pytest.raises(LratError, match="write long-notes:WORDS"): make_judge("long-notes")


def test_what_is_required_is_required_by_the_parser(tmp_path):
    done = lrat_judge(tmp_path)
    assert done.returncode == 2 and "the following arguments are required: --out" in done.stderr
    assert "trajectories" in lrat_judge().stderr.splitlines()[-1]
