"Training through FlagEmbedding's own trainer: weights arrive, folders load, kills and mistakes do no harm."
import dataclasses
import json
import math

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("FlagEmbedding")
import numpy as np
from tiny_models import save_tiny, write_pairs

import lrat.trainer
import lrat.training
from lrat.base_model import choose_pooling, load_tokenizer_for
from lrat.files import read_json, sha256_file
from lrat.pairs_file import PairsFile
from lrat.settings import InputError, LratError, TrainingSettings
from lrat.trainer import last_checkpoint
from lrat.training import train

QUICK = TrainingSettings(epochs=2, batch_size=4, group_size=3, learning_rate=1e-3, temperature=.05, query_max_length=8,
                         document_max_length=8)
POOLING = {"encoder": "mean", "decoder": "last"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    "Ten pairs, so that the last batch of four is short, and two models; the first training of each is shared"
    folder = tmp_path_factory.mktemp("world")
    write_pairs(folder/"pairs.jsonl", 10)
    for name in POOLING: save_tiny(folder/name, name == "decoder")
    return folder


class Spy:
    "Keeps what the collator and the loss are given while a training runs"
    def __init__(self, patch):
        self.batches, self.calls = [], []
        collate, loss = lrat.trainer.PairsCollator.__call__, lrat.trainer.weighted_info_nce
        def spied_collate(collator, features):
            self.batches.append(features)
            return collate(collator, features)
        def spied_loss(query, documents, weights, *rest):
            self.calls.append([t.detach().clone() for t in (query, documents, weights)])
            return loss(query, documents, weights, *rest)
        patch.setattr(lrat.trainer.PairsCollator, "__call__", spied_collate)
        patch.setattr(lrat.trainer, "weighted_info_nce", spied_loss)


@pytest.fixture(scope="module", params=POOLING)
def trained(request, world):
    kind = request.param
    with pytest.MonkeyPatch.context() as patch:
        spy = Spy(patch)
        report = train(world/"pairs.jsonl", world/kind, world/f"{kind}-trained", QUICK, 7, POOLING[kind], "find : ", "[UNK] ")
    return kind, report, spy


def embed(folder, texts, pooling, max_length=8):
    "Each text alone through the plain transformers model"
    import transformers
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer, rows = load_tokenizer_for(folder, pooling), []
    with torch.no_grad():
        for text in texts:
            hidden = model(**tokenizer([text], truncation=True, max_length=max_length, return_tensors="pt")).last_hidden_state[0]
            rows.append(hidden[-1] if pooling == "last" else hidden.mean(0))
    return torch.nn.functional.normalize(torch.stack(rows), dim=-1).double()


def formula(query, documents, weights, group_size=3, temperature=.05):
    total = 0.
    for i in range(len(query)):
        score = (documents @ query[i] / temperature).tolist()
        total += float(weights[i]) * (math.log(sum(map(math.exp, score))) - score[i*group_size])
    return total / len(query)


def test_weights_reach_the_loss_of_the_real_trainer(world, trained):
    kind, report, spy = trained
    assert report["steps"] == len(report["losses"]) == len(spy.calls) == 6
    by_query = {row["query"]: row["reweight_rate"] for row in map(json.loads, (world/"pairs.jsonl").read_text().splitlines())}
    for logged, (query, documents, weights) in zip(report["losses"], spy.calls):
        assert logged == pytest.approx(formula(query.double(), documents.double(), weights), rel=1e-4)
    unweighted = [formula(query.double(), documents.double(), torch.ones(len(query))) for query, documents, _ in spy.calls]
    assert max(abs(a/b - 1) for a, b in zip(report["losses"], unweighted)) > .1
    assert sorted(len(call[2]) for call in spy.calls) == [2, 2, 4, 4, 4, 4]
    for features, (_, _, weights) in zip(spy.batches, spy.calls):
        assert [by_query[f["query"].removeprefix("find : ")] for f in features] == pytest.approx(weights.tolist(), rel=1e-6)
    seen = [f["query"] for features in spy.batches for f in features]
    assert len(set(seen[:10])) == len(set(seen[10:])) == 10 and seen[:10] != seen[10:] # Each epoch in another order


def test_the_first_loss_is_that_of_the_base_model(world, trained):
    "Nothing but the base model, the texts of the first batch and the formula"
    kind, report, spy = trained
    features = spy.batches[0]
    query = embed(world/kind, [f["query"] for f in features], POOLING[kind])
    documents = embed(world/kind, [d for f in features for d in f["documents"]], POOLING[kind])
    assert all(d.startswith("[UNK] ") for f in features for d in f["documents"])
    assert report["losses"][0] == pytest.approx(formula(query, documents, [f["weight"] for f in features]), rel=1e-4)


def test_sentence_transformers_loads_it_as_it_was_trained(world, trained):
    from sentence_transformers import SentenceTransformer
    kind, report, spy = trained
    model = SentenceTransformer(str(world/f"{kind}-trained"), device="cpu")
    texts = ["baran cesel", "ditim fovor guwex haran jesel kitim lovor muwex", "wex"]
    for name, prompt in (("query", "find : "), ("document", "[UNK] ")):
        ours = embed(world/f"{kind}-trained", [prompt + text for text in texts], POOLING[kind])
        theirs = model.encode(texts, prompt_name=name)
        np.testing.assert_allclose(theirs, ours.numpy(), atol=1e-5)
    assert model.max_seq_length == 8
    moved = embed(world/kind, ["find : " + texts[0]], POOLING[kind]) - embed(world/f"{kind}-trained", ["find : " + texts[0]], POOLING[kind])
    assert moved.norm() > 1e-3 # It did learn
    assert choose_pooling(world/f"{kind}-trained") == POOLING[kind]


def test_the_report(world, trained):
    kind, report, _ = trained
    assert report == read_json(world/f"{kind}-trained"/"training.json")
    assert report["settings"] == dataclasses.asdict(QUICK)
    assert report["pairs"]["sha256"] == sha256_file(world/"pairs.jsonl") and report["pairs"]["pairs"] == 10
    assert {"code_version", "torch", "seed", "pooling", "query_prompt", "base"} <= set(report)
    assert not list(world.glob(f".{kind}-trained*")) # No checkpoints are left
    assert str(world) not in (world/f"{kind}-trained"/"training.json").read_text()


def test_without_in_batch_negatives(world, tmp_path, monkeypatch):
    spy = Spy(monkeypatch)
    report = train(world/"pairs.jsonl", world/"encoder", tmp_path/"out", dataclasses.replace(QUICK, in_batch_negatives=False, max_steps=1),
                   pooling="mean")
    query, documents, weights = (t.double() for t in spy.calls[0])
    alone = [formula(query[i:i+1], documents[3*i:3*i+3], weights[i:i+1]) for i in range(4)]
    assert report["losses"] == pytest.approx([np.mean(alone)], rel=1e-4)
    assert report["losses"] != pytest.approx([formula(query, documents, weights)], rel=1e-2)


def weights_of(folder): return sha256_file(folder/"model.safetensors")


def test_a_training_that_is_killed_goes_on_to_the_same_bytes(world, tmp_path, monkeypatch):
    long, whole = dataclasses.replace(QUICK, epochs=3), tmp_path/"whole"
    train(world/"pairs.jsonl", world/"encoder", whole, long, 7, "mean")
    step, steps = lrat.trainer.PairsTrainer.training_step, []
    def killed(trainer, *args, **kwargs):
        steps.append(trainer.state.global_step)
        if len(steps) in (3, 6, 12): raise KeyboardInterrupt # In the first, the second and the last epoch
        return step(trainer, *args, **kwargs)
    monkeypatch.setattr(lrat.trainer.PairsTrainer, "training_step", killed)
    def again(): return train(world/"pairs.jsonl", world/"encoder", tmp_path/"out", long, 7, "mean")
    with pytest.raises(KeyboardInterrupt): again()
    assert not (tmp_path/"out").exists() and last_checkpoint(tmp_path/".out.part").name == "checkpoint-2"
    with pytest.raises(KeyboardInterrupt): again()
    # The last checkpoint is cut off as well, so the one before is taken
    cut = tmp_path/".out.part"/"checkpoint-4"/"trainer_state.json"
    cut.write_text(cut.read_text()[:50])
    assert last_checkpoint(tmp_path/".out.part").name == "checkpoint-3"
    with pytest.raises(KeyboardInterrupt): again()
    report = again()
    assert steps == [0, 1, 2, 2, 3, 4, 3, 4, 5, 6, 7, 8, 8]
    assert weights_of(tmp_path/"out") == weights_of(whole)
    assert report["losses"] == read_json(whole/"training.json")["losses"]


def test_the_seed_decides(world, tmp_path):
    few = dataclasses.replace(QUICK, max_steps=2)
    made = [train(world/"pairs.jsonl", world/"encoder", tmp_path/name, few, seed, "mean") for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    assert weights_of(tmp_path/"a") == weights_of(tmp_path/"b") != weights_of(tmp_path/"c")
    assert made[0]["losses"] == made[1]["losses"] != made[2]["losses"]


def test_a_finished_folder_is_left_alone_and_another_training_refused(world, tmp_path, monkeypatch):
    few = dataclasses.replace(QUICK, max_steps=1)
    first = train(world/"pairs.jsonl", world/"encoder", tmp_path/"out", few, pooling="mean")
    written = (tmp_path/"out"/"model.safetensors").stat().st_mtime_ns
    monkeypatch.setattr(lrat.training, "make_trainer", None) # Would fail if it were used
    assert train(world/"pairs.jsonl", world/"encoder", tmp_path/"out", few, pooling="mean") == first
    assert (tmp_path/"out"/"model.safetensors").stat().st_mtime_ns == written
    with pytest.raises(LratError, match="holds another training .settings differ"):
        train(world/"pairs.jsonl", world/"encoder", tmp_path/"out", QUICK, pooling="mean")
    (tmp_path/"full").mkdir()
    (tmp_path/"full"/"letter.txt").write_text("mine")
    with pytest.raises(LratError, match="holds other files"): train(world/"pairs.jsonl", world/"encoder", tmp_path/"full", few, pooling="mean")


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_state(world, tmp_path):
    rows = write_pairs(tmp_path/"pairs.jsonl", 10)
    rows[6]["reweight_rate"] = 3e38 # A weight that no float32 loss can hold
    (tmp_path/"pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    one_by_one = dataclasses.replace(QUICK, batch_size=1)
    with pytest.raises(LratError, match=r"step \d+: the loss is inf.*last good state is") as caught:
        train(tmp_path/"pairs.jsonl", world/"encoder", tmp_path/"out", one_by_one, 4, "mean")
    stopped = int(str(caught.value).split()[1].strip(":"))
    kept = last_checkpoint(tmp_path/".out.part")
    assert 1 < stopped <= 10 and int(kept.name.split("-")[1]) < stopped and not (tmp_path/"out").exists()
    from safetensors.torch import load_file
    assert all(torch.isfinite(tensor).all() for tensor in load_file(kept/"model.safetensors").values())


GOOD = {"query": "baran", "pos": ["cesel"], "neg": ["ditim"], "reweight_rate": 1.0}


@pytest.mark.parametrize("change,says", [
    ({"pos": []}, "field 'pos' is empty"), ({"pos": [""]}, "field 'pos' holds ''"), ({"neg": ["x", "\n"]}, "field 'neg' holds"),
    ({"neg": [None]}, "field 'neg' holds None"), ({"query": "  "}, "field 'query' holds"), ({"pos": "cesel"}, "must be list"),
    ({"reweight_rate": -1}, "is -1"), ({"reweight_rate": float("nan")}, "is nan"), ({"reweight_rate": "1"}, "is str"),
    ({"reweight_rate": True}, "is bool"), ({"reweight_rate": None}, "is NoneType"), ({"reweight_rate": ...}, "mine with weights, or set it to 1"),
    ({"query": ...}, "has no field 'query'"),
])
def test_bad_pairs_name_file_and_line(tmp_path, change, says):
    bad = {k: v for k, v in (GOOD | change).items() if v is not ...}
    (tmp_path/"pairs.jsonl").write_text(json.dumps(GOOD) + "\n\n" + json.dumps(bad) + "\n")
    with pytest.raises(InputError, match="pairs.jsonl:3: ") as caught: PairsFile(tmp_path/"pairs.jsonl", 2)
    assert says in str(caught.value)


def test_bad_files(tmp_path, world):
    for text, says in (("", "holds no pairs"), ("{", "pairs.jsonl:1: is no JSON"), (json.dumps(GOOD), "lower group_size")):
        (tmp_path/"pairs.jsonl").write_text(text)
        with pytest.raises(InputError, match=says): PairsFile(tmp_path/"pairs.jsonl", 4)
    with pytest.raises(InputError, match="no such file"): train(tmp_path/"none.jsonl", world/"encoder", tmp_path/"out", QUICK)
    with pytest.raises(LratError, match="holds no model"): train(world/"pairs.jsonl", tmp_path, tmp_path/"out", QUICK)
    with pytest.raises(LratError, match="name one"): train(world/"pairs.jsonl", world/"encoder", tmp_path/"out", QUICK, pooling="max")
    assert not (tmp_path/"out").exists()


def test_draws(tmp_path):
    "Without replacement, new ones each epoch, gaps filled from other pairs, and never a positive of the same query"
    rows = write_pairs(tmp_path/"pairs.jsonl", 6, negatives=8)
    rows[1]["query"], rows[1]["neg"] = rows[0]["query"], rows[1]["neg"][:1]
    rows[2]["neg"].append(rows[1]["pos"][0]) # A positive of rows 0 and 1 among the negatives of another query
    rows[0]["neg"] += rows[0]["pos"] + rows[0]["neg"][:1] # Its own positive, and one twice
    (tmp_path/"pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = PairsFile(tmp_path/"pairs.jsonl", 5)
    own, filled = set(), set()
    for epoch in range(60):
        pairs.set_epoch(epoch)
        for row in (0, 1):
            positive, *negatives = pairs[row]["documents"]
            assert positive == rows[row]["pos"][0] and len(set(negatives)) == 4
            assert not {rows[0]["pos"][0], rows[1]["pos"][0]} & set(negatives)
            assert pairs[row]["documents"] == pairs[row]["documents"]
        own |= set(pairs[0]["documents"][1:])
        assert rows[1]["neg"][0] in pairs[1]["documents"]
        filled |= set(pairs[1]["documents"]) - {rows[1]["neg"][0]}
    assert own == set(rows[0]["neg"]) - set(rows[0]["pos"]) and len(filled) > 15
    assert pairs.few == [1]
    assert PairsFile(tmp_path/"pairs.jsonl", 5, seed=1)[0]["documents"] != PairsFile(tmp_path/"pairs.jsonl", 5, seed=2)[0]["documents"]


def test_byte_order_mark_and_line_ends(tmp_path):
    text = "\r\n".join(json.dumps(GOOD | {"query": f"größe {n}"}, ensure_ascii=False) for n in range(3))
    (tmp_path/"pairs.jsonl").write_bytes(b"\xef\xbb\xbf" + text.encode())
    pairs = PairsFile(tmp_path/"pairs.jsonl", 2)
    assert [pairs.pair(n).query for n in range(3)] == ["größe 0", "größe 1", "größe 2"]
