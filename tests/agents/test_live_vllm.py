"Runs are collected, judged and mined with a real model behind a real server. What the model says is worth nothing; the files are right"
import dataclasses, json
from collections import Counter
import pytest
from live_models import NAME, save_unpacked, serving, vllm_python
from lrat.agents.actions import Budget
from lrat.agents.registry import AGENTS
from lrat.data.assets import fetch
from lrat.judging.judge import JudgedBrowse, judge_trajectories
from lrat.agents.chat import ChatPolicy
from lrat.agents.protocols import CHAT, TEXT
from lrat.agents.collect import collect, collect_command
from lrat.data.corpus import open_corpus
from lrat.core.files import read_jsonl
from lrat.retrieval.index import index_command, open_index
from lrat.judging.llm import LLMJudge
from lrat.mining.mine import mine_to_file
from lrat.llm.client import ChatModel
from lrat.data.questions import read_questions
from lrat.trajectories.trajectory import iterate_trajectories
from lrat.core.settings import LratError, project_root

pytestmark = [pytest.mark.slow, pytest.mark.live]

TOWNS = ["Bergen", "Lisbon", "Kyoto", "Quito", "Tunis", "Riga", "Cusco", "Oslo"]
KINDS = ["a rainy harbour", "a hilly capital", "an old seat of emperors", "a high capital", "a port near ruins", "a city of spires",
         "a city of stone walls", "a capital on a fjord"]
SAMPLING = {"temperature": .7, "top_p": .95, "presence_penalty": 1.1, "seed": 2025}

def strict(tools):
    "vLLM holds the arguments of such tools to their schema"
    return {"tools": [{"type": "function", "function": {**tool, "strict": True}} for tool in tools]}

# A model of this size calls nothing by itself, so it is made to, until its calls are spent; in text a pattern makes it think as well
MADE = {"tool_choice": "required"}
CALL = (r'<think>[A-Za-z ,.]{20,100}</think><tool_call>\{"name": "(search", "arguments": \{"query": "[A-Za-z ]{4,40}"|'
        r'get_document", "arguments": \{"docid": "[0-7]")\}\}</tool_call>')
ANSWER = f"<think>[A-Za-z ,.]{{20,100}}</think><answer>({'|'.join(TOWNS)})</answer>"
FORCED = {"chat": dataclasses.replace(AGENTS["chat"].chat, protocol=dataclasses.replace(CHAT, offer=strict), sent=MADE),
          "responses": dataclasses.replace(AGENTS["gpt-oss"].chat, sent=MADE),
          "text": dataclasses.replace(AGENTS["tongyi"].chat, sent={"structured_outputs": {"regex": CALL}},
                                      protocol=dataclasses.replace(TEXT, forbid={"structured_outputs": {"regex": ANSWER}}))}

