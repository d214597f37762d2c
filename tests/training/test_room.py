"What a GPU does in another way, tried on the processor: no masks, and activations kept for some passes only."
import itertools
from types import SimpleNamespace

import pytest
from tiny_models import build, gradient, write_pairs

from lrat.testing.encoders import save_tiny

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for kind in ("encoder", "decoder"): save_tiny(folder/kind, kind == "decoder")
    write_pairs(folder/"pairs.jsonl", 6)
    return folder


def step(models, kind, room=None, unmasked=False):
    "Loss and gradient of one batch in float64, and how many passes were kept"
    model, collator, pairs = build(models, kind, exact=True)
    model.room, model.unmasked = room, unmasked
    if unmasked: collator.tokenizer.padding_side = "right"
    loss = model.train()(**collator([pairs[n] for n in range(6)])).loss
    loss.backward()
    return loss.item(), gradient(model)


@pytest.mark.parametrize("kind, unmasked", [("encoder", False), ("decoder", False), ("decoder", True)])
def test_loss_and_gradient_are_those_of_the_processor(models, kind, unmasked):
    flags, kept = itertools.cycle([True, False, False]), []
    room = SimpleNamespace(holds=lambda tokens: next(flags), kept=lambda function, tokens: kept.append(tokens) or function())
    loss, found = step(models, kind, room, unmasked)
    exact, wanted = step(models, kind)
    assert loss == pytest.approx(exact, rel=1e-7) and len(kept) > 1 # Rotary positions are float32 in any case
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-7)
