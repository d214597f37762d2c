"Two processes with half a batch each do what one process does with the whole batch: loss, gradient, and a whole training."
import json
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("FlagEmbedding")
from tiny_models import build, gradient, run_two, write_pairs, write_tiers

from lrat.testing.encoders import save_tiny
from lrat.core.files import read_json
from lrat.core.settings import TrainingSettings
from lrat.training.train import train

KINDS = {"encoder": "mean", "decoder": "last"}
TRAINING = TrainingSettings(max_steps=3, batch_size=4, group_size=3, learning_rate=1e-3, temperature=.05, query_max_length=8,
                            document_max_length=8, cross_device_negatives=True)


# With tiers, with all of a batch computed again, with the general texts of both processes held to the base
OPTIONS = dict(file="tiers.jsonl", exact=True, gradient_cache=True, distillation_weight=.5)


def half_a_batch(folder, kind, shared, rank, name, **settings):
    "The gradient that data-parallel training makes of half a batch in each process"
    model, collator, pairs = build(folder, kind, cross_device=shared, **settings)
    parallel = torch.nn.parallel.DistributedDataParallel(model.train(), find_unused_parameters=True)
    loss = parallel(**collator([pairs[n] for n in range(4*rank, 4*rank + 4)])).loss
    loss.backward()
    if rank == 0: torch.save({"loss": loss.detach(), "gradient": gradient(model)}, folder/f"{kind}-{name}.pt")


def one_of_two(folder):
    "What each of the two processes runs"
    torch.set_num_threads(1)
    train(folder/"pairs.jsonl", folder/"encoder", folder/"two", TRAINING, 5, KINDS["encoder"])
    for kind in KINDS:
        for shared in (True, False): half_a_batch(folder, kind, shared, torch.distributed.get_rank(), shared)
        half_a_batch(folder, kind, True, torch.distributed.get_rank(), "options", **OPTIONS)
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    rows = write_pairs(folder/"pairs.jsonl", 8)
    rows[5]["pos"] = rows[0]["pos"] # A document that is positive in both halves of the batch, and a negative in neither
    rows[6]["query"], rows[1]["neg"][0] = rows[1]["query"], rows[6]["pos"][0] # One half's own negative is a positive of the same query in the other
    rows[6]["pos_id"], rows[2]["neg_id"] = ["x"], ["x", "y", "z", "w"] # By docid as well
    (folder/"pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_tiers(folder/"tiers.jsonl", rows)
    for kind in KINDS:
        save_tiny(folder/kind, kind == "decoder")
        save_tiny(folder/f"{kind}-before", kind == "decoder", seed=1)
    run_two(__file__, folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradient(folder, kind):
    model, collator, pairs = build(folder, kind)
    loss = model.train()(**collator([pairs[n] for n in range(8)])).loss
    loss.backward()
    found = torch.load(folder/f"{kind}-True.pt")
    assert found["loss"].item() == pytest.approx(loss.item(), rel=1e-5)
    torch.testing.assert_close(found["gradient"], gradient(model), rtol=1e-3, atol=1e-5)
    # Control: without the documents of the other process both differ
    apart = torch.load(folder/f"{kind}-False.pt")
    assert apart["loss"].item() != pytest.approx(loss.item(), rel=1e-2)
    assert (apart["gradient"] - gradient(model)).norm() > .05 * gradient(model).norm()


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_at_once_in_float64(folder, kind):
    model, collator, pairs = build(folder, kind, cross_device=True, **OPTIONS)
    loss = model.train()(**collator([pairs[n] for n in range(8)])).loss
    loss.backward()
    found = torch.load(folder/f"{kind}-options.pt")
    loose = 1e4 if kind == "decoder" else 1 # Qwen3 norms in float32 whatever the type of its weights
    assert found["loss"].item() == pytest.approx(loss.item(), rel=loose*1e-10)
    assert (found["gradient"] - gradient(model)).norm() <= loose*1e-8 * gradient(model).norm()


def test_a_whole_training(folder):
    "Batches of four, split over two processes: the same losses, and the same model up to rounding"
    one, two = train(folder/"pairs.jsonl", folder/"encoder", folder/"one", TRAINING, 5, KINDS["encoder"]), read_json(folder/"two"/"training.json")
    assert (one["processes"], two["processes"]) == (1, 2)
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-3)
    from safetensors.torch import load_file
    base, first, second = (load_file(folder/name/"model.safetensors") for name in ("encoder", "one", "two"))
    # A key's bias has no gradient but rounding, which Adam makes full steps of
    names = [name for name in first if not name.endswith("key.bias")]
    moved = sum((first[name] - base[name]).norm()**2 for name in names)**.5
    apart = sum((first[name] - second[name]).norm()**2 for name in names)**.5
    assert apart < .02 * moved


if __name__ == "__main__": one_of_two(Path(sys.argv[1]))
