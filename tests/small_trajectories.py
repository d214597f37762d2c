"Trajectories of one search, one browse and one note each, for tests of judges"
import json

from lrat.trajectories.trajectory import Step, Trajectory, write_trajectory


def write_runs(folder, count):
    "Write `run_00.json` and so on; the note in number n is `thought n`"
    for n in range(count):
        write_trajectory(folder, Trajectory(f"{n:02}", "?", "completed", [
            Step("tool_call", "search", '{"query": "x"}', "DocID:7\n[T]\ntext"), Step("tool_call", "get_document", '{"docid": "7"}', "text"),
            Step("reasoning", output=f"thought {n}"), Step("output_text", output="T")]))
    return folder


def rows(path): return [json.loads(line) for line in open(path)]
