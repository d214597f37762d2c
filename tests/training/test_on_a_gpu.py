"On a GPU a training takes the steps of the processor, with activations kept or not; skipped where there is none."
import json
import os
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")]

PROGRAM = """
import json, sys
from lrat.core.settings import TrainingSettings
from lrat.retrieval.gpu import Room
from lrat.training import train, trainer
holds, found = Room.holds, {}
for name, decoder, full, compiled in json.loads(sys.argv[2]):
    Room.holds = (lambda self, tokens: False) if full else holds
    trainer.COMPILE_FROM = (0, 0) if compiled else (10**9, 10**9)
    settings = TrainingSettings(max_steps=6, batch_size=4, group_size=3, learning_rate=1e-3, temperature=.05, tokens_at_once=32)
    kind = "decoder" if decoder else "encoder"
    record = train.train("pairs.jsonl", kind, f"{sys.argv[1]}-{name}", settings, pooling="last" if decoder else "mean")
    assert record["device"] == sys.argv[1]
    found[name] = record["losses"]
print(json.dumps(found))
"""
WAYS = [("encoder", False, False, False), ("decoder", True, False, False)] # Name, decoder, no room for activations, compiled
MORE = [("encoder, full", False, True, False), ("decoder, full", True, True, False), ("decoder, compiled", True, False, True)]


def losses(folder, device, ways):
    "Of trainings in a process of its own, with or without the GPU"
    hidden = {} if device == "cuda" else {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", PROGRAM, device, json.dumps(ways)], capture_output=True, text=True, env=os.environ | hidden, cwd=folder)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_a_training_takes_the_steps_of_the_processor(tmp_path):
    from lrat.testing.encoders import save_tiny
    from tiny_models import write_pairs
    for kind in ("encoder", "decoder"): save_tiny(tmp_path/kind, kind == "decoder")
    write_pairs(tmp_path/"pairs.jsonl", 12)
    exact = losses(tmp_path, "cpu", WAYS)
    for name, found in losses(tmp_path, "cuda", WAYS + MORE).items():
        assert found == pytest.approx(exact[name.split(",")[0]], rel=2e-3), name
