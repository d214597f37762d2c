"Pairs of made-up words, and what FlagEmbedding makes of them with the tiny models of `lrat.testing.encoders`."
import json
import os
import random
import signal
import subprocess
import sys

from lrat.testing.encoders import WORDS, save_tiny # save_tiny: for tests that still import it from here


def write_pairs(path, n, negatives=4, seed=0):
    "`n` pairs with different queries and weights between 0 and 3"
    rng = random.Random(seed)
    def text(words): return " ".join(rng.sample(WORDS, words))
    rows = [{"query": f"{WORDS[i % 50]} {text(2)} {WORDS[i // 50]}", "pos": [text(6)], "neg": [text(rng.randint(3, 9)) for _ in range(negatives)],
             "reweight_rate": round(rng.uniform(0, 3), 3)} for i in range(n)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


def write_tiers(path, rows):
    "The same pairs with a weight for each negative, some of them 0, and beside them general queries"
    rng = random.Random(1)
    tiers = [row | {"neg_weights": [rng.choice([0, .25, 1]) for _ in row["neg"]]} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in tiers))
    general = [{"query": " ".join(rng.sample(WORDS, 3)), "documents": [" ".join(rng.sample(WORDS, 5)) for _ in range(2)]} for _ in rows]
    path.with_name("general.jsonl").write_text("".join(json.dumps(row) + "\n" for row in general))


def build(folder, kind, in_batch=True, cross_device=False, file="pairs.jsonl", exact=False, **settings):
    "FlagEmbedding's model and collator with ours, and the pairs; in float64 where it is to be exact"
    from lrat.training.base_model import load_base, load_tokenizer_for
    from lrat.training.dataset import GeneralTexts, PairsFile
    from lrat.core.settings import TrainingSettings
    from lrat.training.trainer import extended, make_model
    training = TrainingSettings(group_size=4, temperature=.05, in_batch_negatives=in_batch, cross_device_negatives=cross_device, **settings)
    pooling = "last" if kind == "decoder" else "mean"
    tokenizer = load_tokenizer_for(folder/kind, pooling, training.padding_side)
    base = load_base(folder/f"{kind}-before") if training.distillation_weight else None
    model = make_model(load_base(folder/kind, training), tokenizer, pooling, training, base=base)
    if exact: model.double()
    if training.gradient_checkpointing: model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    collator = extended(kind == "decoder").Collator(tokenizer, query_max_len=16, passage_max_len=16)
    collator.tokens_at_once = training.tokens_at_once or 24 # So that a batch takes several forward passes
    general = GeneralTexts(folder/"general.jsonl") if training.distillation_weight else None
    return model, collator, PairsFile(folder/file, 4, general=general)


def gradient(model):
    "All gradients in one row; a parameter that takes no part has zeros"
    import torch
    return torch.cat([p.grad.flatten() if p.grad is not None else torch.zeros(p.numel(), dtype=p.dtype)
                      for p in model.parameters() if p.requires_grad])


def run_two(*words, seconds=240):
    "Run a script in two processes that train together over gloo; none of them outlives this call"
    here = os.path.dirname(__file__) # Scripts in the folders of tests/ import this module
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *map(str, words)]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
                               env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))})
    try: said, _ = started.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, signal.SIGKILL)
        raise
    assert started.returncode == 0, said[-3000:]
    return said
