"Rerankers, SPLADE and late interaction: the weights reach each loss as the equation says, trainings resume to the byte, and mistakes are one line."
import dataclasses
import json
import math
import random

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")
from lrat.core.cli import main
from lrat.core.files import read_json, sha256_file
from lrat.core.settings import LratError, TrainingSettings
from lrat.retrieval.library_models import LIBRARY_MODELS, load_library_model, model_kind
from lrat.testing.encoders import WORDS, save_tiny
from lrat.testing.museum import write_museum
from lrat.training.library_trainer import LibraryTrainer, make_library_trainer
from lrat.training.train_models import train_model

KINDS = list(LIBRARY_MODELS)
SHORT = TrainingSettings(group_size=3, temperature=.7, batch_size=4, query_max_length=12, document_max_length=16, learning_rate=.002)
NO_FLOPS = {"query": 0., "document": 0.}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_tiny(folder/"plain")
    save_tiny(folder/"words", head="MaskedLM")
    rng = random.Random(0)
    rows = [{"query": f"{WORDS[n]} {WORDS[n + 9]}", "pos": [" ".join(rng.sample(WORDS, 5))], "neg": [" ".join(rng.sample(WORDS, rng.randint(3, 7))) for _ in range(2)],
             "reweight_rate": weight, "neg_weights": [1, .25]} for n, weight in enumerate((.4, 2.5, 0., 1.1))]
    rows[3]["pos"] = rows[0]["pos"] # One document is the positive of two queries, so it is no negative of either
    write(folder/"pairs.jsonl", rows)
    return folder


def write(path, rows): path.write_text("".join(json.dumps(row) + "\n" for row in rows))
def base_of(models, kind): return models/("words" if kind == "sparse" else "plain")


def trainer_of(models, kind, pairs="pairs.jsonl", **changes):
    trainer = make_library_trainer(kind, models/pairs, base_of(models, kind), models/"work", dataclasses.replace(SHORT, **changes), 1, flops=NO_FLOPS)
    trainer.model.double()
    return trainer


def batch_of(trainer, items=None): return trainer.data_collator([trainer.train_dataset[n] for n in (range(len(trainer.train_dataset)) if items is None else items)])


def loss_and_gradient(trainer, batch):
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    return loss.item(), torch.cat([p.grad.flatten() if p.grad is not None else torch.zeros(p.numel(), dtype=p.dtype) for p in trainer.model.parameters()])


def scores_of(trainer, kind, queries, lists):
    "Scores of all queries and all documents by the library's own inference"
    model, documents = trainer.model, [text for texts in lists for text in texts]
    if kind == "reranker": return [[float(s) for s in model.predict([(query, text) for text in documents])] for query in queries]
    return model.similarity(model.encode_query(queries), model.encode_document(documents)).tolist()


