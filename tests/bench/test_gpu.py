"`lrat gpu --tiny` runs every section that it would run on a GPU, and a section that fails is a row."
import pytest

from lrat.core.cli import main
from lrat.core.files import read_json

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    "Of the sections that train nothing, run in this process"
    from lrat.bench.gpu import run_section
    folder = tmp_path_factory.mktemp("gpu")
    for name in ("peak", "models", "encode", "sentence_transformers", "loss", "faiss", "corpus"):
        run_section(name, {"folder": str(folder), "device": "cpu", "tiny": True, "out": str(folder/"gpu.json")})
    return {row["name"]: row for row in read_json(folder/"gpu.json")}


def test_the_sections_run_on_a_processor(rows):
    assert not [row for row in rows.values() if "error" in row]
    assert rows["encode_ours"]["tokens"] > 1000 and rows["encode_ours"]["share_of_peak"] > 0
    assert rows["encode_corpus"]["tokens"] == rows["encode_ours"]["tokens"] and ("skipped" in rows["faiss_gpu"] or "faiss_same" in rows)


def test_speed_is_not_bought_with_other_vectors(rows):
    assert rows["encode_cosine"]["value"] > .999 and rows["encode_sentence_transformers"]["lowest_cosine_to_ours"] > .995
    assert rows["loss_float32_query_gradient"]["value"] < 1e-5


@pytest.mark.slow
def test_the_sections_that_train_run_on_a_processor(tmp_path):
    main(["gpu", "--tiny", "--out", str(tmp_path/"gpu.json"), "--only", "models,train,flagembedding,processes,otherwise,tests"])
    rows = {row["name"]: row for row in read_json(tmp_path/"gpu.json")}
    assert not [row for row in rows.values() if "error" in row]
    assert len(rows["train_ours"]["losses"]) == 4 and rows["train_flagembedding"]["pairs_a_second"] > 0
    assert rows["two_processes"]["value"] < 1e-4


def test_what_was_measured_is_kept_when_a_later_section_fails(tmp_path, capfd):
    main(["gpu", "--tiny", "--out", str(tmp_path/"gpu.json"), "--only", "peak,encode"]) # Without a model
    rows = {row["name"]: row for row in read_json(tmp_path/"gpu.json")}
    assert rows["matrix_peak"]["value"] > 0 and "encode_failed" in rows
    assert "matrix_peak: " in capfd.readouterr().out


def test_a_gpu_is_asked_for_where_there_is_none(capsys):
    import torch
    if torch.cuda.is_available(): pytest.skip("this machine has a GPU")
    with pytest.raises(SystemExit): main(["gpu"])
    assert "lrat gpu: this machine has no GPU that PyTorch can use; --tiny" in capsys.readouterr().err
