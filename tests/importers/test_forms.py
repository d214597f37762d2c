"Other agents' logs: each form gives its searches, opened documents and reasoning, and a part that nobody knows is reported."
import gzip, json, re, subprocess
from pathlib import Path

import pytest
from small_logs import chat_messages, small, views

from lrat.core.files import write_jsonl
from lrat.core.settings import LratError
from lrat.importers.command import import_command, import_trajectories
from lrat.importers.formats import recognise
from lrat.importers.tools import read_tools
from lrat.trajectories.trajectory import iterate_trajectories
from paths import RECORDED

CASES = RECORDED.parent/"cases"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not beside this checkout")
SEARCH, OPENED = ("oldest university Scandinavia", ("7", "9")), ["9"]


def imported(source, out, form=None, tools=None):
    "The trajectories of a log and its notes; the form is recognised where it is not named"
    manifest = import_trajectories(source, out, form, read_tools(tools))
    return list(iterate_trajectories(out)), manifest["notes"]


def short(run): return [(s.query, s.docids) for s in run.searches()], [b.docid for b in run.browses()], run.final_answer


# Compressed files

@needs_cases
def test_case_23_compressed(tmp_path):
    (run,), notes = imported(CASES/"logs_23_compressed"/"log.jsonl.gz", tmp_path)
    assert len(run.searches()) == len(run.browses()) == 2 and not notes


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_compressed_logs(suffix, tmp_path):
    plain = json.dumps({"id": "q1", "messages": chat_messages(small())}, indent=1).encode()
    if suffix == ".gz": packed = gzip.compress(plain)
    else: packed = pytest.importorskip("pyarrow").compress(plain, "zstd", asbytes=True)
    (tmp_path/"logs").mkdir()
    (tmp_path/"logs"/f"a.json{suffix}").write_bytes(packed)
    (tmp_path/"logs"/f"b.json{suffix}").write_bytes(packed[:-12])
    (run,), notes = imported(tmp_path/"logs", tmp_path/"runs")
    assert views(run) == views(small()) and "is compressed, but cannot be read to its end" in notes["a file that cannot be read"]["first"][0]


# Trajectory files under any name

@needs_cases
def test_case_18_files_by_other_names(tmp_path, capsys):
    case = CASES/"logs_18_run_files_by_other_names"
    for source in (case/"refdir", case/"refdir"/"0.json"):
        (run,), notes = imported(source, tmp_path/source.stem)
        assert short(run) == ([("oldest university", ("7", "9"))], ["9"], "Uppsala") and run.browses()[0].reasoning == "1477 settles it." and not notes
    for n, (source, form) in enumerate(((case/"bcp"/"run_20260317T174221Z_759.json", "browsecomp"), (case/"bcp", "runs"), (case/"bcp", None))):
        with pytest.raises(LratError, match="none of the 1 trajectories holds a tool call, only what the agent said"): imported(source, tmp_path/f"bcp{n}", form)
        run, = iterate_trajectories(tmp_path/f"bcp{n}")
        assert run.final_answer.startswith("Explanation: ...\nExact Answer: Uppsala") and run.retrieved_docids == ["7", "9"]


def test_a_folder_of_trajectories_beside_other_files(tmp_path):
    row = {"query_id": "1", "query": "Which?", "status": "completed", "result": [
        {"type": "tool_call", "tool_name": "search", "arguments": '{"query": "owl"}', "output": "DocID:7"}, {"type": "output_text", "output": "Owl"}]}
    (tmp_path/"log"/"deep").mkdir(parents=True)
    (tmp_path/"log"/"0.json").write_text(json.dumps(row, indent=1))
    (tmp_path/"log"/"deep"/"all.json").write_text(json.dumps([row | {"query_id": "2"}, row | {"query_id": "3", "result": [{"type": "song"}]}]))
    (tmp_path/"log"/"config.json").write_text('{"k": 5}')
    runs, notes = imported(tmp_path/"log", tmp_path/"runs", "runs")
    assert [run.query_id for run in runs] == ["1", "2"]
    assert list(notes) == ["a trajectory that cannot be read", "a value that is not a trajectory, left out"]
    assert notes["a trajectory that cannot be read"]["first"][0].startswith("deep/all.json:1: result[0]: type is 'song'")
