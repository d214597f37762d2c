"The same bytes from one process, two and a Ray cluster; shards finished before a kill are not mined again; bad input is one line."
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import pytest

from lrat.mining import mine as module
from lrat.mining.pairs import mine_trajectory
from lrat.data.corpus import Document, open_corpus, write_corpus
from lrat.core.files import write_jsonl
from lrat.mining.mine import mine_to_file
from lrat.mining.query_context import with_context
from lrat.mining.rules import mining_rules
from lrat.trajectories.trajectory import Trajectory, Step, write_trajectory
from lrat.core.settings import InputError, LratError
from paths import ROOT, TESTS

WRITTEN = ("pairs.jsonl", "pairs.jsonl.provenance.jsonl", "pairs.jsonl.manifest.json")


def listed(*docids): return "\n\n".join(f"DocID:{d}\n[T{d}]\nwords" for d in docids)


def one_run(n, docids=60):
    "Two searches and three browses, one of them useless"
    first, second = [(7 * n + k) % docids for k in range(6)], [(7 * n + k) % docids for k in range(4, 10)]
    steps = []
    for query, ranked, opened in ((f"first {n}", first, first[1:3]), (f"second {n}", second, second[2:3])):
        steps.append(Step("tool_call", "search", {"query": query}, listed(*ranked)))
        for docid in opened:
            steps += [Step("tool_call", "get_document", {"docid": str(docid)}, "text"), Step("reasoning", output="note " * (1 + (n * docid) % 17))]
    return Trajectory(f"{n:04}", "?", "completed", [*steps, Step("output_text", output="T")])


def make_world(folder, runs):
    write_corpus(folder/"corpus.jsonl", [Document(str(n), f"T{n}\nwords of document {n}") for n in range(60)])
    rows = []
    for n in range(runs):
        run = one_run(n)
        path = write_trajectory(folder/"runs", run)
        rows += [{"run": path.stem, "step": b.step, "docid": b.docid, "verdict": ("yes", "yes", "no")[i], "judge": "test"} for i, b in enumerate(run.browses())]
    write_jsonl(folder/"verdicts.jsonl", rows)
    return folder


@pytest.fixture
def world(tmp_path): return make_world(tmp_path, 12)


def mine(world, out=".", preset="reference", **more):
    (world/out).mkdir(exist_ok=True)
    manifest = mine_to_file([world/"runs"], open_corpus(world/"corpus.jsonl"), [world/"verdicts.jsonl"], preset, "all-MiniLM-L6-v2",
                           world/out/"pairs.jsonl", **more)
    return manifest, [(world/out/name).read_bytes() for name in WRITTEN]


def pairs_of(world): return [json.loads(line) for line in open(world/"pairs.jsonl")]


# Scale

def test_two_processes_and_any_size_of_shard_make_the_same_bytes(world, monkeypatch):
    _, one = mine(world, "one")
    monkeypatch.setattr(module, "SHARD_SIZE", 2)
    assert mine(world, "small")[1] == one
    assert mine(world, "two", processes=2)[1] == one


def test_finished_shards_are_not_mined_again(world, monkeypatch):
    _, one = mine(world, "one")
    monkeypatch.setattr(module, "SHARD_SIZE", 2)
    made = []
    def stop_after_three(miner, shard, work=module.mine_shard):
        if len(made) == 3: raise KeyboardInterrupt
        made.append(shard.number)
        return work(miner, shard)
    monkeypatch.setattr(module, "mine_shard", stop_after_three)
    with pytest.raises(KeyboardInterrupt): mine(world)
    assert not (world/"pairs.jsonl").exists()
    made.clear()
    with pytest.raises(KeyboardInterrupt): mine(world, preset="recommended")  # Other rules: no finished shard can be used
    assert made == [0, 1, 2]
    made.clear()
    monkeypatch.setattr(module, "mine_shard", lambda miner, shard, work=stop_after_three.__defaults__[0]: (made.append(shard.number), work(miner, shard))[1])
    mine(world, preset="recommended")
    assert made == [3, 4, 5]
    assert mine(world)[1] == one and not list(world.glob(".pairs*"))


