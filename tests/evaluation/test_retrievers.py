"Retrievers on recorded trajectories: what counts, by turn, with ties, and through the command"
import json, math
import numpy as np, pytest
from lrat.core.settings import InputError, LratError
from lrat.data.corpus import Document
from lrat.evaluation.command import eval_command
from lrat.evaluation.novelty import by_turn, evidence_left
from lrat.evaluation.retrievers import compare_retrievers, describe_comparison, replayable, score_retriever
from lrat.retrieval.query_forms import query_form, write_query_form
from lrat.retrieval.retriever import Hit, best_hits
from lrat.trajectories.trajectory import Step, Trajectory, write_trajectory
from program import lrat


def shown(docids): return "\n\n".join(["A search found:", *(f"DocID:{docid}\n[{docid}]\ntext" for docid in docids)])
def search(query, docids, **more): return Step("tool_call", "search", {"query": query}, shown(docids), **more)
def opened(docid): return Step("tool_call", "get_document", {"docid": docid}, f"Document {docid}:\ntext")


class Fixed:
    "Gives each query the list that it was made with"
    name = "fixed"
    def __init__(self, **lists): self.lists, self.asked = lists, []
    def document(self, docid):
        if docid.startswith("x"): raise InputError("no such document")
        return Document(docid, docid)
    def search_batch(self, queries, k):
        self.asked += queries
        return [[Hit(docid, float(-n)) for n, docid in enumerate(self.lists.get(query, "")[:k])] for query in queries]


@pytest.fixture
def folder(tmp_path):
    steps = [search("one", "ab"), opened("b"), search("two", "bc"), search("three", "d")]
    write_trajectory(tmp_path/"runs", Trajectory("1", "Who?", "completed", steps))
    write_trajectory(tmp_path/"runs", Trajectory("2", "What?", "budget", [search("one", "ab"), search("two", "e")]))
    write_trajectory(tmp_path/"runs", Trajectory("3", "Where?", "completed", [search("one", "ab")]))  # No judgement
    write_trajectory(tmp_path/"runs", Trajectory("4", "When?", "failed: no reply", [search("one", "ab")]))
    write_trajectory(tmp_path/"runs", Trajectory("5", "Why?", "completed", [Step("output_text", output="No idea.")]))
    (tmp_path/"e.qrels").write_text("1 0 a 1\n1 0 c 1\n1 0 z 0\n2 0 a 1\n4 0 a 1\n5 0 a 1\n")
    return tmp_path


def recorded(folder, counts=None):
    from collections import Counter
    from lrat.data.questions import read_qrels
    return list(replayable(folder/"runs", read_qrels(folder/"e.qrels"), Counter() if counts is None else counts))


def test_novelty_by_hand(folder):
    one, two = recorded(folder)
    assert ["".join(sorted(s.left)) for s in one.searches] == ["ac", "c", ""] and ["".join(sorted(s.left)) for s in two.searches] == ["a", ""]
    found = score_retriever("fixed", Fixed(one="xc", two="ca", three="ac"), [one, two], k=2)
    np.testing.assert_array_equal(found.turns, [[1/2, 1, math.nan], [0, math.nan, math.nan]])  # Nothing new is left in the last turns
    assert found.table.column("novel_recall").tolist() == [3/4, 0] and found.table.column("evidence_recall").tolist() == [1, 1]
    assert found.table.column("query_recall").tolist() == [(1/2 + 1 + 1)/3, 1/2]
    assert found.table.column("opened_rr")[0] == 0 and math.isnan(found.table.column("opened_rr")[1])  # "b" is not found; nothing was opened


def test_what_is_left_out_is_counted(folder):
    from collections import Counter
    recorded(folder, counts := Counter())
    assert counts == {"trajectories": 5, "without_evidence": 1, "failed": 1, "without_search": 1, "searches": 5, "nothing_left": 2}


def test_parallel_searches_have_the_same_left_and_a_blank_one_is_none():
    run = Trajectory("1", "Who?", "completed", [search("one", "a"), search("two", "b", parallel=True), search(" ", ""), search("three", "c")])
    found = evidence_left(run, {"a", "b", "c"})
    assert [(one.turn, len(one.left)) for one in found] == [(1, 3), (1, 3), (2, 1)]
    assert by_turn(found, [one.search.docids for one in found]).tolist() == [1/3, 1]


def test_equal_scores_are_ordered_by_docid(folder):
    class Tied(Fixed):
        def search_batch(self, queries, k): return [best_hits([(docid, 1.) for docid in "edcba"], k) for _ in queries]
    found = score_retriever("tied", Tied(), recorded(folder), k=1)
    assert found.table.column("query_recall").tolist() == [1, 1] and found.table.column("opened_rr")[0] == 1/2  # a, then b


def test_a_query_is_asked_once_and_in_the_form_that_the_model_was_trained_on(folder, tmp_path):
    from types import SimpleNamespace
    plain, formed = Fixed(), Fixed()
    score_retriever("plain", plain, recorded(folder))
    assert sorted(plain.asked) == ["one", "three", "two"]
    (tmp_path/"model").mkdir()
    write_query_form(tmp_path/"model", query_form("question-earlier"))
    formed.encoder = SimpleNamespace(folder=tmp_path/"model")
    score_retriever("formed", formed, recorded(folder))
    assert "two\nQuestion: Who?\nEarlier: one" in formed.asked


