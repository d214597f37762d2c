"Weights of hybrids learned from pairs: what is learned, measured and saved, from the command line as well; no Java, no encoder."
import json
import sys

import numpy as np
import pytest

from lrat.core.cli import main
from lrat.core.files import read_json, write_json, write_jsonl
from lrat.core.settings import LratError
from lrat.retrieval.fusion import DEPTH, FUSIONS, Fusion, HybridRetriever, fuse
from lrat.retrieval.index import build_index, index_command, open_index
from lrat.retrieval.retriever import Hit
from lrat.testing.museum import DOCUMENTS, write_museum
from lrat.testing.package import write_toy_retrievers
from lrat.training.fuse_indexes import fuse_indexes, split, trained_on
from lrat.training.fusion_weights import Example, Features, features, general_examples, learn_weights, measured, pair_examples, result_lists, systems

NAMES = ("titles", "texts", "nothing")


@pytest.fixture
def world(tmp_path, monkeypatch):
    "Three indexes of the museum, and pairs whose queries are words of the texts"
    monkeypatch.syspath_prepend(str(write_toy_retrievers(tmp_path/"site")))
    corpus, _ = write_museum(tmp_path)
    for name in NAMES: build_index(corpus, name, tmp_path/name)
    write_jsonl(tmp_path/"pairs.jsonl", [{"query": " ".join(d.text.split()[n:n + 3]), "pos": [d.text], "neg": [], "pos_id": [d.docid], "reweight_rate": 1.}
                                         for d in DOCUMENTS for n in (6, 9, 12)])
    yield tmp_path
    sys.modules.pop("toy_retrievers", None)


def hits(**scores): return [Hit(d, s) for d, s in sorted(scores.items(), key=lambda one: -one[1])]


# Fusion

@pytest.mark.parametrize("method,temperatures,expected", [
    ("rrf", (), {"a": 1/61 + 1/62, "b": 1/62, "c": 1/61}), ("minmax", (), {"a": 1, "b": 0, "c": 1}), ("zscore", (), {"a": 0, "b": -2, "c": 0}),
    ("temperature", (2, .1), {"a": 4.5, "b": 0, "c": 1})])
def test_sums_by_hand(method, temperatures, expected):
    "Lists that were cut off: what one lacks has the list's lowest score"
    found = fuse([hits(a=12., b=3.), hits(c=.9, a=.8)], 9, Fusion(method, (), temperatures), asked=2)
    assert {hit.docid: hit.score for hit in found} == pytest.approx(expected) and [h.docid for h in found] == sorted(expected, key=lambda d: (-expected[d], d))


def test_a_word_that_one_document_alone_holds_counts():
    "A list that ended by itself is complete: what it lacks scores 0 in it"
    dense = hits(a=.9, c=.8, b=.7)
    for method in ("minmax", "zscore"):
        assert fuse([hits(c=11.), dense], 1, Fusion(method), asked=3)[0].docid == "c"
        assert fuse([[], dense], 1, Fusion(method), asked=3)[0].docid == "a"
        assert {h.score for h in fuse([hits(a=1., b=1.), hits(a=1., b=1.)], 2, Fusion(method), asked=2)} == {0}


def test_weights_are_a_convex_sum_and_decide():
    lists = [hits(a=12., b=3.), hits(b=.9, a=.1)]
    assert [fuse(lists, 1, Fusion("minmax", weights), 2)[0] for weights in ((3, 1), (1, 3), (30, 10))] == [Hit("a", .75), Hit("b", .75), Hit("a", .75)]
    assert fuse(lists, 1, Fusion("rrf", (1, 3)), 2)[0].docid == "b"
    assert fuse(lists, 2, Fusion("zscore", (1, 0)), 2) == fuse(lists[:1], 2, Fusion("zscore"), 2)


def test_old_hybrids_and_new_ones_say_what_they_are(world):
    of = [world/"titles", world/"texts"]
    plain = build_index(world/"corpus.jsonl", "hybrid", world/"plain", of=of)
    assert "fusion" not in plain and open_index(world/"plain").fusion == Fusion()
    assert set(open_index(world/"plain").identity()) == {"kind", "rank_constant", "depth", "of"}
    index_command(str(world/"corpus.jsonl"), str(world/"sum"), "hybrid", list(map(str, of)), "zscore", [1, 3])
    hybrid = open_index(world/"sum")
    assert hybrid.fusion == Fusion("zscore", (1, 3)) and hybrid.identity()["fusion"] == {"method": "zscore", "weights": [1, 3]}
    lists = [r.search("glass lamp lens", DEPTH) for r in hybrid.retrievers]
    assert hybrid.search("glass lamp lens", 5) == fuse(lists, 5, hybrid.fusion, DEPTH) == hybrid.search_batch(["x", "glass lamp lens"], 5)[1]


