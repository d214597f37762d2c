"Training through FlagEmbedding's own trainer: weights arrive, folders load, kills and mistakes do no harm."
import csv
import dataclasses
import json
import math

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("FlagEmbedding")
import numpy as np
from tiny_models import write_pairs

from lrat.testing.encoders import save_tiny
import lrat.training.trainer
import lrat.training.train
from lrat.training.base_model import choose_pooling, load_tokenizer_for
from lrat.core.files import read_json, sha256_file
from lrat.training.export import check_model
from lrat.training.dataset import PairsFile
from lrat.retrieval.query_forms import query_form
from lrat.core.settings import InputError, LratError, TrainingSettings
from lrat.training.checkpoints import last_checkpoint, seal_checkpoint
from lrat.training.train import train

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
        collate, loss = lrat.training.trainer.PairsCollator.__call__, lrat.training.trainer.weighted_info_nce
        def spied_collate(collator, features):
            self.batches.append(features)
            return collate(collator, features)
        def spied_loss(query, documents, weights, *rest):
            self.calls.append([t.detach().clone() for t in (query, documents, weights)])
            return loss(query, documents, weights, *rest)
        patch.setattr(lrat.training.trainer.PairsCollator, "__call__", spied_collate)
        patch.setattr(lrat.training.trainer, "weighted_info_nce", spied_loss)


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
    step, steps = lrat.training.trainer.PairsTrainer.training_step, []
    def killed(trainer, *args, **kwargs):
        steps.append(trainer.state.global_step)
        if len(steps) in (3, 6, 12): raise KeyboardInterrupt # In the first, the second and the last epoch
        return step(trainer, *args, **kwargs)
    monkeypatch.setattr(lrat.training.trainer.PairsTrainer, "training_step", killed)
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


def test_a_training_that_is_killed_after_its_last_step_takes_no_other(world, tmp_path, monkeypatch):
    few = dataclasses.replace(QUICK, max_steps=2)
    train(world/"pairs.jsonl", world/"encoder", tmp_path/"whole", few, 7, "mean")
    def again(): return train(world/"pairs.jsonl", world/"encoder", tmp_path/"out", few, 7, "mean")
    with monkeypatch.context() as patch:
        def killed(*args): raise KeyboardInterrupt
        patch.setattr("lrat.training.train.save_model", killed)
        with pytest.raises(KeyboardInterrupt): again()
    assert last_checkpoint(tmp_path/".out.part").name == "checkpoint-2"
    again()
    for name in ("model.safetensors", "training.csv", "files.sha256"): assert (tmp_path/"out"/name).read_bytes() == (tmp_path/"whole"/name).read_bytes()
    whole, out = (read_json(tmp_path/name/"training.json") for name in ("whole", "out"))
    assert whole | {"name": "out"} == out and out["steps"] == 2