def test_verdicts_say_what_was_useful(folder):
    found = score_retriever("fixed", Fixed(one="cb"), recorded(folder), verdict=lambda run, browse: "yes")
    assert found.table.column("useful_rr")[0] == found.table.column("opened_rr")[0] == 1/2
    none = score_retriever("fixed", Fixed(one="cb"), recorded(folder), verdict=lambda run, browse: "no")
    assert np.isnan(none.table.column("useful_rr")).all()


def test_mistakes_are_one_line(folder):
    with pytest.raises(LratError, match="names? an index of the corpus that was judged"):
        class Elsewhere(Fixed):
            def document(self, docid): raise InputError("no such document")
        score_retriever("other", Elsewhere(), recorded(folder))
    with pytest.raises(LratError, match="give --index INDEX and --qrels FILE as well"): eval_command(trajectories=str(folder/"runs"))
    with pytest.raises(LratError, match="--k is 0"): compare_retrievers(folder/"runs", ["a"], folder/"e.qrels", k=0)
    with pytest.raises(LratError, match="is named twice"): compare_retrievers(folder/"runs", ["a", "a"], folder/"e.qrels")
    with pytest.raises(LratError, match="name a folder of trajectories"): eval_command()
    write_trajectory(folder/"runs", Trajectory("1", "Who?", "completed", [search("one", "ab")], name="run_1b"))
    (folder/"runs"/"run_9.json").write_text((folder/"runs"/"run_1.json").read_text())
    with pytest.raises(InputError, match="both answer question '1'; remove one"): recorded(folder)
    assert "needs" in lrat("eval", "--mteb", "SciFact").stderr


def test_two_indexes_through_the_command(folder, monkeypatch, capsys):
    import lrat.evaluation.retrievers as module
    monkeypatch.setattr(module, "open_index", lambda path: Fixed(one="cab" if "good" in str(path) else "bd", two="ca"))
    eval_command(trajectories=str(folder/"runs"), index=["some/base", "some/good"], qrels=str(folder/"e.qrels"), k=2, out=str(folder/"out.json"), resamples=200)
    said, told = capsys.readouterr().out, json.loads((folder/"out.json").read_text())
    assert [row["retriever"] for row in told["retrievers"]] == ["base", "good", "as recorded"]
    assert told["counts"]["without_evidence"] == 1 and "1 without judged evidence" in said
    assert all(f"good against base, {metric}" in said for metric in ("evidence_recall", "query_recall", "novel_recall", "opened_rr"))
    gain = next(one for one in told["comparisons"] if one["metric"] == "query_recall")
    assert gain["difference"] > 0 and gain["n"] == 2 and not gain["significant"] and "not significant" in said  # Two trajectories
    assert told["retrievers"][1]["novel_recall_by_turn"][0]["n"] == 2


def test_the_same_retriever_differs_in_nothing(folder):
    from lrat.evaluation.retrievers import RetrieverComparison
    one = score_retriever("one", Fixed(one="ca"), recorded(folder))
    lines = list(describe_comparison(RetrieverComparison((one, one, one), {"trajectories": 2, "searches": 5, "nothing_left": 2}, 10, 200)))
    told = [line for line in lines if line.startswith("one against one")]
    assert len(told) == 4 and all("difference +0.000" in line and line.endswith("not significant") for line in told)


class Backwards:
    "A reranker that turns lists round"
    def __init__(self, model): self.model = model
    def scores(self, query, texts): return list(range(len(texts)))
    def identity(self): return {"kind": "backwards"}


def test_each_index_is_compared_with_a_reranker_and_without(folder, monkeypatch, capsys):
    lists = {"one": "ca", "two": "bc", "three": "dc"}
    monkeypatch.setattr("lrat.evaluation.retrievers.open_index", lambda folder: Fixed(**lists))
    monkeypatch.setattr("lrat.retrieval.rerank.Reranker", Backwards)
    given = dict(trajectories=str(folder/"runs"), index=["A"], qrels=str(folder/"e.qrels"), k=1, resamples=100)
    eval_command(**given, rerank="model", depth=2, out=str(folder/"out.json"))
    rows = {row["retriever"]: row for row in json.loads((folder/"out.json").read_text())["retrievers"]}
    assert list(rows) == ["A", "A + rerank", "as recorded"] and "A + rerank" in capsys.readouterr().out
    again = compare_retrievers(folder/"runs", ["A"], folder/"e.qrels", k=1, resamples=100, rerank="model", depth=2)
    first, second, _ = again.retrievers
    assert first.table.column("evidence_recall").tolist() == [1/2, 0] and second.table.column("evidence_recall").tolist() == [1, 1]
    with pytest.raises(LratError, match="--depth 2 means nothing without --rerank"): eval_command(**given, depth=2)
