"On a GPU vectors are those of the processor, compiled or not; skipped where there is none."
import numpy as np
import pytest

from lrat.testing.encoders import WORDS, save_tiny

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")]
TEXTS = [" ".join(WORDS[(n + i) % 50] for i in range(1 + n % 17)) for n in range(200)]


@pytest.mark.parametrize("decoder, pooling", [(False, "mean"), (False, "cls"), (True, "last"), (True, "mean")])
@pytest.mark.parametrize("dtype", ["auto", "float32", "bfloat16"])
def test_vectors_are_those_of_the_processor(tmp_path, decoder, pooling, dtype):
    from lrat.retrieval.encoder import Encoder
    model, counts = save_tiny(tmp_path, decoder), []
    exact = Encoder(model, pooling, device="cpu", dtype="float32").encode_documents(TEXTS)
    encoder = Encoder(model, pooling, device="cuda", batch_tokens=32, dtype=dtype)
    vectors = encoder.encode_documents(TEXTS, counts.append)
    assert sum(counts) == len(TEXTS) and len(counts) > 3
    assert (vectors * exact).sum(1).min() > (.99999 if dtype == "float32" else .999)
    np.testing.assert_allclose(encoder.encode_documents(TEXTS[::-1])[::-1], vectors, atol=.02)


def test_a_compiled_encoder_makes_the_same_vectors(tmp_path):
    from lrat.retrieval.encoder import Encoder
    encoder = Encoder(save_tiny(tmp_path, decoder=True), "last", device="cuda", dtype="float32", batch_tokens=32)
    before = encoder.encode_documents(TEXTS)
    assert encoder.compile() == ""
    assert (encoder.encode_documents(TEXTS) * before).sum(1).min() > .9999
