"The weights reach the loss on every path: encoder and decoder, with and without in-batch negatives (two processes: test_two_processes)."
import json
import math

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("FlagEmbedding")
from tiny_models import build, gradient, write_pairs, write_tiers

from lrat.testing.encoders import save_tiny
from lrat.training.loss import positives_of_others, weighted_info_nce
from lrat.core.settings import LratError


def by_hand(query, documents, weights, temperature, group_size, in_batch, document_keys, positive_keys, tiers=None):
    "The formula in Python's floats, one document at a time"
    total = 0.
    for i, (vector, weight) in enumerate(zip(query.double().tolist(), weights.double().tolist())):
        score = [sum(a*b for a, b in zip(vector, document)) / temperature for document in documents.double().tolist()]
        kept = [math.exp(score[i*group_size])]
        for j, value in enumerate(score):
            own = j // group_size == i
            if j == i*group_size or not (own or in_batch): continue
            if document_keys[j].item() in positive_keys[i].tolist(): continue
            kept.append(math.exp(value) * (tiers[j].item() if own and tiers is not None else 1))
        total += weight * -math.log(kept[0] / sum(kept))
    return total / len(query)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    pairs = write_pairs(folder/"pairs.jsonl", 8)
    pairs[3]["pos"] = pairs[0]["pos"] # One document is the positive of two queries
    pairs[7]["query"], pairs[7]["pos_id"], pairs[6]["neg_id"] = pairs[5]["query"], ["x"], ["x", "y", "z", "w"] # And another text of one is another's negative
    (folder/"pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    write_tiers(folder/"tiers.jsonl", pairs)
    for name in ("encoder", "decoder"):
        save_tiny(folder/name, name == "decoder")
        save_tiny(folder/f"{name}-before", name == "decoder", seed=1)
    return folder


# Relative tolerances of loss and gradient, models in float64; Qwen3 norms and rotates in float32 whatever the type of its weights
EXACT = {"encoder": (1e-9, 1e-8), "decoder": (1e-5, 1e-3)}
PATHS = {"at once": dict(tokens_at_once=2**20), "sub-batches": dict(tokens_at_once=24), "cached": dict(tokens_at_once=24, gradient_cache=True),
         "checkpointed": dict(gradient_checkpointing=True), "both": dict(gradient_cache=True, gradient_checkpointing=True)}


@pytest.fixture(scope="module")
def one_pass(models):
    "Loss and gradient of the whole batch in one pass, for each kind, choice of negatives and file"
    found = {}
    def compute(kind, in_batch, file, **settings):
        key = (kind, in_batch, file, *settings)
        if key not in found: found[key] = run(models, kind, in_batch, file, tokens_at_once=2**20, **settings)
        return found[key]
    return compute


def run(models, kind, in_batch, file, **settings):
    model, collator, pairs = build(models, kind, in_batch, file=file, exact=True, **settings)
    batch = collator([pairs[n] for n in range(8)])
    loss = model.train()(**batch).loss
    loss.backward()
    return loss.item(), gradient(model), model, batch, pairs


def assert_same(kind, loss, gradient, expected_loss, expected_gradient):
    loss_tolerance, gradient_tolerance = EXACT[kind]
    assert loss == pytest.approx(expected_loss, rel=loss_tolerance)
    assert (gradient - expected_gradient).norm() <= gradient_tolerance * expected_gradient.norm()


def alone(model, texts):
    "Each text encoded by itself"
    with torch.no_grad():
        return torch.cat([model.encode(dict(model.tokenizer([text], truncation=True, max_length=16, return_tensors="pt"))) for text in texts])


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
@pytest.mark.parametrize("in_batch", [True, False])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("file", ["pairs.jsonl", "tiers.jsonl"])
def test_each_path_is_the_formula_in_float64_and_has_the_gradient_of_one_pass(models, one_pass, kind, in_batch, path, file):
    loss, found, model, batch, pairs = run(models, kind, in_batch, file, **PATHS[path])
    features = [pairs[n] for n in range(8)]
    query, documents = alone(model, [f["query"] for f in features]), alone(model, [d for f in features for d in f["documents"]])
    weights = torch.tensor([f["weight"] for f in features], dtype=torch.float64)
    tiers = batch.get("document_weights")
    assert (tiers is not None) == (file == "tiers.jsonl")
    keys = (batch["document_keys"], batch["positive_keys"])
    # Weights of pairs reach the loss as float32
    assert loss == pytest.approx(by_hand(query, documents, weights.float(), .05, 4, in_batch, *keys, tiers), rel=EXACT[kind][0])
    if tiers is not None: assert loss != pytest.approx(by_hand(query, documents, weights, .05, 4, in_batch, *keys), rel=1e-3)
    whole, expected, *_ = one_pass(kind, in_batch, file)
    assert_same(kind, loss, found, whole, expected)
    assert expected.norm() > .01


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_the_loss_that_holds_general_queries_is_the_formula(models, one_pass, kind):
    loss, found, model, batch, pairs = run(models, kind, True, "pairs.jsonl", distillation_weight=.3, gradient_cache=True)
    general = [pairs[n]["general"] for n in range(8)]
    def shares(encoder):
        query, documents = alone(encoder, [g["query"] for g in general]), alone(encoder, [d for g in general for d in g["documents"]])
        terms = [[math.exp(value / .05) for value in row] for row in (query @ documents.T).tolist()]
        return [[term / sum(row) for term in row] for row in terms]
    kept = sum(p * math.log(p/q) for ours, before in zip(shares(model), shares(model.base)) for p, q in zip(before, ours)) / 8
    plain, *_ = one_pass(kind, True, "pairs.jsonl")
    assert kept > .01 and loss == pytest.approx(plain + .3*kept, rel=EXACT[kind][0])
    assert not any(p.grad is not None for p in model.base.parameters())
    whole, expected, *_ = one_pass(kind, True, "pairs.jsonl", distillation_weight=.3)
    assert_same(kind, loss, found, whole, expected)


@pytest.mark.parametrize("in_batch", [True, False])
def test_adapters_take_the_same_paths(models, one_pass, in_batch):
    loss, found, model, *_ = run(models, "decoder", in_batch, "pairs.jsonl", lora_rank=2, gradient_cache=True, gradient_checkpointing=True)
    assert loss == pytest.approx(one_pass("decoder", in_batch, "pairs.jsonl")[0], rel=EXACT["decoder"][0]) # An adapter begins at the base
    assert found.norm() > 0 and len(found) == sum(p.numel() for name, p in model.named_parameters() if "lora_" in name)


def test_both_sides_of_padding_are_the_same_to_a_decoder(models, one_pass):
    loss, found, model, *_ = run(models, "decoder", True, "pairs.jsonl", padding_side="right")
    whole, expected, *_ = one_pass("decoder", True, "pairs.jsonl")
    assert model.tokenizer.padding_side == "right"
    assert_same("decoder", loss, found, whole, expected)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_first_token_is_found_behind_padding(models, side):
    model, collator, pairs = build(models, "decoder", padding_side=side)
    model.sentence_pooling_method = "cls"
    texts = ["baran", "cesel ditim fovor guwex"]
    tokens = model.tokenizer(texts, padding=True, return_tensors="pt")
    torch.testing.assert_close(model.encode(dict(tokens)), alone(model, texts), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
@pytest.mark.parametrize("in_batch", [True, False])
def test_each_path_is_the_formula(models, kind, in_batch):
    model, collator, pairs = build(models, kind, in_batch)
    model.train()
    features = [pairs[n] for n in range(8)]
    batch = collator(features)
    loss = model(**batch).loss
    assert len(batch["documents"]) > 2
    # Each text encoded alone, in the order of the pairs
    def alone(text): return model.encode(dict(model.tokenizer([text], truncation=True, max_length=16, return_tensors="pt")))
    with torch.no_grad():
        query = torch.cat([alone(f["query"]) for f in features])
        documents = torch.cat([alone(d) for f in features for d in f["documents"]])
    weights = torch.tensor([f["weight"] for f in features], dtype=torch.float64)
    keys, known = batch["document_keys"], batch["positive_keys"]
    assert loss.item() == pytest.approx(by_hand(query, documents, weights, .05, 4, in_batch, keys, known), rel=1e-5)
    # Controls: without the weights, with the other choice of negatives, and with shuffled weights, it is another number
    assert loss.item() != pytest.approx(by_hand(query, documents, torch.ones(8), .05, 4, in_batch, keys, known), rel=1e-2)
    assert loss.item() != pytest.approx(by_hand(query, documents, weights, .05, 4, not in_batch, keys, known), rel=1e-2)
    assert loss.item() != pytest.approx(by_hand(query, documents, weights.flip(0), .05, 4, in_batch, keys, known), rel=1e-3)


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_weights_of_one_are_flagembeddings_own_loss(models, kind):
    model, collator, pairs = build(models, kind)
    batch = collator([pairs[n] for n in (0, 1, 2, 4, 5)]) # Without the shared document, which upstream counts as a negative
    query, documents = model.encode(batch["queries"])[batch["query_order"]], model.encode(batch["documents"])[batch["document_order"]]
    _, theirs = model._compute_in_batch_neg_loss(query, documents)
    ours = weighted_info_nce(query, documents, torch.ones(5), .05, 4)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)
    assert model(**batch).loss.item() != pytest.approx(theirs.item(), rel=1e-2)


def test_the_batch_size_divides_and_not_the_sum_of_weights():
    generator = torch.Generator().manual_seed(1)
    query, documents, weights = (torch.randn(*shape, generator=generator) for shape in ((6, 8), (18, 8), (6,)))
    weights = weights.abs()
    one = weighted_info_nce(query, documents, weights, 1., 3)
    assert weighted_info_nce(query, documents, 10*weights, 1., 3).item() == pytest.approx(10*one.item(), rel=1e-5)


def test_half_precision_embeddings_are_scored_in_float32():
    generator = torch.Generator().manual_seed(2)
    query, documents = (torch.nn.functional.normalize(torch.randn(n, 64, generator=generator), dim=-1).bfloat16() for n in (8, 24))
    weights = torch.rand(8, generator=generator)
    with torch.autocast("cpu", torch.bfloat16): loss = weighted_info_nce(query, documents, weights, .02, 3)
    exact = by_hand(query, documents, weights, .02, 3, True, torch.arange(24), torch.full((8, 1), -1))
    assert loss.item() == pytest.approx(exact, rel=1e-5)


def test_a_positive_of_any_pair_is_a_negative_of_its_query_nowhere():
    "Neither in another query's list nor in its own; only the positive of the pair itself stays"
    keys, known = torch.tensor([5, 6, 6, 5]), torch.tensor([[5, 6], [6, -1]])
    assert positives_of_others(keys, known, 2).tolist() == [[False, True, True, True], [False, True, False, False]]
    assert positives_of_others(keys, known[1:], 2, first=1).tolist() == [[False, True, False, False]] # The second of two processes
    query, documents, weights = torch.eye(2, 4).double(), torch.randn(4, 4, generator=torch.Generator().manual_seed(0)).double(), torch.ones(2)
    for in_batch in (True, False):
        found = weighted_info_nce(query, documents, weights, 1., 2, in_batch, document_keys=keys, positive_keys=known)
        assert found.item() == pytest.approx(by_hand(query, documents, weights, 1., 2, in_batch, keys, known), rel=1e-12)
        assert found.item() != pytest.approx(weighted_info_nce(query, documents, weights, 1., 2, in_batch).item(), rel=1e-2)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="group size 3"): weighted_info_nce(torch.ones(2, 4), torch.ones(5, 4), torch.ones(2), 1., 3)
    with pytest.raises(LratError, match="turn both on"): weighted_info_nce(torch.ones(1, 4), torch.ones(1, 4), torch.ones(1), 1., 1,
                                                                           in_batch=False, cross_device=True)
