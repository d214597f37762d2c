"Published benchmarks in their own forms, and the plan against the description of the method."
import re

import pytest

from lrat.core.files import write_jsonl
from lrat.core.settings import InputError, LratError, load_settings
from lrat.data.assets import fetch_hub
from lrat.data.canary import encrypt
from lrat.data.published import import_published, read_browsecomp
from lrat.data.questions import Question, read_qrels, read_questions
from lrat.paper.plan import make_plan
from paths import SHARED


def row(number, **changes):
    "A row of BrowseComp-Plus as published"
    docs = {name: [{"docid": encrypt(f"d{number}{n}"), "text": encrypt("long text")} for n in range(size)]
            for name, size in (("evidence_docs", 3), ("gold_docs", 1), ("negative_docs", 2))}
    return {"query_id": str(number), "query": encrypt(f"Which secret is number {number}?"), "answer": encrypt(f"Secret {number}"), **docs} | changes


# ------------------------------------------------------------------------------------------------------------ published forms

@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_nothing_of_an_encrypted_benchmark_is_written_in_clear(tmp_path, form):
    source = tmp_path/f"test-0.{form}"
    if form == "jsonl": write_jsonl(source, map(row, range(5)))
    else:
        import pyarrow, pyarrow.parquet
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row(n) for n in range(5)]), source)
    import_published("browsecomp-plus", tmp_path/"out", [source])
    asked = read_questions(tmp_path/"out"/"browsecomp-plus.tsv")
    assert asked[3] == Question("3", "Which secret is number 3?", "Secret 3")
    assert read_qrels(tmp_path/"out"/"browsecomp-plus.qrels")["2"] == {"d20": 1, "d21": 1, "d22": 1}
    assert read_qrels(tmp_path/"out"/"browsecomp-plus.gold.qrels")["2"] == {"d20": 1}
    for path in (tmp_path/"out").rglob("*"):
        assert b"ecret" not in path.read_bytes(), path


def test_a_file_that_is_still_encrypted_is_one_line(folder, tmp_path):
    (folder/"q.tsv").write_text(f"1\t{encrypt('Which city lies on a fjord?')}\t{encrypt('Bergen')}\n")
    with pytest.raises(InputError, match="q.tsv:1: the question '1' is still encrypted; .*lrat fetch browsecomp-plus"): scored(folder)
    write_jsonl(tmp_path/"x.jsonl", [row(0), row(1, answer="no base64 at all")])
    with pytest.raises(InputError, match="x.jsonl:2: cannot be decrypted"): list(read_browsecomp(tmp_path/"x.jsonl"))


def test_everything_of_the_hub_goes_through_the_registry(tmp_path):
    asked = []
    def download(data):
        asked.append((data.repository, data.patterns))
        (tmp_path/"LRAT-training-pairs.jsonl").write_text("{}\n")
        return tmp_path
    assert fetch_hub("lrat-pairs", download)[0].name == "LRAT-training-pairs.jsonl"
    assert asked == [("Yuqi-Zhou/LRAT-Train", ("LRAT-training-pairs.jsonl",))]


def test_infoseek_takes_the_top(tmp_path):
    write_jsonl(tmp_path/"qa.jsonl", ({"question": f"Which is {n}?", "answer": str(n)} for n in range(20)))
    import_published("infoseek-qa", tmp_path/"out", [tmp_path/"qa.jsonl"], limit=7)
    assert [q.query_id for q in read_questions(tmp_path/"out"/"train.tsv")] == list("0123456")
    (tmp_path/"eval.tsv").write_text("1\tWhich?\n")
    with pytest.raises(InputError, match="without an answer"): import_published("infoseek-eval", tmp_path/"out", [tmp_path/"eval.tsv"])


# -------------------------------------------------------------------------------------------------------------------- the plan

def test_the_plan_of_the_paper_has_the_numbers_of_the_method():
    stages = {stage.name: stage for stage in make_plan(load_settings("paper"))}
    collect, train = stages["collect trajectories"].counts, stages["train the retriever"].counts
    assert (collect["questions"], collect["retrievers"], collect["k"], collect["most_rounds"]) == (10_000, 4, 10, 100)
    assert (train["epochs"], train["batch"], train["group"]) == (2, 32, 10)
    for benchmark, asked in (("infoseek-eval", 300), ("browsecomp-plus", 830)):
        agents = [s for s in stages.values() if s.name.startswith(f"evaluate {benchmark} ")]
        assert len(agents) == 6 and all(s.counts["questions"] == asked and s.counts["most_rounds"] == 50 for s in agents)
    assert stages["index browsecomp-plus +LRAT"].counts["documents"] == 100_195
    assert all(stage.counts["documents"] == 11_200_000 for name, stage in stages.items() if "index wiki-25" in name)
    assert (stages["judge opened documents"].counts["browses"], stages["mine pairs"].counts["pairs"]) == (120_579, 91_713)
    assert (collect["completed"], collect["correct"]) == (34_619, 26_482)


@pytest.mark.skipif(not (SHARED/"METHOD.md").is_file(), reason="the description of the method is not here")
def test_the_plan_agrees_with_the_page():
    text = (SHARED/"METHOD.md").read_text()
    stages = {stage.name: stage.counts for stage in make_plan(load_settings("paper"))}
    for pattern, count in ((r"InfoSeek-Eval \((\d+)\)", stages["evaluate infoseek-eval GLM-4.7"]["questions"]),
                           (r"BrowseComp-Plus \((\d+),", stages["evaluate browsecomp-plus GLM-4.7"]["questions"]),
                           (r"corpus of ([\d,]+)\)", stages["index browsecomp-plus base"]["documents"]),
                           (r"(\d+) epochs", stages["train the retriever"]["epochs"]), (r"batch (\d+)", stages["train the retriever"]["batch"]),
                           (r"at most (\d+) rounds; keep", stages["collect trajectories"]["most_rounds"])):
        assert int(re.search(pattern, text)[1].replace(",", "")) == count


def test_plans_of_all_profiles_and_starts():
    for profile in ("smoke", "mini"):
        assert sum(s.counts.get("attempted", 0) for s in make_plan(load_settings(profile))) == 2 * load_settings(profile).world.train_questions
    hub = make_plan(load_settings("paper"), pairs="hub")
    assert next(s for s in hub if s.name == "train the retriever").counts["pairs"] == 96_504
    with pytest.raises(LratError, match="choose mine or hub"): make_plan(load_settings("mini"), pairs="theirs")