def test_a_fixed_trajectory_costs_its_own_shard(world, monkeypatch):
    monkeypatch.setattr(module, "SHARD_SIZE", 2)
    path = world/"runs"/"run_0009.json"
    whole = path.read_text()
    path.write_text(whole[:400])
    with pytest.raises(InputError, match=r"run_0009.json:\d+: is no(t valid)? JSON"): mine(world)
    finished = {p.name: p.stat().st_mtime_ns for p in (world/".pairs.jsonl.shards").glob("??????.json")}
    assert len(finished) == 4
    path.write_text(whole)
    seen = []
    monkeypatch.setattr(module, "mine_shard", lambda miner, shard, work=module.mine_shard: (seen.append(shard.number), work(miner, shard))[1])
    mine(world)
    assert seen == [4, 5]


SLOW_SHARDS = """
import sys, time
from pathlib import Path
from lrat.mining import mine as module
from test_shards import mine
module.SHARD_SIZE, work = 2, module.mine_shard
def slow(miner, shard):
    if shard.number == 3: Path(sys.argv[1], "waiting").touch(); time.sleep(60)
    return work(miner, shard)
module.mine_shard = slow
mine(Path(sys.argv[1]))
"""


def test_kill_9_costs_the_shard_in_work(world, monkeypatch):
    _, one = mine(world, "one")
    (world/"slow.py").write_text(SLOW_SHARDS)
    with subprocess.Popen([sys.executable, world/"slow.py", world], env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS/"mining"), str(ROOT)])}) as child:
        while not (world/"waiting").exists() and child.poll() is None: time.sleep(.02)
        child.send_signal(signal.SIGKILL)
    assert len(list((world/".pairs.jsonl.shards").glob("??????.json"))) == 3 and not (world/"pairs.jsonl").exists()
    monkeypatch.setattr(module, "SHARD_SIZE", 2)
    assert mine(world)[1] == one


def test_a_killed_worker_is_one_line():
    from lrat.core.parallel import map_shards
    with pytest.raises(LratError, match="worker process ended before its time"): list(map_shards(die, None, [1, 2], processes=2))


def die(shared, shard): os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_ray_makes_the_same_bytes_when_a_worker_is_killed(tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster
    world = make_world(tmp_path, 120)
    _, one = mine(world, "one")
    monkeypatch.setattr(module, "SHARD_SIZE", 4)
    monkeypatch.setattr(module, "mine_shard", slow_shard)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR",
                 runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS/"mining"), str(ROOT)])}})
        cluster.wait_for_nodes()
        killer = Thread(target=kill_when, args=(cluster, nodes[1], world, 6), daemon=True)
        killer.start()
        _, found = mine(world, engine="ray")
        killer.join()
        assert found == one and len([n for n in ray.nodes() if n["Alive"]]) == 2
    finally:
        ray.shutdown()
        cluster.shutdown()


def slow_shard(miner, shard, work=module.mine_shard):
    time.sleep(.3)
    return work(miner, shard)


def kill_when(cluster, node, world, shards):
    "Kill a worker node, raylet and all, once so many shards are there"
    while len(list((world/".pairs.jsonl.shards").glob("??????.json"))) < shards: time.sleep(.05)
    cluster.remove_node(node, allow_graceful=False)


@pytest.mark.slow
def test_ray_started_here_makes_the_same_bytes_and_reports_mistakes(world, monkeypatch):
    pytest.importorskip("ray")
    _, one = mine(world, "one")
    monkeypatch.setattr(module, "SHARD_SIZE", 4)
    assert mine(world, engine="ray", processes=2)[1] == one
    (world/"runs"/"run_0003.json").write_text('{"result": [')
    with pytest.raises(InputError, match="run_0003.json:1: is no(t valid)? JSON"): mine(world, engine="ray")