@pytest.mark.parametrize("words,says", [
    ("--kind hybrid --fusion best", "unknown fusion 'best'; choose one of: rrf, zscore, minmax, temperature"), ("--kind hybrid --weights 1", "1 weights are given for 2 indexes"),
    ("--kind hybrid --weights 0 0", "weights are 0 0"), ("--kind hybrid --weights nan 1", "weights are nan 1"), ("--kind hybrid --weights -1 2", "weights are -1 2"),
    ("--kind hybrid --fusion temperature", "needs temperatures"), ("--kind hybrid --temperatures 1 2", "takes no temperatures"),
    ("--kind hybrid --fusion temperature --temperatures 0 1", "temperatures are 0 1"), ("--kind bm25 --fusion zscore", "fuses nothing")])
def test_what_does_not_fit_is_one_line(world, capsys, words, says):
    with pytest.raises(SystemExit): main(["index", str(world/"corpus.jsonl"), "--out", str(world/"new"), "--of", str(world/"titles"), str(world/"texts"), *words.split()])
    *shown, said = capsys.readouterr().err.strip().splitlines() # The first documents may be shown before
    assert says in said and all(line.startswith(("corpus.jsonl: ", "  ")) for line in shown) and not (world/"new"/"index.json").exists()


# Learning

def test_the_weights_of_three_lists_are_those_of_a_search_over_the_simplex():
    "No point of a fine grid has a smaller loss; the sum of the weights only says how sure the softmax is"
    from lrat.training.fusion_weights import _loss
    rng = np.random.default_rng(3)
    values = rng.normal(size=(200 * 6, 3))
    values[::6] += [1., .5, 0]
    seen = Features(values, np.arange(0, 1200, 6), np.arange(0, 1200, 6), np.full(200, 1 / 200))
    weights = learn_weights([(1., seen)])
    def best(w): return min(_loss(np.array(w) * scale, [(1., seen)])[0] for scale in np.geomspace(.1, 10, 60))
    grid = [(a / 20, b / 20, 1 - (a + b) / 20) for a in range(21) for b in range(21 - a)]
    assert best(weights) <= min(map(best, grid)) + 1e-3 and weights[0] > weights[1] > weights[2]


def test_heavy_pairs_decide():
    lists = {"x": [hits(a=1., b=0.), hits(b=1., a=0.)]}
    def learned(first, second): return learn_weights([(1., features([Example("x", "a", first, "1"), Example("x", "b", second, "2")], lists, "minmax", depth=2))])
    assert learned(9, 1)[0] > .9 and learned(1, 9)[1] > .9 and learned(1, 1) == (.5, .5)


def test_other_positives_of_the_query_are_no_mistakes():
    lists = {"x": [hits(a=1., b=.9, c=0.), hits(c=1., b=.5, a=0.)]}
    alone, shared = Example("x", "b", 1., "1"), Example("x", "b", 1., "1", frozenset("a"))
    assert len(features([alone], lists, "minmax", depth=3).values) == 3 and len(features([shared], lists, "minmax", depth=3).values) == 2
    scores = measured([shared], lists, systems(["one", "two"], Fusion("minmax", (1, 0)), 3), 1)["scores"]
    assert scores["one"]["mrr"] == scores["learned"]["mrr"] == 1 and scores["two"]["mrr"] == .5


def test_documents_without_a_docid_are_found_by_their_text(world):
    corpus = open_index(world/"texts").corpus
    write_jsonl(world/"texts.jsonl", [{"query": "q", "pos": [f"  {DOCUMENTS[3].text}", "gone"], "neg": ["n"], "reweight_rate": 2.}])
    assert [(e.docid, e.weight) for e in pair_examples(world/"texts.jsonl", corpus)] == [(DOCUMENTS[3].docid, 1.)]
    write_jsonl(world/"general.jsonl", [{"query": "q", "documents": [DOCUMENTS[5].text, DOCUMENTS[6].text]}])
    assert [e.docid for e in general_examples(world/"general.jsonl", corpus)] == [DOCUMENTS[5].docid]


