"A second training into one folder is refused before it touches the first one's files."
import pytest
from lrat.core.files import output_lock, write_jsonl
from lrat.core.settings import LratError, TrainingSettings
from lrat.testing.encoders import save_tiny
from lrat.training.train import train


def test_a_training_holds_its_folder(tmp_path, monkeypatch):
    write_jsonl(tmp_path/"pairs.jsonl", [{"query": "q", "pos": ["p"], "neg": ["n"], "reweight_rate": 1.}])
    base, short = save_tiny(tmp_path/"tiny"), TrainingSettings(query_max_length=16, document_max_length=16)
    with output_lock(tmp_path/"model", "training"):
        with pytest.raises(LratError, match="model: another training .process"): train(tmp_path/"pairs.jsonl", base, tmp_path/"model", short, pooling="mean")
        assert not (tmp_path/".model.part").exists()