def test_the_texts_of_a_corpus_are_not_kept(tmp_path):
    "Shards see the corpus through its offsets, and a Corpus sent to another process is opened, not copied"
    import pickle
    corpus = open_corpus(make_world(tmp_path, 1)/"corpus.jsonl")
    assert len(pickle.dumps(corpus)) < 1000 and pickle.loads(pickle.dumps(corpus))["3"] == corpus["3"]


# Where a pair came from

def test_every_pair_has_its_provenance(world):
    mine(world)
    sources = [json.loads(line) for line in open(world/"pairs.jsonl.provenance.jsonl")]
    rows = pairs_of(world)
    assert len(sources) == len(rows) == 36
    for source, row in zip(sources, rows):
        assert (source["run"], source["step"], [source["docid"]]) == (row["trajectory"], row["step"], row["pos_id"])
        assert (source["verdict"] == "yes") == row["satisfied"] and source["judge"] == "test" and source["folder"] == 0
        assert source["search"] < source["step"]
    manifest, _ = mine(world, preset="naive")
    assert {(s["verdict"], s["judge"]) for s in map(json.loads, open(world/"pairs.jsonl.provenance.jsonl"))} == {(None, None)}
    assert manifest["folders"] == [str(world/"runs")]


# The reference, rule for rule

def story(*events):
    "A trajectory of searches (lists of docids), browses (a docid), and calls of another tool (None); the notes say which they belong to"
    steps = []
    for event in events:
        if isinstance(event, list): steps.append(Step("tool_call", "search", {"query": f"q{len(steps)}"}, listed(*event)))
        elif event is None: steps += [Step("tool_call", "python", {"code": "1"}, "1"), Step("reasoning", output="so")]
        else: steps += [Step("tool_call", "get_document", {"docid": str(event)}, "text"), Step("reasoning", output=f"about {event}")]
    return Trajectory("s", "?", "completed", [*steps, Step("output_text", output="T")], name="run_s")


def found(run, useful, preset="reference", **changes):
    said = lambda r, b: useful.get(b.docid, "no")
    return [(c.positive, [int(d) for d in c.negatives]) for c in mine_trajectory(run, said, mining_rules(preset, changes))]


def test_rejected_documents_come_first_and_the_latest_of_them_before_the_others():
    run = story([1, 2, 3], 1, [4, 5, 6], 5, 4, [7, 8], 8, [1, 9], 9)
    assert found(run, {"8": "yes", "9": "yes"}) == [
        ("1", [2, 3]), ("5", [4, 1, 6, 2, 3]), ("4", [5, 1, 6, 2, 3]), ("8", [4, 5, 1, 7, 6, 2, 3]), ("9", [1])]


def test_a_useful_browse_empties_the_history_once_its_group_is_over():
    assert found(story([1, 2, 3], 1, 2), {"1": "yes", "2": "yes"}) == [("1", [3]), ("2", [3])]
    assert found(story([1, 2, 3], 1, None, 2), {"1": "yes", "2": "yes"}) == [("1", [2, 3])]
    assert found(story([1, 2, 3], 1, None, 2), {"2": "yes"}) == [("1", [2, 3]), ("2", [1, 3])]


def test_an_undecided_document_stays_out_of_the_history():
    run = story([1, 2, 3], 1, [4, 5], 4)
    assert found(run, {"1": "undecided", "4": "yes"}) == [("4", [5, 2, 3])]
    assert found(run, {"1": "failed", "4": "yes"}) == [("4", [5, 2, 3])]


# Options