@pytest.mark.parametrize("in_batch", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_equation(models, kind, in_batch):
    "Scores of the library's inference, weights and negatives put into the formula one number at a time"
    if kind == "reranker" and in_batch: pytest.skip("a reranker has no in-batch negatives")
    trainer = trainer_of(models, kind, in_batch_negatives=in_batch)
    examples = [trainer.train_dataset[n] for n in range(4)]
    scores = scores_of(trainer, kind, [e["query"] for e in examples], [e["documents"] for e in examples])
    total = 0.
    for i, example in enumerate(examples):
        terms = []
        for j in range(12):
            own, tier = j // 3 == i, examples[j // 3]["document_weights"][j % 3]
            if j == 3*i: positive = math.exp(scores[i][j] / .7)
            elif (own or in_batch) and examples[j // 3]["document_keys"][j % 3] not in example["positive_keys"]:
                terms.append(math.exp(scores[i][j] / .7) * (tier if own else 1))
        total += example["weight"] * -math.log(positive / (positive + sum(terms)))
    assert loss_and_gradient(trainer, batch_of(trainer))[0] == pytest.approx(total / 4, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_is_the_weighted_mean_of_the_gradients_of_the_pairs(models, kind):
    "Without negatives of the batch: 1/N sum of w_i times the gradient of pair i with weight 1, and nothing of a pair of weight 0"
    trainer = trainer_of(models, kind, in_batch_negatives=False)
    weights, expected = trainer.train_dataset.weights, 0
    for n, weight in enumerate(weights):
        one = batch_of(trainer, [n])
        one["label"]["weights"] = torch.ones(1)
        expected = expected + weight * loss_and_gradient(trainer, one)[1] / len(weights)
    batch = batch_of(trainer)
    whole = loss_and_gradient(trainer, batch)[1]
    torch.testing.assert_close(whole, expected, rtol=1e-4, atol=1e-7)
    assert whole.abs().max() > 1e-4
    twice = {**batch, "label": batch["label"] | {"weights": 2 * batch["label"]["weights"]}}
    torch.testing.assert_close(loss_and_gradient(trainer, twice)[1], 2 * whole)


@pytest.mark.parametrize("kind", KINDS)
def test_weight_2_is_two_copies_and_weight_0_none(models, kind):
    "As sums: a pair of weight 2 and one of weight 0 give what two copies of the first give"
    row = json.loads((models/"pairs.jsonl").read_text().splitlines()[1])
    other = json.loads((models/"pairs.jsonl").read_text().splitlines()[2])
    write(models/"weighted.jsonl", [row | {"reweight_rate": 2.}, other | {"reweight_rate": 0.}])
    write(models/"copies.jsonl", [row | {"reweight_rate": 1.}] * 2)
    weighted, copies = (trainer_of(models, kind, f"{name}.jsonl", in_batch_negatives=False) for name in ("weighted", "copies"))
    batches = batch_of(weighted), batch_of(copies, [0, 0]) # The same draw of negatives twice
    (loss, gradient), (same, as_much) = (loss_and_gradient(trainer, batch) for trainer, batch in zip((weighted, copies), batches))
    if sorted(weighted.train_dataset[0]["documents"][1:]) == sorted(copies.train_dataset[0]["documents"][1:]):
        assert loss == pytest.approx(same, rel=1e-6)
        torch.testing.assert_close(gradient, as_much, rtol=1e-4, atol=1e-7)
    else: pytest.fail("both files hold two negatives, of which each example has two")


def test_flops_are_added_for_sparse_alone(models):
    def loss(flops):
        trainer = make_library_trainer("sparse", models/"pairs.jsonl", models/"words", models/"work", SHORT, 1, flops=flops)
        return trainer.compute_loss(trainer.model, batch_of(trainer)).item()
    assert loss({"query": .1, "document": .1}) > loss(NO_FLOPS) + 1e-4


@pytest.mark.parametrize("kind", ["reranker", pytest.param("sparse", marks=pytest.mark.slow)])
def test_a_killed_training_resumes_to_the_same_bytes(models, tmp_path, monkeypatch, kind):
    settings, about = dataclasses.replace(SHORT, max_steps=6, batch_size=2), dict(seed=1)
    whole = train_model(kind, models/"pairs.jsonl", base_of(models, kind), tmp_path/"whole", settings, **about)
    step = LibraryTrainer.training_step
    def killed(self, *args, **kwargs):
        if self.state.global_step == 4: raise KeyboardInterrupt
        return step(self, *args, **kwargs)
    monkeypatch.setattr(LibraryTrainer, "training_step", killed)
    with pytest.raises(KeyboardInterrupt): train_model(kind, models/"pairs.jsonl", base_of(models, kind), tmp_path/"resumed", settings, **about)
    monkeypatch.undo()
    assert not (tmp_path/"resumed").exists() and not list((tmp_path/".resumed.part").rglob("training_args.bin"))
    resumed = train_model(kind, models/"pairs.jsonl", base_of(models, kind), tmp_path/"resumed", settings, **about)
    assert resumed["losses"] == whole["losses"] and sha256_file(tmp_path/"resumed"/"model.safetensors") == sha256_file(tmp_path/"whole"/"model.safetensors")
    assert model_kind(tmp_path/"whole") == kind and {"README.md", "training.csv", "training.json"} <= {path.name for path in (tmp_path/"whole").iterdir()}
    assert load_library_model(kind, tmp_path/"whole") and kind in (tmp_path/"whole"/"README.md").read_text()
    with pytest.raises(LratError, match=r"holds another training \(kind"):
        other = next(name for name in KINDS if name != kind and base_of(models, name) == base_of(models, kind)) if kind == "reranker" else "late-interaction"
        train_model(other, models/"pairs.jsonl", base_of(models, kind), tmp_path/"whole", settings, **about)


def test_a_pair_that_is_not_finite_is_named(models, tmp_path):
    rows = [json.loads(line) for line in (models/"pairs.jsonl").read_text().splitlines()]
    rows[2]["reweight_rate"] = 3.3e38
    rows[1]["reweight_rate"] = 1e-3
    write(tmp_path/"heavy.jsonl", rows)
    with pytest.raises(LratError, match=r"step \d: the loss is .*heavy.jsonl, line 3 \(weight 3.3e\+38\); training stopped"):
        train_model("reranker", tmp_path/"heavy.jsonl", models/"plain", tmp_path/"out", SHORT, 1)


# The command

def run(capsys, *words):
    status = 0
    try: main([str(word) for word in words])
    except SystemExit as error: status = error.code
    return status, *capsys.readouterr()


def test_the_command_trains_all_kinds_and_the_results_are_indexes_and_second_stages(models, tmp_path, capsys):
    corpus, _ = write_museum(tmp_path)
    common = ["--max_steps", 2, "--batch_size", 2, "--group_size", 3, "--query_max_length", 12, "--document_max_length", 16]
    for kind in KINDS:
        status, said, wrong = run(capsys, "train", models/"pairs.jsonl", "--kind", kind, "--model", base_of(models, kind), "--out", tmp_path/kind, *common)
        assert status == 0 and "4 pairs, 2 steps, loss" in said, wrong
        record = read_json(tmp_path/kind/"training.json")
        assert (record["kind"], record["settings"]["temperature"], "flops" in record) == (kind, 1., kind == "sparse")
    for kind in ("sparse", "late-interaction"):
        status, said, wrong = run(capsys, "index", corpus, "--kind", kind, "--model", tmp_path/kind, "--out", tmp_path/f"{kind}-index")
        assert status == 0 and f"{kind} index of 16 documents" in said, wrong
        again = (tmp_path/f"{kind}-index"/"shard-00000.json").stat().st_mtime_ns
        assert run(capsys, "index", corpus, "--kind", kind, "--model", tmp_path/kind, "--out", tmp_path/f"{kind}-index")[0] == 0
        assert (tmp_path/f"{kind}-index"/"shard-00000.json").stat().st_mtime_ns == again
        for reranker in ("reranker", "late-interaction"):
            status, said, wrong = run(capsys, "search", tmp_path/f"{kind}-index", "a lens", "--k", 3, "--rerank", tmp_path/reranker, "--depth", 5)
            assert status == 0 and len(said.splitlines()) == 3, wrong
    (tmp_path/"scores.jsonl").write_text('{"query_id": "1", "status": "ranked", "recall_at_10": 1.0}\n')
    assert run(capsys, "card", tmp_path/"reranker", tmp_path/"scores.jsonl")[0] == 0
    assert "trained as a reranker" in (card := (tmp_path/"reranker"/"README.md").read_text()) and "recall_at_10: 1.000" in card


@pytest.mark.parametrize("words,said", [
    (["--kind", "reranker"], "--model is missing"),
    (["--kind", "colbert", "--model", "plain"], "choose one of: encoder, fusion, reranker, sparse, late-interaction"),
    (["--kind", "reranker", "--model", "plain", "--pooling", "cls"], "--pooling means nothing to --kind reranker; leave it out"),
    (["--kind", "reranker", "--model", "plain", "--no-in_batch_negatives"], "--in_batch_negatives means nothing to --kind reranker"),
    (["--kind", "late-interaction", "--model", "plain", "--query_flops", "1"], "--query_flops means nothing to --kind late-interaction"),
    (["--kind", "encoder", "--model", "plain", "--document_flops", "1"], "--document_flops means nothing to --kind encoder"),
    (["--kind", "sparse", "--model", "plain"], "has no masked language model's head"),
    (["--kind", "late-interaction", "--model", "plain", "--document_max_length", "900"], "reads at most 128"),
    (["--kind", "reranker", "--model", "plain", "--group_size", "1"], "without negatives"),
    (["--kind", "reranker", "--model", "plain", "--temperature", "0"], "must be more than 0"),
    (["--kind", "sparse", "--model", "words", "--query_flops", "-1"], "must not be negative"),
    (["--kind", "reranker", "--model", "nowhere"], "nowhere")])
def test_what_cannot_be_trained_is_one_line(models, tmp_path, capsys, monkeypatch, words, said):
    monkeypatch.chdir(models)
    status, _, wrong = run(capsys, "train", "pairs.jsonl", "--out", tmp_path/"out", *words)
    last = wrong.strip().splitlines()[-1]
    assert status == 2 and last.startswith("lrat train: ") and said in last
    assert not (tmp_path/"out").exists()


def test_several_processes_are_refused(models, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(LratError, match="trains in one process"): train_model("reranker", models/"pairs.jsonl", models/"plain", tmp_path/"out", SHORT)
