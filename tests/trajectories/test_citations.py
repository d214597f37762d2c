"What an answer cites: numbers of a list, docids, addresses, and what its client recorded; a mark that may mean two documents is unmatched."
import json

import pytest

from lrat.core.files import read_json, read_jsonl
from lrat.core.settings import LratError
from lrat.data.corpus import Document, open_corpus, write_corpus
from lrat.mining.mine import mine_command, mine_to_file
from lrat.trajectories.citations import answer_marks, find_citations
from lrat.trajectories.trajectory import Step, Trajectory, find_searches, write_trajectory

URLS = ["https://a.example/lund", "https://a.example/uppsala", "https://a.example/oslo"]
LIST = json.dumps([*({"docid": url} for url in URLS), {"result": [{"url": url, "title": url[18:].title(), "snippet": "A city."} for url in URLS]}])


def search(output, query="old city"): return Step("tool_call", "search", json.dumps({"query": query}), output)
def answered(text, *searches, **about): return Trajectory("q1", "Which?", "completed", [*searches, Step("output_text", output=text)], metadata=about, name="run_q1")
def cited(*one, **about): return (made := find_citations(answered(*one, **about))).docids, made.unmatched


@pytest.mark.parametrize("text,docids,unmatched", [
    ("Uppsala [2].", [URLS[1]], []), ("Uppsala [2, 3] and [9].", [URLS[1], URLS[2]], ["9"]), ("Uppsala [1-2].", URLS[:2], []), ("Uppsala 【2†source】.", [URLS[1]], []),
    ("Uppsala (source 2).", [URLS[1]], []), ("[Uppsala](https://a.example/uppsala/?utm_source=chat).", [URLS[1]], []), ("[2](https://a.example/oslo)", [URLS[2]], []),
    ("See https://a.example/uppsala, and https://b.example/x.", [URLS[1]], ["https://b.example/x"]), ("Uppsala [city], an [old] one.", [], []),
    ("Uppsala [1].\n\nSources:\n[1] https://a.example/uppsala", [URLS[1]], []), ("Uppsala [1].\n1. Uppsala - https://a.example/uppsala", [URLS[1]], [])])
def test_marks_of_an_answer(text, docids, unmatched): assert cited(text, search(LIST)) == (docids, unmatched)


def test_numbers_that_two_lists_show_and_numbers_that_are_docids():
    numbered = "{}. Lund\nURL: https://b.example/lund\n\n{}. Oslo\nURL: https://b.example/oslo"
    both = lambda first: json.dumps([{"docid": "https://b.example/lund"}, {"docid": "https://b.example/oslo"}, {"result": numbered.format(first, first + 1)}])
    assert cited("[2] and [3]", search(LIST), search(both(1))) == ([URLS[2]], ["2"])
    assert cited("[2] and [4]", search(LIST), search(both(4))) == ([URLS[1], "https://b.example/lund"], [])
    assert cited("[9], not [1]", search("DocID:7\n[Lund]\n\nDocID:9\n[Uppsala]")) == (["9"], ["1"])
    assert cited("[DocID: m9], not [m8]", search("DocID:m7\n[Lund]\n\nDocID:m9\n[Uppsala]")) == (["m9"], ["m8"])
    page = Step("tool_call", "get_document", json.dumps({"docid": URLS[0]}), f"[4] Lund ({URLS[0]})\nL0: A city.")
    assert cited("Lund 【4†L0-L2】, not 【5†L1】", search(LIST), page) == ([URLS[0]], ["5†L1"])


def test_what_a_client_recorded():
    assert cited("Uppsala.", search(LIST), citations=[{"cited": f"{URLS[1]}#history", "title": "Uppsala"}, {"cited": "https://b.example"}]) == ([URLS[1]], ["https://b.example"])
    assert cited("Uppsala.", search(LIST), citations=[{"cited": "Oslo"}]) == ([URLS[2]], []) # Only a title


def test_cited_documents_are_positives_on_request(tmp_path, capsys):
    write_trajectory(tmp_path/"runs", answered("Uppsala [2], not Lund [7].", search(LIST), search(LIST.replace("lund", "turku"), "oldest university")))
    write_trajectory(tmp_path/"runs", Trajectory("q2", "Which?", "completed", [search(LIST), Step("output_text", output="Uppsala.")]))
    write_corpus(tmp_path/"corpus.jsonl", [Document(url, f"{url}\nA city.") for url in [*URLS, "https://a.example/turku"]])
    mine_command([str(tmp_path/"runs")], str(tmp_path/"corpus.jsonl"), None, str(tmp_path/"pairs.jsonl"), set=["positive=cited"])
    (_, pair), = read_jsonl(tmp_path/"pairs.jsonl")
    assert (pair["query"], pair["pos_id"], pair["neg_id"], pair["satisfied"], pair["reweight_rate"]) == ("oldest university", [URLS[1]], ["https://a.example/turku", URLS[2]], True, 1)
    assert read_json(tmp_path/"pairs.jsonl.manifest.json")["skipped"] == {"answer without a citation": 1, "citation that names no document of the lists, or several": 1}
    assert "1 x citation that names no document of the lists" in capsys.readouterr().out
    with pytest.raises(LratError, match="positive 'cited' ignores browses"): mine_command(
        [str(tmp_path/"runs")], str(tmp_path/"corpus.jsonl"), None, str(tmp_path/"pairs.jsonl"), set=["positive=cited", "negatives=history"])


# A list of queries in one step, in trajectories that nobody imported

BOTH = json.dumps({"query": ["old city", "capital of Norway"]})


@pytest.mark.parametrize("output,found", [
    ("Results for 'old city':\n\nDocID:7\n\nDocID:9\n=======\nResults for 'capital of Norway':\n\nDocID:11", [("old city", ("7", "9")), ("capital of Norway", ("11",))]),
    ("A search for 'old city' found 2 results:\n\nDocID:7\n[Capital of Norway]\n\nDocID:9", [("old city", ("7", "9"))]),
    ("DocID:7\n\nDocID:9", [("old city", ("7", "9"))]), ("Error: down", [("old city", ())]), (None, [("old city", ())])])
def test_a_list_of_queries(output, found):
    assert [(s.query, s.docids) for s in find_searches([Step("tool_call", "search", BOTH, output)])] == found


def test_results_that_nothing_separates_are_said(tmp_path, capsys):
    opened = [Step("tool_call", "get_document", '{"docid": "9"}', "Uppsala"), Step("reasoning", output="That is it."), Step("output_text", output="Uppsala")]
    for name, output in (("a", "DocID:7\n\nDocID:9"), ("b", "Results for 'old city':\nDocID:7\n\nResults for 'capital of Norway':\nDocID:9\n\nDocID:11")):
        write_trajectory(tmp_path/"runs", Trajectory(name, "Which?", "completed", [Step("tool_call", "search", BOTH, output), *opened]))
    write_corpus(tmp_path/"corpus.jsonl", [Document(docid, f"City {docid}") for docid in ("7", "9", "11")])
    mine_command([str(tmp_path/"runs")], str(tmp_path/"corpus.jsonl"), None, str(tmp_path/"pairs.jsonl"), "naive")
    assert [(row["query"], row["pos_id"], row["neg_id"]) for _, row in read_jsonl(tmp_path/"pairs.jsonl")] == [("old city", ["9"], ["7"]), ("capital of Norway", ["9"], ["11"])]
    assert "1 searches asked several queries, and nothing separates their results: taken as those of the first query" in capsys.readouterr().out
