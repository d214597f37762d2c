"What trajectories cost: from live conversations, from other agents' files, with and without prices; never 0 for what is not known."
import json

import pytest

from lrat.agents.actions import Budget
from lrat.evaluation.browsecomp import iterate_browsecomp, write_browsecomp
from lrat.agents.chat import ChatPolicy
from lrat.agents.collect import collect
from lrat.evaluation.costs import costs_command, trajectory_costs
from lrat.evaluation.prices import read_prices
from lrat.judging.llm import LLMJudge
from lrat.judging.judge import judge_trajectories
from lrat.llm.client import ChatModel
from lrat.testing.server import completion, stand_in
from lrat.trajectories.trajectory import Trajectory, Step, read_trajectory, write_trajectory
from lrat.core.settings import InputError, LratError
from small_agents import QUESTIONS, Words, first_words
from paths import RECORDED

RUNS = RECORDED/"runs"


def run(query_id, policy=None, usage=None, status="completed", **more):
    metadata = {"model": policy or "small"} | ({"policy": policy} if policy else {}) | ({"usage": usage} if usage else {}) | more
    return Trajectory(query_id, "Who?", status, [Step("output_text", output="Ada")], metadata=metadata, tool_call_counts_all={"search": 4})


def used(read, written, calls): return {"prompt_tokens": read, "completion_tokens": written, "requests": calls}


def live(out, answer, questions=3):
    with stand_in(answer) as server:
        collect(QUESTIONS[:questions], Words(), ChatPolicy(ChatModel(server.url, "tiny", attempts=1, backoff=.01)), out, Budget(rounds=4, k=3), first_words)
        return len(server.requests)


def two_turns(request):
    if any(m["role"] == "tool" for m in request["messages"]): return completion("Town 00")
    return completion(None, [("search", {"query": "town"})])


def test_a_live_trajectory_says_what_it_used(tmp_path, capsys):
    pytest.importorskip("openai", reason="the agents extra is not installed")
    requests = live(tmp_path/"runs", two_turns)
    costs = trajectory_costs(iterate_browsecomp(tmp_path/"runs"))
    assert costs.known("model_calls").sum() == requests == 6 and costs.known("read_tokens").sum() == 10 * requests
    assert (costs.known("seconds") > 0).all() and len(costs.known("seconds")) == 3
    assert live(tmp_path/"runs", two_turns) == 0 # Finished trajectories are kept, although each took its own time
    costs_command([str(tmp_path/"runs")])
    assert "tokens written: 10.0 [10.0, 10.0] a question, n = 3; in all 30" in capsys.readouterr().out


def test_a_server_that_does_not_count_is_not_free(tmp_path, capsys):
    pytest.importorskip("openai", reason="the agents extra is not installed")
    live(tmp_path/"runs", lambda request: {k: v for k, v in two_turns(request).items() if k != "usage"})
    costs_command([str(tmp_path/"runs")])
    said = capsys.readouterr().out
    assert "tokens read: not known" in said and "model calls: 2.0" in said


def test_tokens_of_a_judge_are_kept_with_its_verdicts(tmp_path, capsys):
    pytest.importorskip("openai", reason="the agents extra is not installed")
    steps = [Step("tool_call", "search", {"query": "q"}, "DocID:7\n[A]\nb"), Step("tool_call", "get_document", {"docid": "7"}, "b"),
             Step("reasoning", output="It says so."), Step("output_text", output="Ada")]
    for n in range(3): write_trajectory(tmp_path/"runs", Trajectory(f"q{n}", "Who?", "completed", steps))
    with stand_in(lambda request: completion("yes")) as server:
        judge = LLMJudge(ChatModel(server.url, "small"))
        for _ in range(2): judge_trajectories(tmp_path/"runs", judge, tmp_path/"v.jsonl") # The second finds all
        assert len(server.requests) == 3
    (tmp_path/"p.tsv").write_text("small\t100\t200\tEUR\n")
    costs_command([str(tmp_path/"v.jsonl")], prices=str(tmp_path/"p.tsv"))
    assert "tokens read: 10.0 [10.0, 10.0] a verdict, n = 3; in all 30" in (said := capsys.readouterr().out)
    assert "in all 0.006" in said and "tool calls: none" in said