@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "A folder with a corpus, its index and questions"
    folder = tmp_path_factory.mktemp("live")
    rows = [{"docid": str(n), "text": f"{town}\n{town} is {kind}. It has {n + 3} bridges."} for n, (town, kind) in enumerate(zip(TOWNS, KINDS))]
    (folder/"corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder/"questions.tsv").write_text("".join(f"q{n}\tWhich town is {kind}?\t{town}\n" for n, (town, kind) in enumerate(zip(TOWNS[:6], KINDS))))
    index_command(str(folder/"corpus.jsonl"), out=str(folder/"index"))
    return folder

@pytest.fixture(scope="module")
def server(place):
    "The URL of a running vLLM"
    python = vllm_python(project_root())
    if python is None: pytest.skip("no vLLM: set LRAT_VLLM_PYTHON to the python of an environment that holds it, or make .venv-vllm")
    pytest.importorskip("gguf", reason="gguf is not installed; it reads the model's file")
    save_unpacked(fetch(NAME), place/"model")
    with serving(python, place/"model", place/"vllm.log") as (url, seconds):
        print(f"\nvLLM started in {seconds:.0f} s")
        yield url

def policy_for(url, agent): return ChatPolicy(ChatModel(url, NAME, SAMPLING), concurrency=4, agent=agent, turn_tokens=(160, 128))

@pytest.mark.parametrize("protocol", FORCED)
def test_runs_are_collected_judged_and_mined(place, server, protocol):
    out, asked, agent = place/protocol, list(read_questions(place/"questions.tsv")), FORCED[protocol]
    done = collect(asked, open_index(place/"index"), policy_for(server, agent), out, Budget(rounds=3, k=8))
    runs = list(iterate_trajectories(out))
    print(protocol, {name: done[name] for name in ("completed", "budget", "stopped", "failed")}, done["failures"])
    assert len(runs) == len(asked) == done["completed"] + done["budget"] + done["stopped"] + done["failed"]
    assert done["failed"] == sum(run.status.startswith("failed: ") for run in runs) < len(runs)
    tried, usage = Counter(), Counter()
    for run in runs:
        steps = [step for step in run.steps if step.type == "tool_call"]
        assert sum(run.tool_call_counts_all.values()) == len(steps) <= 3 and run.metadata["usage"]["requests"] > 0
        assert all(search.docids or "Error" in run.steps[search.step].output for search in run.searches())
        assert len(run.searches()) >= run.tool_call_counts["search"] and len(run.browses()) >= run.tool_call_counts["get_document"]
        assert run.metadata["temperature"] == .7 and run.metadata["protocol"] == protocol
        assert agent.sent.items() <= run.metadata.items() and ("seed" in run.metadata) == (protocol != "responses")
        if run.status.startswith("failed"): assert run.final_answer is None
        tried.update(run.tool_call_counts_all)
        usage.update(run.metadata["usage"])
    print(protocol, dict(tried), dict(usage))
    assert tried["search"] > 0

    choices = {"temperature": 0, "max_tokens": 8, "structured_outputs": {"choice": ["yes", "no", "undecided"]}}
    verdicts = judge_trajectories(out, LLMJudge(ChatModel(server, NAME, choices)), place/f"{protocol}.jsonl", max_error_rate=1)
    rows = [row for _, row in read_jsonl(place/f"{protocol}.jsonl")]
    assert len(rows) == sum(verdicts[name] for name in ("yes", "no", "undecided", "failed")) and verdicts["failed"] == 0
    opened = {(run.name, browse.step) for run in runs for browse in run.browses()}
    assert {(row["run"], row["step"]) for row in rows} == opened
    print(protocol, verdicts)
    if protocol == "text": assert all(browse.reasoning for run in runs if not run.status.startswith("failed") for browse in run.browses())

    for preset in ("recommended", "naive"):
        pairs = place/f"{protocol}-{preset}.jsonl"
        files = [out], open_corpus(place/"corpus.jsonl"), [place/f"{protocol}.jsonl"]
        try: manifest = mine_to_file(*files, preset, "all-MiniLM-L6-v2", pairs, asked, correct_only=False)
        except LratError as error: # Nothing to mine is an error, and says why
            print(protocol, error)
            assert "\n" not in str(error) and not pairs.exists()
            if preset == "naive": assert not any(browse.search for run in runs if not run.status.startswith("failed") for browse in run.browses())
        else:
            print(protocol, preset, {name: manifest[name] for name in ("runs_read", "runs_mined", "pairs", "skipped")})
            assert manifest["runs_read"] == len(runs) and manifest["pairs"] == sum(1 for _ in read_jsonl(pairs)) > 0

def test_the_command_and_its_second_call(place, server):
    "Left to itself the model answers at once, or fails; a second call asks only the failed questions again"
    def run():
        try: collect_command(str(place/"questions.tsv"), str(place/"index"), str(place/"free"), "tongyi", server, NAME, rounds=3)
        except LratError as error: return str(error)
    first = run()
    statuses = [run.status for run in iterate_trajectories(place/"free")]
    print("tongyi", Counter(statuses), first)
    assert len(statuses) == 6 and bool(first) == any(status.startswith("failed") for status in statuses)
    before = {path: path.stat().st_mtime_ns for path in (place/"free").glob("run_*.json")}
    run()
    kept = [path for path, status in zip(sorted(before), statuses) if not status.startswith("failed")]
    assert all(path.stat().st_mtime_ns == before[path] for path in kept)

@pytest.mark.parametrize("form,used", [("schema", "schema"), ("choice", "choice"), ("auto", "schema")])
def test_a_judge_that_is_held_to_a_form_is_always_read(place, server, form, used):
    judge = LLMJudge(ChatModel(server, NAME, {"temperature": 0, "max_tokens": 64}), reply_format=form)
    decision = judge.decide(JudgedBrowse("run_q0", 3, "0", "Which town is a rainy harbour?", "rainy harbour", "The page says that it rains there: it fits."))
    print(form, decision.verdict, decision.record)
    assert decision.error == "" and decision.record["form"] == used and decision.usage["completion_tokens"] > 0

def test_a_model_that_is_not_served_stops_at_once(place, server):
    with pytest.raises(LratError, match="check --model"):
        collect_command(str(place/"questions.tsv"), str(place/"index"), str(place/"absent"), "chat", server, "absent")