def test_of_two_verdicts_on_a_document_the_later_makes_its_tier():
    run = story([1, 2, 3], 1, [4, 5], 4, [1, 6, 7, 4], 6, [8, 9], 9)
    tiers = [[(d, t) for d, t in zip(c.negatives, c.tiers)] for c in
             mine_trajectory(run, lambda r, b: "no" if b.docid == "4" else "yes", mining_rules("tiers"))]
    assert tiers == [[("2", "weak"), ("3", "weak")], [("1", "redundant"), ("4", "hard"), ("7", "weak")],
                     [("6", "redundant"), ("1", "redundant"), ("4", "hard"), ("8", "weak")]]
    reopened = story([1, 2], 1, [1, 3], 1, [4, 5], 4)
    changed = lambda r, b: "no" if b.step > 1 and b.docid == "1" else "yes"
    assert [c.tiers for c in mine_trajectory(reopened, changed, mining_rules("tiers"))][-1] == ("hard", "weak")


def test_the_cap_keeps_the_first_and_each_tier_has_its_own():
    run = story([1, 2, 3], 1, [4, 5], 4, [6, 7], 6, [8, 9], 8, [10, 11, 12], 10)
    useful = {str(n): "yes" for n in (1, 4, 6, 8, 10)}
    assert found(run, useful, "tiers")[-1] == ("10", [8, 6, 4, 11, 12])
    assert found(run, useful, "tiers", per_tier=1, cap=2)[-1] == ("10", [8, 11])


def test_tiers_write_weights_beside_the_negatives(world):
    mine(world, preset="tiers", changes={"tier_weights": "2,1,0.5", "cap": "4"})
    for row in pairs_of(world):
        assert len(row["neg"]) == len(row["neg_id"]) == len(row["neg_tiers"]) == len(row["neg_weights"]) <= 4
        assert row["neg_weights"] == [{"redundant": 2, "hard": 1, "weak": .5}[t] for t in row["neg_tiers"]]
        assert row["neg_tiers"] == sorted(row["neg_tiers"], key=["redundant", "hard", "weak"].index)


def test_a_negative_without_text_takes_its_weight_along(world):
    (world/"corpus.jsonl").unlink()
    write_corpus(world/"corpus.jsonl", [Document(str(n), f"T{n}\nwords") for n in range(60) if n % 5])
    mine(world, preset="tiers")
    for row in pairs_of(world): assert len(row["neg"]) == len(row["neg_id"]) == len(row["neg_tiers"]) == len(row["neg_weights"])


def test_an_opened_document_is_spared_or_not(world):
    opened = {p.stem: {b.docid for b in one_run(int(p.stem[4:])).browses()} for p in (world/"runs").iterdir()}
    def with_opened(**changes):
        mine(world, preset="recommended", changes=changes)
        return sum(bool(opened[row["trajectory"]] & {*row["neg_id"]}) for row in pairs_of(world))
    assert with_opened() == with_opened(negatives="history") == 0
    assert with_opened(spare_opened=False, spare_positives=False) > 0
    assert with_opened(spare_opened=False) == 0 # Each of them is a positive of the same query in another pair


def test_weights_of_each_scale(world):
    shutil.copytree(world/"runs", world/"more")
    def rows(scale):
        manifest = mine_to_file([world/"runs", world/"more"], open_corpus(world/"corpus.jsonl"), [world/"verdicts.jsonl"] * 2, "reference",
                               "all-MiniLM-L6-v2", world/"pairs.jsonl", changes={"scale": scale})
        return manifest, [row["reweight_rate"] for row in pairs_of(world)]
    manifest, rates = rows("folder")
    assert manifest["beta"][0] == manifest["beta"][1] and rates == rows("file")[1]
    assert rows("none")[0]["mu"] == 1 and max(rows("none")[1]) < 1
    manifest, rates = rows("kept")
    kept = [rate for rate, row in zip(rates, pairs_of(world)) if row["satisfied"]]
    assert abs(sum(kept) / len(kept) - 1) < 1e-12 and abs(sum(rates) / len(rates) - 1) > 1e-6