def test_the_seed_decides(world, tmp_path):
    few = dataclasses.replace(QUICK, max_steps=2)
    made = [train(world/"pairs.jsonl", world/"encoder", tmp_path/name, few, seed, "mean") for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    assert weights_of(tmp_path/"a") == weights_of(tmp_path/"b") != weights_of(tmp_path/"c")
    assert made[0]["losses"] == made[1]["losses"] != made[2]["losses"]


def test_a_fixed_number_of_threads_is_kept_whatever_torch_has(world, tmp_path, monkeypatch):
    import torch
    seen, step, before = [], lrat.training.trainer.PairsTrainer.training_step, torch.get_num_threads()
    monkeypatch.setattr(lrat.training.trainer.PairsTrainer, "training_step", lambda *args, **more: seen.append(torch.get_num_threads()) or step(*args, **more))
    few = dataclasses.replace(QUICK, max_steps=1, threads=1)
    try:
        for threads in (2, 3):
            torch.set_num_threads(threads)
            train(world/"pairs.jsonl", world/"encoder", tmp_path/str(threads), few, pooling="mean")
            assert torch.get_num_threads() == threads
    finally: torch.set_num_threads(before)
    assert seen == [1, 1] and weights_of(tmp_path/"2") == weights_of(tmp_path/"3")


def test_a_training_of_before_threads_were_a_setting_is_still_found(world, tmp_path):
    few = dataclasses.replace(QUICK, max_steps=1)
    train(world/"pairs.jsonl", world/"encoder", tmp_path/"out", few, pooling="mean")
    old = read_json(tmp_path/"out"/"training.json")
    del old["settings"]["threads"]
    (tmp_path/"out"/"training.json").write_text(json.dumps(old))
    assert train(world/"pairs.jsonl", world/"encoder", tmp_path/"out", few, pooling="mean") == old
    with pytest.raises(LratError, match="settings differ"): train(world/"pairs.jsonl", world/"encoder", tmp_path/"out", dataclasses.replace(few, threads=1), pooling="mean")


def test_a_finished_folder_is_left_alone_and_another_training_refused(world, tmp_path, monkeypatch):
    few = dataclasses.replace(QUICK, max_steps=1)
    first = train(world/"pairs.jsonl", world/"encoder", tmp_path/"out", few, pooling="mean")
    written = (tmp_path/"out"/"model.safetensors").stat().st_mtime_ns
    monkeypatch.setattr(lrat.training.train, "make_trainer", None) # Would fail if it were used
    assert train(world/"pairs.jsonl", world/"encoder", tmp_path/"out", few, pooling="mean") == first
    assert (tmp_path/"out"/"model.safetensors").stat().st_mtime_ns == written
    with pytest.raises(LratError, match="holds another training .settings differ"):
        train(world/"pairs.jsonl", world/"encoder", tmp_path/"out", QUICK, pooling="mean")
    (tmp_path/"full").mkdir()
    (tmp_path/"full"/"letter.txt").write_text("mine")
    with pytest.raises(LratError, match="holds other files"): train(world/"pairs.jsonl", world/"encoder", tmp_path/"full", few, pooling="mean")


@pytest.mark.parametrize("options", [dict(lora_rank=2), dict(gradient_cache=True, tokens_at_once=16)], ids=["adapters", "cached"])
def test_weights_of_pairs_survive_a_kill(world, tmp_path, monkeypatch, options):
    "Shuffled, in sub-batches, with a short last batch, and resumed: each query still comes with its own weight, and the bytes are the same"
    settings = dataclasses.replace(QUICK, **options)
    spy, step, steps = Spy(monkeypatch), lrat.training.trainer.PairsTrainer.training_step, []
    def killed(trainer, *args, **kwargs):
        steps.append(trainer.state.global_step)
        if len(steps) == 5: raise KeyboardInterrupt
        return step(trainer, *args, **kwargs)
    monkeypatch.setattr(lrat.training.trainer.PairsTrainer, "training_step", killed)
    def again(name): return train(world/"pairs.jsonl", world/"decoder", tmp_path/name, settings, 7, "last")
    with pytest.raises(KeyboardInterrupt): again("out")
    again("out")
    assert steps == [0, 1, 2, 3, 4, 4, 5]
    weight_of = {row["query"]: row["reweight_rate"] for row in map(json.loads, (world/"pairs.jsonl").read_text().splitlines())}
    given = [weights.tolist() for _, _, weights in spy.calls]
    trained = [[weight_of[f["query"]] for f in features] for features in spy.batches]
    for weights in given: assert any(weights == pytest.approx(batch, rel=1e-6) for batch in trained)
    assert sorted(map(len, given)) == [2, 2, 4, 4, 4, 4]
    whole = again("whole")
    assert weights_of(tmp_path/"out") == weights_of(tmp_path/"whole")
    rows = list(csv.DictReader(open(tmp_path/"out"/"training.csv")))
    assert [float(row["loss"]) for row in rows] == whole["losses"] and [int(row["step"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert (tmp_path/"out"/"training.csv").read_bytes() == (tmp_path/"whole"/"training.csv").read_bytes()


def test_adapters_are_merged_and_move_little_else(world, tmp_path):
    from safetensors.torch import load_file
    train(world/"pairs.jsonl", world/"encoder", tmp_path/"out", dataclasses.replace(QUICK, lora_rank=2), 7, "mean")
    base, found = load_file(world/"encoder"/"model.safetensors"), load_file(tmp_path/"out"/"model.safetensors")
    assert set(found) == set(base) and not list((tmp_path/"out").glob("adapter*"))
    moved = {name for name in base if not torch.equal(base[name].float(), found[name])}
    assert moved and all(name.endswith("weight") and base[name].ndim == 2 and "embeddings" not in name for name in moved)
    for name in moved: assert torch.linalg.matrix_rank(found[name] - base[name].float(), rtol=1e-3) <= 2


def test_bfloat16_follows_the_same_curve(world, trained, tmp_path):
    kind, report, _ = trained
    half = train(world/"pairs.jsonl", world/kind, tmp_path/"out", dataclasses.replace(QUICK, bf16=True), 7, POOLING[kind], "find : ", "[UNK] ")
    assert half["losses"] == pytest.approx(report["losses"], rel=.1) and half["losses"] != report["losses"]


def test_each_library_computes_the_same_from_the_folder(world, trained):
    kind, *_ = trained
    cosines = check_model(world/f"{kind}-trained")
    assert set(cosines) == {"sentence-transformers", "FlagEmbedding"} and min(cosines.values()) >= .9999


def test_what_the_trainer_keeps_for_tensorboard(world, tmp_path):
    loading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    report = train(world/"pairs.jsonl", world/"encoder", tmp_path/"out", dataclasses.replace(QUICK, max_steps=2), pooling="mean", tensorboard=tmp_path/"events")
    events = loading.EventAccumulator(str(tmp_path/"events"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [(n, pytest.approx(loss)) for n, loss in enumerate(report["losses"], 1)]


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_state(world, tmp_path):
    rows = write_pairs(tmp_path/"pairs.jsonl", 10)
    rows[6]["reweight_rate"] = 3e38 # A weight that no float32 loss can hold
    (tmp_path/"pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    one_by_one = dataclasses.replace(QUICK, batch_size=1)
    with pytest.raises(LratError, match=r"step \d+: the loss is inf.*, with pairs.jsonl, line 7 .weight 3e.38.; .*last good state is") as caught:
        train(tmp_path/"pairs.jsonl", world/"encoder", tmp_path/"out", one_by_one, 4, "mean")
    stopped = int(str(caught.value).split()[1].strip(":"))
    kept = last_checkpoint(tmp_path/".out.part")
    assert 1 < stopped <= 10 and int(kept.name.split("-")[1]) < stopped and not (tmp_path/"out").exists()
    from safetensors.torch import load_file
    assert all(torch.isfinite(tensor).all() for tensor in load_file(kept/"model.safetensors").values())


def test_the_pair_is_named_among_those_of_its_batch(world, tmp_path):
    rows = write_pairs(tmp_path/"pairs.jsonl", 10)
    rows[6]["reweight_rate"] = 3e38
    (tmp_path/"pairs.jsonl").write_text("\n" + "".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(LratError, match=r"^step \d: the loss is inf.*, with pairs.jsonl, line 8 .weight 3e.38.; training stopped, no state had been kept yet"):
        train(tmp_path/"pairs.jsonl", world/"encoder", tmp_path/"out", dataclasses.replace(QUICK, batch_size=10), 4, "mean")


def test_weights_that_are_no_numbers_are_neither_kept_nor_trained_on(world, tmp_path):
    "The loss and the gradient of the step are finite, but not what the step made of the weights"
    with pytest.raises(LratError, match=r"^step 2: the weights after it are not finite, with pairs.jsonl, lines \d+, \d+, \d+, \d+; .*is .*checkpoint-1; "):
        train(world/"pairs.jsonl", world/"encoder", tmp_path/"out", dataclasses.replace(QUICK, learning_rate=1e39), 4, "mean") # Step 1 warms up
    assert [path.name for path in (tmp_path/".out.part").glob("checkpoint-*")] == ["checkpoint-1"] and not (tmp_path/"out").exists()


def flip(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize("name,harm", [("model.safetensors", flip), ("optimizer.pt", flip), ("trainer_state.json", flip), ("sha256.json", flip),
    ("optimizer.pt", lambda path: path.write_bytes(path.read_bytes()[:-1])), ("scheduler.pt", lambda path: path.unlink()), ("sha256.json", lambda path: path.unlink())])
def test_a_corrupt_checkpoint_is_left_out_and_said(world, tmp_path, monkeypatch, capsys, name, harm):
    step, steps = lrat.training.trainer.PairsTrainer.training_step, []
    def killed(trainer, *args, **kwargs):
        steps.append(trainer.state.global_step)
        if steps == [0, 1, 2, 3]: raise KeyboardInterrupt
        return step(trainer, *args, **kwargs)
    monkeypatch.setattr(lrat.training.trainer.PairsTrainer, "training_step", killed)
    def again(): return train(world/"pairs.jsonl", world/"encoder", tmp_path/"out", QUICK, 7, "mean", "find : ", "[UNK] ")
    with pytest.raises(KeyboardInterrupt): again()
    harm(tmp_path/".out.part"/"checkpoint-3"/name)
    report = again()
    said = capsys.readouterr().err
    assert steps == [0, 1, 2, 3, 2, 3, 4, 5] and "checkpoint-3: " in said and "it is left out, and checkpoint-2 is tried" in said
    assert name == "sha256.json" or name in said
    if (world/"encoder-trained").is_dir(): # Made by the fixture `trained`
        assert report["losses"] == read_json(world/"encoder-trained"/"training.json")["losses"] and weights_of(tmp_path/"out") == weights_of(world/"encoder-trained")


def test_two_trainings_in_one_folder_are_refused(world, tmp_path, monkeypatch):
    from lrat.core.files import output_lock
    with output_lock(tmp_path/"out", "training"):
        with pytest.raises(LratError, match="training") as caught: train(world/"pairs.jsonl", world/"encoder", tmp_path/"out", QUICK, pooling="mean")
    assert "\n" not in str(caught.value) and not (tmp_path/"out").exists() and not (tmp_path/".out.part"/"begun.json").exists()
    monkeypatch.setenv("RANK", "1") # One of several processes of one training: the first of them holds the lock
    with output_lock(tmp_path/"out", "training"): train(world/"pairs.jsonl", world/"encoder", tmp_path/"out", dataclasses.replace(QUICK, max_steps=1), pooling="mean")
    assert (tmp_path/"out"/"training.json").is_file()


GOOD = {"query": "baran", "pos": ["cesel"], "neg": ["ditim"], "reweight_rate": 1.0}


@pytest.mark.parametrize("change,says", [
    ({"pos": []}, "field 'pos' is empty"), ({"pos": [""]}, "field 'pos' holds ''"), ({"neg": ["x", "\n"]}, "field 'neg' holds"),
    ({"neg": [None]}, "field 'neg' holds None"), ({"query": "  "}, "field 'query' holds"), ({"pos": "cesel"}, "must be list"),
    ({"reweight_rate": -1}, "is -1"), ({"reweight_rate": float("nan")}, "holds NaN, which is not a finite number"), ({"reweight_rate": "1"}, "is str"),
    ({"reweight_rate": True}, "is bool"), ({"reweight_rate": None}, "is NoneType"), ({"reweight_rate": ...}, "mine with weights, or set it to 1"),
    ({"query": ...}, "has no field 'query'"),
])
def test_bad_pairs_name_file_and_line(tmp_path, change, says):
    bad = {k: v for k, v in (GOOD | change).items() if v is not ...}
    (tmp_path/"pairs.jsonl").write_text(json.dumps(GOOD) + "\n\n" + json.dumps(bad) + "\n")
    with pytest.raises(InputError, match="pairs.jsonl:3: ") as caught: PairsFile(tmp_path/"pairs.jsonl", 2)
    assert says in str(caught.value)


def test_bad_files(tmp_path, world):
    for text, says in (("", "holds no pairs"), ("{", "pairs.jsonl:1: is not valid JSON"), (json.dumps(GOOD), "lower group_size")):
        (tmp_path/"pairs.jsonl").write_text(text)
        with pytest.raises(InputError, match=says): PairsFile(tmp_path/"pairs.jsonl", 4)
    with pytest.raises(InputError, match="no such file"): train(tmp_path/"none.jsonl", world/"encoder", tmp_path/"out", QUICK)
    with pytest.raises(LratError, match="holds no model"): train(world/"pairs.jsonl", tmp_path, tmp_path/"out", QUICK)
    with pytest.raises(LratError, match="name one"): train(world/"pairs.jsonl", world/"encoder", tmp_path/"out", QUICK, pooling="max")
    assert not (tmp_path/"out").exists()


@pytest.mark.parametrize("change,says", [
    ({"neg_weights": [1]}, "4 texts in 'neg', but 1 in 'neg_weights'"), ({"neg_weights": [1, 1, float("nan"), 1]}, "holds NaN, which is not a finite number"),
    ({"neg_weights": [1, 1, 1, -.5]}, "'neg_weights' is -0.5"), ({"neg_weights": [1, 1, 1, "1"]}, "'neg_weights' is 1, but must be a number"),
    ({"neg_weights": None}, "is NoneType"), ({"earlier_queries": "one"}, "must be list"), ({"earlier_queries": [1]}, "must be a list of texts"),
    ({"question": None}, "is NoneType"), ({"preceding_reasoning": ...}, "which the query form 'all' needs; lrat mine can add it"),
])
def test_bad_options_of_a_pair(tmp_path, change, says):
    row = GOOD | {"neg": list("abcd"), "question": "", "earlier_queries": [], "preceding_reasoning": ""} | change
    (tmp_path/"pairs.jsonl").write_text(json.dumps({k: v for k, v in row.items() if v is not ...}))
    with pytest.raises(InputError, match="pairs.jsonl:1: ") as caught: PairsFile(tmp_path/"pairs.jsonl", 2, form=query_form("all"))
    assert says in str(caught.value)


def test_a_text_of_a_megabyte_is_read_as_far_as_the_model_reads(world, tmp_path):
    rows = write_pairs(tmp_path/"pairs.jsonl", 4)
    short = [row | {"pos": ["baran " * 40], "query": "cesel " * 40} for row in rows]
    long = [row | {"pos": ["baran " * 200_000], "query": "cesel " * 200_000} for row in rows]
    reports = []
    for name, changed in (("short", short), ("long", long)):
        (tmp_path/f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in changed))
        reports.append(train(tmp_path/f"{name}.jsonl", world/"encoder", tmp_path/name, dataclasses.replace(QUICK, max_steps=1), pooling="mean"))
    assert reports[0]["losses"] == reports[1]["losses"]


def test_a_model_without_a_tokenizer(world, tmp_path):
    import shutil
    for kind in POOLING:
        shutil.copytree(world/kind, tmp_path/kind)
        for path in (tmp_path/kind).glob("tokenizer*"): path.unlink()
        with pytest.raises(LratError, match="holds no tokenizer"):
            train(world/"pairs.jsonl", tmp_path/kind, tmp_path/"out", QUICK, pooling=POOLING[kind])
    (tmp_path/"encoder"/"tokenizer.json").write_text("{")
    with pytest.raises(LratError, match="holds no tokenizer"):
        train(world/"pairs.jsonl", tmp_path/"encoder", tmp_path/"out", QUICK, pooling="mean")
    (tmp_path/"encoder"/"tokenizer.json").write_bytes((world/"encoder"/"tokenizer.json").read_bytes())
    (tmp_path/"encoder"/"model.safetensors").write_bytes(b"cut off")
    with pytest.raises(LratError, match="holds no model that can be loaded"):
        train(world/"pairs.jsonl", tmp_path/"encoder", tmp_path/"out", QUICK, pooling="mean")
    assert not (tmp_path/"out").exists()


def test_another_models_checkpoint_is_refused(world, tmp_path, monkeypatch):
    step = lrat.training.trainer.PairsTrainer.training_step
    def killed(trainer, *args, **kwargs):
        if trainer.state.global_step == 3: raise KeyboardInterrupt
        return step(trainer, *args, **kwargs)
    with monkeypatch.context() as patch:
        patch.setattr(lrat.training.trainer.PairsTrainer, "training_step", killed)
        with pytest.raises(KeyboardInterrupt): train(world/"pairs.jsonl", world/"encoder", tmp_path/"out", QUICK, pooling="mean")
    kept = last_checkpoint(tmp_path/".out.part")
    with pytest.raises(LratError, match="holds another training .pooling, base differ"):
        train(world/"pairs.jsonl", world/"decoder", tmp_path/"out", QUICK, pooling="last")
    # The weights of another model in a folder that says it is this one
    (kept/"model.safetensors").write_bytes((world/"decoder"/"model.safetensors").read_bytes())
    seal_checkpoint(kept)
    with pytest.raises(LratError, match="is the checkpoint of another model"):
        train(world/"pairs.jsonl", world/"encoder", tmp_path/"out", QUICK, pooling="mean")


@pytest.mark.parametrize("change,says", [
    (dict(query_form="history"), "unknown query form"), (dict(padding_side="middle"), "choose left or right"), (dict(distillation_weight=1.), "go together"),
    (dict(distillation_weight=-1.), "must not be negative"), (dict(cross_device_negatives=True, in_batch_negatives=False), "turn both on"),
    (dict(deepspeed="none.json"), "deepspeed"),
])
def test_bad_settings(world, tmp_path, change, says):
    with pytest.raises(LratError, match=says):
        train(world/"pairs.jsonl", world/"encoder", tmp_path/"out", dataclasses.replace(QUICK, **change), pooling="mean")
    assert not (tmp_path/"out").exists()


@pytest.mark.parametrize("words,bf16,rank", [((), True, 0), (("--lora_rank", "2"), True, 2), (("--preset", "recommended"), True, 0),
                                             (("--profile", "mini"), False, 0), (("--profile", "mini", "--bf16"), True, 0)])
@pytest.mark.parametrize("emulated", [False, True])
def test_flags_that_are_not_given_leave_the_preset_as_it_is(words, bf16, rank, emulated, monkeypatch, capsys):
    from fastcore.script import anno_parser
    monkeypatch.setattr(lrat.training.train, "is_emulated", lambda dtype: emulated)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    profile = () if "--profile" in words else ("--profile", "paper")
    values = vars(anno_parser(lrat.training.train.train_command).parse_args(["pairs.jsonl", "--model", "b", "--out", "m", *profile, *words]))
    settings = lrat.training.train._given_settings(values)
    turned_off = bf16 and emulated and "--bf16" not in words
    assert (settings.bf16, settings.lora_rank) == (bf16 and not turned_off, rank)
    assert ("so this trains in float32; --bf16 keeps bfloat16" in capsys.readouterr().err) == turned_off


def test_bad_general_queries(world, tmp_path):
    held = dataclasses.replace(QUICK, distillation_weight=1.)
    for text, says in (("", "holds no general queries"), ('{"query": "a"}', "has no field 'documents'"), ('{"query": " ", "documents": ["b"]}', "'query' holds"),
                       ('{"query": "a", "documents": []}', "'documents' is empty"), ('{"query": "a", "documents": [""]}', "'documents' holds ''")):
        (tmp_path/"general.jsonl").write_text(text)
        with pytest.raises(InputError, match=says):
            train(world/"pairs.jsonl", world/"encoder", tmp_path/"out", held, pooling="mean", general=tmp_path/"general.jsonl")


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


def test_a_positive_of_another_pair_is_not_drawn_from_the_pairs_own_list(tmp_path):
    rows = [GOOD | {"query": "river", "pos": ["thames"], "neg": ["danube", "oak"]}, GOOD | {"query": "river", "pos": ["danube"], "neg": ["elm", "oak"]}]
    def pairs(rows):
        (tmp_path/"pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return PairsFile(tmp_path/"pairs.jsonl", 3)
    found = pairs(rows)
    assert (found.spared, found.few, found.pair(0).negatives) == (1, [0], ("oak",)) and set(found[0]["documents"]) == {"thames", "oak", "elm"}
    by_docid = pairs([rows[0] | {"neg_id": [1, 2], "neg_weights": [3, 1]}, rows[1] | {"pos": ["a longer text of it"], "pos_id": ["1"]}])
    assert (by_docid.spared, by_docid.pair(0).negatives, by_docid.pair(0).negative_weights) == (1, ("oak",), (1.,))
    from lrat.training.loss import positives_of_others # In a batch, the other text of that document is no negative either
    batch = [by_docid[0] | {"documents": ["thames", "oak", "danube"]}]
    from lrat.mining.positives import text_key
    excluded = positives_of_others(torch.tensor([text_key(text) for text in batch[0]["documents"]]), torch.tensor([batch[0]["positive_keys"]]), 3)
    assert excluded.tolist() == [[False, False, True]]
    with pytest.raises(InputError, match="pairs.jsonl:1: has 2 texts in 'neg', but 1 in 'neg_id'"): pairs([rows[0] | {"neg_id": [1]}])
    with pytest.raises(InputError, match="pairs.jsonl:1: has too few negatives for group_size 3"): pairs([rows[0], rows[1] | {"neg": ["thames", "oak"]}])


def test_byte_order_mark_and_line_ends(tmp_path):
    text = "\r\n".join(json.dumps(GOOD | {"query": f"größe {n}"}, ensure_ascii=False) for n in range(3))
    (tmp_path/"pairs.jsonl").write_bytes(b"\xef\xbb\xbf" + text.encode())
    pairs = PairsFile(tmp_path/"pairs.jsonl", 2)
    assert [pairs.pair(n).query for n in range(3)] == ["größe 0", "größe 1", "größe 2"]


def test_general_queries_are_made_from_an_index_or_taken_from_a_file(tmp_path):
    from lrat.retrieval.index import build_index
    from lrat.testing.museum import write_museum
    from lrat.training.general_queries import general_file
    corpus, _ = write_museum(tmp_path)
    build_index(corpus, "bm25", tmp_path/"index")
    made = [general_file(tmp_path/"index", tmp_path/f"{name}.jsonl", 6, seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    assert made[0].read_bytes() == made[1].read_bytes() != made[2].read_bytes() and len(made[0].read_text().splitlines()) == 6
    before = made[0].read_bytes()
    assert general_file(made[0], tmp_path/"d.jsonl", 3, 9) == made[0] and made[0].read_bytes() == before and not (tmp_path/"d.jsonl").exists()
    with pytest.raises(LratError, match="only 16 documents"): general_file(tmp_path/"index", tmp_path/"d.jsonl", 17)


def test_in_batch_negatives_are_turned_off_by_a_flag_and_required_options_by_the_parser(capsys):
    from lrat.core.cli import command_parser
    parser = command_parser(lrat.training.train.train_command, "lrat train")
    words = ["pairs.jsonl", "--model", "base", "--out", "model"]
    assert [lrat.training.train._given_settings(vars(parser.parse_args([*words, *more]))).in_batch_negatives
            for more in ((), ("--no-in_batch_negatives",), ("--preset", "paper"))] == [True, False, True]
    with pytest.raises(SystemExit): parser.parse_args(words[:3])
    assert "--out" in capsys.readouterr().err


def test_the_bases_prompts_are_trained_with_and_kept(world, tmp_path, monkeypatch):
    import shutil
    from lrat.core.files import write_json
    from lrat.retrieval.encoder import Encoder
    base = shutil.copytree(world/"encoder", tmp_path/"base")
    write_json(base/"config_sentence_transformers.json", {"prompts": {"query": "find : ", "passage": "[UNK] "}})
    spy, few = Spy(monkeypatch), dataclasses.replace(QUICK, max_steps=1)
    report = train(world/"pairs.jsonl", base, tmp_path/"out", few, pooling="mean")
    assert (report["query_prompt"], report["document_prompt"]) == ("find : ", "[UNK] ")
    assert all(f["query"].startswith("find : ") and f["documents"][0].startswith("[UNK] ") for f in spy.batches[0])
    encoder = Encoder(str(tmp_path/"out"))
    assert (encoder.pooling, encoder.query_prompt, encoder.document_prompt, encoder.document_max_length) == ("mean", "find : ", "[UNK] ", 8)
    assert train(world/"pairs.jsonl", base, tmp_path/"out", few, pooling="mean", query_prompt="find : ") == report
    for options, says in ((dict(query_prompt="ask "), "its query_prompt is 'find : ', not 'ask '"), (dict(document_prompt=""), "its document_prompt is '.UNK. ', not ''")):
        with pytest.raises(LratError, match=says): train(world/"pairs.jsonl", base, tmp_path/"other", few, pooling="mean", **options)
    # A model that was trained without prompts says so; a base whose prompts are all empty says nothing
    train(world/"pairs.jsonl", world/"encoder", tmp_path/"without", few, pooling="mean")
    with pytest.raises(LratError, match="its query_prompt is '', not 'find : '"): Encoder(str(tmp_path/"without"), query_prompt="find : ")
    assert not (tmp_path/"other").exists() and not (tmp_path/".other.part").exists()


@pytest.mark.parametrize("change,says", [
    (dict(document_max_length=129), "--document_max_length is 129, but the model reads at most 128 tokens"),
    (dict(query_max_length=512), "--query_max_length is 512, but the model reads at most 128 tokens"), (dict(query_max_length=0), "--query_max_length is 0"),
    (dict(query_max_length=4), "--query_max_length is 4, but its prompt alone takes 4 tokens"),
])
def test_a_length_that_the_base_cannot_read_is_refused_before_the_first_step(world, tmp_path, change, says):
    with pytest.raises(LratError, match=says):
        train(world/"pairs.jsonl", world/"encoder", tmp_path/"out", dataclasses.replace(QUICK, **change), pooling="mean", query_prompt="find : ")
    assert not (tmp_path/"out").exists() and not (tmp_path/".out.part").exists()


def test_texts_are_cut_by_tokens_alone_and_none_is_empty(world):
    import transformers
    tokenizer = load_tokenizer_for(world/"decoder", "last")
    collator = lrat.training.trainer.extended(True).Collator(tokenizer, query_max_len=8, passage_max_len=8)
    texts = [" " * 5000 + "baran cesel", "baran " * 5000, "x" * 5000]
    batches, rows = collator.sorted_batches(texts, 8)
    found = [row[mask.bool()].tolist() for batch in batches for row, mask in zip(batch["input_ids"], batch["attention_mask"])]
    assert [found[n] for n in rows] == tokenizer(texts, truncation=True, max_length=8)["input_ids"]