def test_questions_are_held_out_whole(world):
    write_jsonl(world/"pairs.jsonl.provenance.jsonl", ({"query_id": n // 4} for n in range(48)))
    examples = pair_examples(world/"pairs.jsonl", open_index(world/"texts").corpus)
    learned, held = split(examples, .25, 5000, 7)
    assert len(learned) == 36 and len(held) == 12 and not {e.group for e in learned} & {e.group for e in held}
    assert split(examples, .25, 5000, 7) == (learned, held) != split(examples, .25, 5000, 8)


@pytest.mark.parametrize("method", FUSIONS)
def test_a_hybrid_from_the_command_line_is_an_index_as_any_other(world, capsys, method):
    write_jsonl(world/"general.jsonl", [{"query": d.title, "documents": [d.text, "another text"]} for d in DOCUMENTS])
    def train(): main(["train", str(world/"pairs.jsonl"), "--kind", "fusion", "--fusion", method, "--general", str(world/"general.jsonl"),
                       "--of", *(str(world/name) for name in NAMES), "--out", str(world/"hybrid")])
    train()
    said, index = capsys.readouterr().out, (world/"hybrid"/"index.json").read_bytes()
    record = read_json(world/"hybrid"/"training.json")
    assert f"({method}), learned from " in said and "held-out pairs: mrr +" in said and "held-out general queries: mrr " in said and " ms, the indexes " in said
    assert record["weights"][1] == max(record["weights"]) and sum(record["weights"]) == pytest.approx(1, abs=1e-3)
    gain = record["pairs"]["held_out"]["gain"]["mrr"]
    assert gain["over"] == "titles" and 0 < gain["low"] <= gain["difference"] <= gain["high"]
    assert open_index(world/"hybrid").search(DOCUMENTS[3].text, 1)[0].docid == DOCUMENTS[3].docid
    card = (world/"hybrid"/"README.md").read_text()
    assert "| texts | " in card and "## Held-out general queries" in card and "with 95% intervals" in card
    train() # Finished: nothing changes
    assert (world/"hybrid"/"index.json").read_bytes() == index and read_json(world/"hybrid"/"training.json") == record
    for name in ("index.json", "training.json", "begun.json"): (world/"hybrid"/name).unlink()
    train() # From the beginning: the same weights
    assert (world/"hybrid"/"index.json").read_bytes() == index
    main(["search", str(world/"hybrid"), "glass lamp", "--k", "2"])


@pytest.mark.parametrize("words,says", [
    ("", "--of is missing"), ("--of titles", "two retrievers or more"), ("--of titles titles", "titles: is named twice"), ("--of titles nowhere", "holds no finished index"),
    ("--of titles texts --fusion best", "unknown fusion 'best'"), ("--of titles texts --held_out 1", "held_out is 1.0; it must lie between 0 and 1"),
    ("--of titles texts --epochs 2", "--epochs means nothing to --kind fusion"), ("--of titles texts --general none.jsonl", "there is no such file"),
    ("--of titles texts --general_weight 0", "general_weight is 0.0"), ("--of titles texts --kind tree", "choose one of: encoder, fusion"),
    ("--of titles elsewhere", "different corpora")])
def test_a_users_mistake_is_one_line(world, capsys, monkeypatch, words, says):
    monkeypatch.chdir(world)
    (world/"other").mkdir()
    (world/"other"/"corpus.jsonl").write_text('{"id": "1", "contents": "a"}\n')
    if "elsewhere" in words: build_index("other/corpus.jsonl", "texts", "elsewhere")
    with pytest.raises(SystemExit): main(["train", "pairs.jsonl", "--kind", "fusion", "--out", "new", *words.split()])
    said = capsys.readouterr().err.strip().splitlines()
    assert says in said[-1] and "Traceback" not in "".join(said) and not (world/"new"/"training.json").exists()


def test_another_training_in_the_folder_is_refused(world):
    fuse_indexes(world/"pairs.jsonl", [world/"titles", world/"texts"], world/"hybrid")
    with pytest.raises(LratError, match="holds another training .settings differ"):
        fuse_indexes(world/"pairs.jsonl", [world/"titles", world/"texts"], world/"hybrid", seed=1)
    with pytest.raises(LratError, match="holds another training .pairs differ"):
        (world/"other.jsonl").write_text((world/"pairs.jsonl").read_text()[:5000].rpartition("\n")[0])
        fuse_indexes(world/"other.jsonl", [world/"titles", world/"texts"], world/"hybrid")


def test_an_encoder_that_was_trained_on_the_pairs_is_named(tmp_path):
    write_json(tmp_path/"model"/"training.json", {"pairs": {"sha256": "abc"}})
    write_json(tmp_path/"dense"/"index.json", {"kind": "dense", "model": "../model"})
    write_json(tmp_path/"hybrid"/"index.json", {"kind": "hybrid", "of": ["../dense"]})
    write_json(tmp_path/"base"/"index.json", {"kind": "dense", "model": "all-MiniLM-L6-v2"})
    assert [trained_on(tmp_path/name, "abc") for name in ("dense", "hybrid", "base")] == [True, True, False] and not trained_on(tmp_path/"dense", "def")


def test_measured_scores_reach_the_card(world, tmp_path):
    from lrat.training.hub import card_with_scores
    fuse_indexes(world/"pairs.jsonl", [world/"titles", world/"texts"], world/"hybrid")
    (tmp_path/"scores.jsonl").write_text(json.dumps({"query_id": "1", "status": "completed", "success": 1.0}) + "\n")
    card_with_scores(world/"hybrid", [tmp_path/"scores.jsonl"])
    assert "Not measured yet" not in (card := (world/"hybrid"/"README.md").read_text()) and "**scores**" in card and "| texts | " in card