def test_reasoning_that_is_missing_does_not_pull_the_reference_median_down(world):
    for n in range(40):
        write_trajectory(world/"runs", Trajectory(f"e{n}", "?", "completed", [
            Step("tool_call", "search", {"query": "silent"}, listed(1, 2)), Step("tool_call", "get_document", {"docid": "1"}, "text"),
            Step("output_text", output="T")]))
    before = mine(world)[0]["beta"]
    with open(world/"verdicts.jsonl", "a") as file:
        for n in range(40): file.write(json.dumps({"run": f"run_e{n}", "step": 1, "verdict": "yes"}) + "\n")
    manifest, _ = mine(world)
    assert manifest["pairs"] == 76 and manifest["beta"] == before
    assert {row["reweight_rate"] for row in pairs_of(world) if not row["reasoning_len"]} == {1.}


def test_length_in_words_of_another_tokenizer(world, tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    letters = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    letters.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex("."), "isolated")
    (tmp_path/"letters").mkdir()
    letters.save(str(tmp_path/"letters"/"tokenizer.json"))
    mine(world)
    words = [row["reasoning_len"] for row in pairs_of(world)]
    mine_to_file([world/"runs"], open_corpus(world/"corpus.jsonl"), [world/"verdicts.jsonl"], "reference", str(tmp_path/"letters"), world/"pairs.jsonl")
    assert [row["reasoning_len"] for row in pairs_of(world)] == [5 * n for n in words]


# Bad input

def test_a_run_without_searches_is_counted(world):
    write_trajectory(world/"runs", Trajectory("none", "?", "completed", [Step("reasoning", output="I know it."), Step("output_text", output="T")]))
    manifest, _ = mine(world)
    assert manifest["runs_without_searches"] == 1 and manifest["runs_mined"] == 13


def test_a_browse_of_a_document_never_returned_makes_no_pair(world):
    write_trajectory(world/"runs", Trajectory("wild", "?", "completed", [
        Step("tool_call", "search", {"query": "q"}, listed(1, 2)), Step("tool_call", "get_document", {"docid": "59"}, "text"),
        Step("reasoning", output="notes"), Step("output_text", output="T")]))
    with open(world/"verdicts.jsonl", "a") as file: file.write('{"run": "run_wild", "step": 1, "docid": "59", "verdict": "yes"}\n')
    assert mine(world)[0]["skipped"] == {"document not in the history of lists": 1}
    assert mine(world, preset="recommended")[0]["skipped"]["document not in the linked result list"] == 1


def test_two_trajectories_of_one_question_are_both_mined_and_counted(world):
    shutil.copy(world/"runs"/"run_0001.json", world/"runs"/"run_0001-again.json")
    with open(world/"verdicts.jsonl", "a") as file:
        for b in one_run(1).browses(): file.write(json.dumps({"run": "run_0001-again", "step": b.step, "docid": b.docid, "verdict": "yes"}) + "\n")
    manifest, _ = mine(world)
    assert manifest["runs_sharing_a_query_id"] == 2 and manifest["runs_mined"] == 13
    assert {"run_0001", "run_0001-again"} <= {row["trajectory"] for row in pairs_of(world)}


def test_one_question_in_two_folders_has_two_sets_of_verdicts(world):
    shutil.copytree(world/"runs", world/"more")
    rows = [json.loads(line) for line in open(world/"verdicts.jsonl")]
    write_jsonl(world/"no.jsonl", (row | {"verdict": "no" if row["run"] == "run_0000" else row["verdict"]} for row in rows))
    manifest = mine_to_file([world/"runs", world/"more"], open_corpus(world/"corpus.jsonl"), [world/"verdicts.jsonl", world/"no.jsonl"],
                           "recommended", "all-MiniLM-L6-v2", world/"pairs.jsonl")
    sources = [json.loads(line) for line in open(world/"pairs.jsonl.provenance.jsonl")]
    assert {s["folder"] for s in sources if s["run"] == "run_0000"} == {0} and manifest["runs_sharing_a_query_id"] == 0