def test_usage_beside_the_metadata_is_read_in_all_forms(tmp_path):
    "As the client of the benchmark writes it, in a folder or encrypted in one file"
    row = {"metadata": {"model": "m"}, "query_id": "1", "tool_call_counts": {"search": 2}, "status": "completed", "retrieved_docids": [],
           "usage": {"input_tokens": 900, "input_tokens_cached": 0, "output_tokens": 80, "total_tokens": 980},
           "result": [{"type": "output_text", "tool_name": None, "arguments": None, "output": "Ada"}]}
    (tmp_path/"run_1.json").write_text(json.dumps(row))
    write_browsecomp([read_trajectory(tmp_path/"run_1.json")], tmp_path/"runs.jsonl")
    (tmp_path/"clear.jsonl").write_text(json.dumps(row) + "\n")
    for source in (tmp_path, tmp_path/"runs.jsonl", tmp_path/"clear.jsonl"):
        costs = trajectory_costs(iterate_browsecomp(source))
        assert [costs.known(name).tolist() for name in ("read_tokens", "written_tokens", "model_calls", "tool_calls")] == [[900], [80], [], [2]]


@pytest.mark.skipif(not RUNS.is_dir(), reason="the recorded trajectories are not here")
def test_recorded_trajectories_that_say_nothing_are_not_known(capsys):
    costs_command([str(RUNS)])
    calls = sum(sum(json.loads(path.read_text())["tool_call_counts_all"].values()) for path in RUNS.glob("run_*.json"))
    said = capsys.readouterr().out
    assert f"in all {calls}" in said and said.count("not known") == 4 and "5 trajectories of a model" in said


@pytest.mark.parametrize("usage", [{"prompt_tokens": "many", "completion_tokens": None}, {"prompt_tokens": -5, "completion_tokens": True},
                                   {"total_tokens": 90}, {}, {"prompt_tokens": 0, "completion_tokens": 0}])
def test_usage_that_is_not_a_count_is_not_known(usage):
    costs = trajectory_costs([run("1", usage=usage)])
    assert costs.unknown("read_tokens") == costs.unknown("written_tokens") == 1


def test_failed_trajectories_count_and_models_without_a_price_are_named(tmp_path, capsys):
    for one in (run("1", usage=used(1_000_000, 500_000, 9)), run("2", usage=used(1_000_000, 0, 1), status="failed: no reply"),
                run("3", usage=used(7, 7, 7), model="other"), run("4", "patient")): write_trajectory(tmp_path/"runs", one)
    (tmp_path/"p.tsv").write_text("small\t2\t8\tUSD\n")
    costs_command([str(tmp_path/"runs")], prices=str(tmp_path/"p.tsv"), out=str(tmp_path/"a.jsonl"))
    said = capsys.readouterr().out
    assert "1 trajectories failed" in said and "without a price: other (1 times)" in said and "in all 6.00 (2 of 3 not known)" in said
    rows = [json.loads(line) for line in open(tmp_path/"a.jsonl")]
    assert [row["money"] for row in rows] == [6., None, None, None] # What a call wrote that was cut off, nobody knows
    assert rows[3]["kind"] == "script" and rows[3]["read_tokens"] is None and rows[3]["tool_calls"] == 4
    costs_command([str(tmp_path/"runs")], prices=str(tmp_path/"p.tsv"), out=str(tmp_path/"b.jsonl"))
    assert (tmp_path/"a.jsonl").read_bytes() == (tmp_path/"b.jsonl").read_bytes()


@pytest.mark.parametrize("text,says", [
    ("small 2 8 USD\n", "p.tsv:1: has 1 columns"), ("small\t2\t\tUSD\n", "p.tsv:1: has 3 columns"), ("a\t1\t1\tUSD\nb\t1\tfree\tUSD\n", "p.tsv:2: the price 'free'"),
    ("a\t-1\t1\tUSD\n", "the price '-1'"), ("a\tnan\t1\tUSD\n", "the price 'nan'"), ("a\t1\t1\tUSD\na\t1\t1\tUSD\n", "p.tsv:2: 'a' has a price"),
    ("a\t1\t1\tUSD\nb\t1\t1\tEUR\n", "p.tsv:2: is in EUR"), ("\n\n", "p.tsv: holds no price")])
def test_a_bad_price_table_is_one_line(tmp_path, text, says):
    (tmp_path/"p.tsv").write_text(text)
    with pytest.raises(InputError, match=says.replace("(", "\\(")) as error: read_prices(tmp_path/"p.tsv")
    assert "\n" not in str(error.value)


def test_paths_without_costs_are_one_line(tmp_path):
    (tmp_path/"empty").mkdir()
    (tmp_path/"r.json").write_text('{"rows": []}')
    (tmp_path/"broken").mkdir()
    (tmp_path/"broken"/"run_1.json").write_text('{"query_id": ')
    for name, says in (("none", "there is no such file"), ("empty", "holds no trajectory files"), ("r.json", "has no field 'inputs'"), ("broken", "run_1.json:1: is not valid JSON")):
        with pytest.raises(LratError, match=says): costs_command([str(tmp_path/name)])