def test_a_verdict_file_for_other_trajectories_is_one_line(world):
    shutil.copytree(world/"runs", world/"more")
    rows = [json.loads(line) for line in open(world/"verdicts.jsonl")]
    write_jsonl(world/"other.jsonl", (row | {"run": f"x_{row['run']}"} for row in rows))
    with pytest.raises(LratError, match="other.jsonl: was made from other trajectories than .*more: .*name the file that was made from them"):
        mine_to_file([world/"runs", world/"more"], open_corpus(world/"corpus.jsonl"), [world/"verdicts.jsonl", world/"other.jsonl"],
                     "recommended", "all-MiniLM-L6-v2", world/"pairs.jsonl")
    assert not list(world.glob("*pairs*"))


def test_a_missing_tokenizer_is_reported_before_any_trajectory_is_read(world):
    (world/"runs"/"run_0000.json").write_text("{")
    with pytest.raises(LratError, match="no model 'no-such-model'"):
        mine_to_file([world/"runs"], open_corpus(world/"corpus.jsonl"), [world/"verdicts.jsonl"], "recommended", "no-such-model", world/"pairs.jsonl")


@pytest.mark.parametrize("words,says", [
    (("--set", "negatives=all"), "negatives is 'all'; choose one of"), (("--set", "negative=history"), "there is no mining rule 'negative'"),
    (("--set", "history"), "write NAME=VALUE"), (("--engine", "spark"), "choose one of: processes, ray"), (("--processes", "0"), "--processes is 0; it must be at least 1"),
    (("--preset", "best"), "unknown preset 'best'"), (("--tokenizer", "no-such-model"), "no model 'no-such-model'")])
def test_a_mistake_on_the_command_line_is_one_line(world, words, says):
    done = subprocess.run([Path(sys.executable).parent/"lrat", "mine", world/"runs", "--corpus", world/"corpus.jsonl", "--verdicts", world/"verdicts.jsonl", "--out", world/"p.jsonl", *words],
                          capture_output=True, text=True)
    assert done.returncode == 2 and says in done.stderr.strip().splitlines()[-1] and "Traceback" not in done.stderr
    assert not list(world.glob("*p.jsonl*"))


def test_the_command_adds_what_the_agent_knew(world):
    "lrat mine --query_context writes the pairs of lrat mine, each with three more fields"
    def lrat_mine(*words):
        words = ["mine", world/"runs", "--corpus", world/"corpus.jsonl", "--verdicts", world/"verdicts.jsonl", "--out", world/"pairs.jsonl", *words]
        done = subprocess.run([Path(sys.executable).parent/"lrat", *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return pairs_of(world)
    plain, known = lrat_mine("--preset", "reference"), lrat_mine("--preset", "reference", "--query_context")
    assert [{name: value for name, value in row.items() if name in plain[0]} for row in known] == plain
    assert known == list(with_context(world/"pairs.jsonl", [world/"runs"]))
    assert {tuple(row)[len(plain[0]):] for row in known} == {("question", "earlier_queries", "preceding_reasoning")}
    assert {tuple(row["earlier_queries"]) for row in known if row["query"] == "second 3"} == {("first 3",)}


def test_what_is_required_is_required_by_the_parser(world):
    for words, missing in (([world/"runs"], "--corpus, --out"), ([], "trajectories, --corpus, --out")):
        done = subprocess.run([Path(sys.executable).parent/"lrat", "mine", *words], capture_output=True, text=True)
        assert done.returncode == 2 and done.stderr.strip().endswith(f"the following arguments are required: {missing}")
    done = subprocess.run([Path(sys.executable).parent/"lrat", "mine", world/"runs", "--corpus", world/"corpus.jsonl", "--out", world/"p.jsonl"],
                          capture_output=True, text=True)
    assert done.returncode == 2 and "1 folders of trajectories, but 0 verdict files; give --verdicts one for each" in done.stderr
