"Vectors are those of sentence-transformers for every kind of folder, and what a folder says is followed or refused by all who read it."
import json, shutil

import numpy as np, pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
st = pytest.importorskip("sentence_transformers")
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer

from lrat.core.files import read_json, write_json
from lrat.core.settings import InputError, LratError, RetrieverSettings
from lrat.retrieval.encoder import Encoder, load_weights
from lrat.retrieval.index import build_index, index_command, open_index
from lrat.retrieval.model_folder import agreed, read_model_folder
from lrat.testing.encoders import WORDS, save_tiny, save_word_tokenizer

TEXTS = [WORDS[0], " ".join(WORDS[:5]), " ".join(WORDS) * 4, f"find : {WORDS[7]} telescope {WORDS[9].upper()}"]


def saved(folder, *modules, base=None, prompts=None, similarity=None, **options):
    "A folder as sentence-transformers writes it: a tiny BERT, or `base`, and modules"
    transformer = Transformer(str(base or save_tiny(folder/"base")), **options)
    made = [transformer, *(Pooling(32, module) if isinstance(module, str) else module for module in modules)]
    st.SentenceTransformer(modules=made, prompts=prompts, similarity_fn_name=similarity, device="cpu").save(str(folder/"model"))
    return folder/"model"


def xlm_roberta(folder):
    "Positions begin after the padding token: 34 of them hold 32 tokens"
    size = save_word_tokenizer(folder)
    config = transformers.XLMRobertaConfig(vocab_size=size, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                                           max_position_embeddings=34, pad_token_id=1)
    transformers.set_seed(1)
    transformers.XLMRobertaModel(config).save_pretrained(folder)
    return folder


def older(folder):
    "As sentence-transformers 2 wrote it: a folder for the transformer, flags for the pooling, its own file for length and case"
    save_tiny(folder/"0_Transformer")
    kinds = {"Transformer": "0_Transformer", "Pooling": "1_Pooling"}
    write_json(folder/"modules.json", [{"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
                                       for n, (kind, path) in enumerate(kinds.items())])
    write_json(folder/"1_Pooling"/"config.json", {"word_embedding_dimension": 32, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False})
    write_json(folder/"0_Transformer"/"sentence_bert_config.json", {"max_seq_length": 16, "do_lower_case": True})
    return folder


def causal(folder):
    "A model made to write text, as its authors left it: no file says how to pool"
    save_tiny(folder, decoder=True)
    config = read_json(folder/"config.json")
    write_json(folder/"config.json", config | {"architectures": ["Qwen3ForCausalLM"]})
    return folder


def left_padded(folder):
    save_tiny(folder, decoder=True)
    config = read_json(folder/"tokenizer_config.json")
    write_json(folder/"tokenizer_config.json", config | {"padding_side": "left"})
    return folder


KINDS = {
    "plain": lambda folder: save_tiny(folder),
    "a writer without a word on pooling": causal,
    "cls": lambda folder: saved(folder, "cls"),
    "max": lambda folder: saved(folder, "max"),
    "mean over the root of the length": lambda folder: saved(folder, "mean_sqrt_len_tokens"),
    "weighted mean": lambda folder: saved(folder, "weightedmean"),
    "last token, padded on the left": lambda folder: saved(folder, "lasttoken", base=left_padded(folder/"base")),
    "prompts and length 1": lambda folder: saved(folder, "mean", Normalize(), prompts={"query": "find : ", "document": f"{WORDS[3]} "}),
    "passages": lambda folder: saved(folder, "mean", prompts={"query": "find : ", "passage": f"{WORDS[3]} "}),
    "XLM-R's positions": lambda folder: saved(folder, "cls", base=xlm_roberta(folder/"base"), max_seq_length=32),
    "sixteen tokens in lower case": older,
    "dense layers": lambda folder: saved(folder, "mean", Dense(32, 16), Dense(16, 8, bias=False, activation_function=torch.nn.Identity()), Normalize()),
    "dot product": lambda folder: saved(folder, "cls", similarity="dot"),
    "dense after a normalisation": lambda folder: saved(folder, "mean", Normalize(), Dense(32, 12), similarity="dot"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_those_of_sentence_transformers(kind, tmp_path):
    folder = KINDS[kind](tmp_path)
    ours, theirs = Encoder(str(folder), device="cpu", dtype="float32"), st.SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
    document = next((name for name in ("document", "passage") if theirs.prompts.get(name)), None)
    for vectors, name in ((ours.encode_queries(TEXTS), "query"), (ours.encode_documents(TEXTS), document)):
        expected = theirs.encode(TEXTS, prompt_name=name, normalize_embeddings=theirs.similarity_fn_name == "cosine")
        np.testing.assert_allclose(vectors, expected, atol=2e-6)
    assert ours.encode_queries([]).shape == (0, expected.shape[1])


def test_a_trained_models_index_follows_its_folder_in_building_and_searching(tmp_path):
    model = KINDS["prompts and length 1"](tmp_path)
    (tmp_path/"c.jsonl").write_text("".join(json.dumps({"docid": str(n), "text": text}) + "\n" for n, text in enumerate(TEXTS)))
    about = build_index(tmp_path/"c.jsonl", "dense", tmp_path/"i", str(model))
    assert (about["encoder"]["query_prompt"], about["encoder"]["document_prompt"]) == ("find : ", f"{WORDS[3]} ")
    assert about["retriever"]["query_prompt"] == "find : " # What was used, not what was left open
    reference = st.SentenceTransformer(str(model), device="cpu")
    scores = reference.encode(TEXTS, prompt_name="document") @ reference.encode(WORDS[0], prompt_name="query")
    hits = open_index(tmp_path/"i").search(WORDS[0], 4)
    assert [hit.score for hit in hits] == pytest.approx(sorted(scores, reverse=True), abs=1e-5)
    # The folder says something else now: the index is not searched with it
    config = read_json(model/"config_sentence_transformers.json")
    write_json(model/"config_sentence_transformers.json", config | {"prompts": {"query": f"{WORDS[9]} : "}})
    with pytest.raises(LratError, match="its query_prompt is .*not 'find : '"): open_index(tmp_path/"i")


def test_dense_layers_and_similarity_belong_to_an_index(tmp_path):
    model = KINDS["dense after a normalisation"](tmp_path)
    (tmp_path/"c.jsonl").write_text("".join(json.dumps({"docid": str(n), "text": text}) + "\n" for n, text in enumerate(TEXTS)))
    about = build_index(tmp_path/"c.jsonl", "dense", tmp_path/"i", str(model))
    assert about["encoder"]["similarity"] == "dot" and len(about["encoder"]["head"]) == 2
    reference = st.SentenceTransformer(str(model), device="cpu")
    scores = reference.encode(TEXTS) @ reference.encode(WORDS[0])
    assert [h.docid for h in open_index(tmp_path/"i").search(WORDS[0], 4)] == [str(n) for n in np.argsort(-scores)]
    from safetensors.torch import load_file, save_file
    weights = load_file(model/"3_Dense"/"model.safetensors")
    save_file({name: tensor * 2 for name, tensor in weights.items()}, model/"3_Dense"/"model.safetensors")
    with pytest.raises(LratError, match="was built with another model"): open_index(tmp_path/"i")


@pytest.mark.parametrize("options,says", [
    (dict(pooling="mean"), "pools by cls, not mean; leave pooling as it is"), (dict(query_prompt="ask "), "its query_prompt is 'find : ', not 'ask '"),
    (dict(document_prompt="text "), "its document_prompt is '', not 'text '"), (dict(pooling="own"), "unknown pooling|export LRAT_TRUST_REMOTE_CODE"),
    (dict(document_max_length=129), "--document_max_length is 129, but the model reads at most 128 tokens"),
    (dict(query_max_length=0), "--query_max_length is 0"), (dict(query_max_length=4), "--query_max_length is 4, but its prompt alone takes 4 tokens"), (dict(document_max_length=2), "own tokens around a text are 2"),
])
def test_what_contradicts_the_folder_is_refused_before_the_work(tmp_path, options, says):
    model = saved(tmp_path, "cls", prompts={"query": "find : ", "document": ""})
    (tmp_path/"c.jsonl").write_text(json.dumps({"docid": "1", "text": "baran"}))
    with pytest.raises(LratError, match=says): index_command(str(tmp_path/"c.jsonl"), str(tmp_path/"i"), model=str(model), **options)
    assert not (tmp_path/"i").exists()


def test_the_same_word_as_the_folders_is_fine(tmp_path):
    model = saved(tmp_path, "cls", prompts={"query": "find : ", "document": ""})
    assert Encoder(str(model), "cls", "find : ", "").identity() == Encoder(str(model)).identity()


def module(kind, path=""): return {"idx": 0, "name": "0", "path": path, "type": f"sentence_transformers.models.{kind}"}


@pytest.mark.parametrize("name,content,says", [
    ("modules.json", [module("Transformer"), module("Pooling", "1_Pooling"), module("CNN", "2_CNN")], "has the modules Transformer, Pooling, CNN"),
    ("modules.json", [module("Asym")], "has the modules Asym"), ("modules.json", ["Transformer"], "must hold a list of objects"),
    ("modules.json", [{"type": "custom_st.Transformer", "path": ""}, module("Pooling", "1_Pooling")], "has the modules custom_st.Transformer"),
    ("1_Pooling/config.json", {"pooling_mode": ["cls", "max"]}, "joins the poolings cls and max"),
    ("1_Pooling/config.json", {"pooling_mode": "attention"}, "names the pooling 'attention'"),
    ("config_sentence_transformers.json", {"similarity_fn_name": "manhattan"}, "compares vectors by manhattan"),
    ("config.json", {"quantization_config": {"quant_method": "awq", "bits": 4}}, "its weights are quantised .awq.*full precision"),
    ("adapter_config.json", {"peft_type": "LORA"}, "merge it into its base"),
    ("config.json", {"auto_map": {"AutoConfig": "configuration.Own", "AutoModel": "modeling.Own"}}, "runs code that lies beside its weights.*export LRAT_TRUST"),
    ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["tokenization.Own", None]}}, "runs code that lies beside its weights"),
])
def test_what_nobody_here_can_compute_is_refused_by_indexing_and_training(tmp_path, name, content, says):
    from lrat.training.base_model import choose_pooling
    model = saved(tmp_path, "mean")
    write_json(model/name, read_json(model/name) | content if isinstance(content, dict) and (model/name).is_file() else content)
    with pytest.raises(LratError, match=says): Encoder(str(model))
    with pytest.raises(LratError, match=says.replace("runs code that lies beside its weights.*export LRAT_TRUST", "brings its own code")
                       .replace("runs code that lies beside its weights", "brings its own code")): choose_pooling(model)


def test_own_code_that_is_trusted_runs_with_the_folders_pooling(tmp_path, monkeypatch):
    model = save_tiny(tmp_path/"own")
    (model/"modeling.py").write_text("import transformers\nclass Own(transformers.BertModel):\n"
                                     "    def forward(self, *args, **kwargs):\n        out = super().forward(*args, **kwargs)\n"
                                     "        out.last_hidden_state = -out.last_hidden_state\n        return out\n")
    plain = Encoder(str(model)).encode_documents(TEXTS)
    write_json(model/"config.json", read_json(model/"config.json") | {"auto_map": {"AutoModel": "modeling.Own"}})
    with pytest.raises(LratError, match="if you trust it: export LRAT_TRUST_REMOTE_CODE="): Encoder(str(model))
    monkeypatch.setenv("LRAT_TRUST_REMOTE_CODE", str(model))
    encoder = Encoder(str(tmp_path/"own"/".."/"own"))
    np.testing.assert_allclose(encoder.encode_documents(TEXTS), -plain, atol=1e-5)
    assert list(encoder.identity()["code"]) == ["modeling.py"]


def test_a_decoder_without_a_padding_token_pads_with_its_end_token(tmp_path):
    model = save_tiny(tmp_path, decoder=True)
    expected = Encoder(str(model), "last").encode_documents(TEXTS)
    config = read_json(model/"tokenizer_config.json")
    config.pop("pad_token")
    write_json(model/"tokenizer_config.json", config)
    (model/"special_tokens_map.json").unlink(missing_ok=True)
    encoder = Encoder(str(model), "last")
    assert encoder.tokenizer.pad_token == "[SEP]"
    np.testing.assert_allclose(encoder.encode_documents(TEXTS), expected, atol=1e-6)


def test_a_text_of_no_token_has_a_vector(tmp_path):
    import tokenizers
    model = save_tiny(tmp_path, decoder=True)
    backend = tokenizers.Tokenizer.from_file(str(model/"tokenizer.json"))
    backend.post_processor = tokenizers.processors.TemplateProcessing("$A", special_tokens=[])
    backend.save(str(model/"tokenizer.json"))
    for texts in ([""], ["", "baran", " \n "]):
        vectors = Encoder(str(model), "last").encode_documents(texts)
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1)


@pytest.mark.parametrize("limit,says", [("positions", "at most 128"), ("model_max_length", "at most 24"), ("XLM-R", "at most 32")])
def test_a_length_beyond_the_model_is_refused_before_the_first_document(tmp_path, limit, says):
    model = xlm_roberta(tmp_path) if limit == "XLM-R" else save_tiny(tmp_path)
    if limit == "model_max_length": write_json(model/"tokenizer_config.json", read_json(model/"tokenizer_config.json") | {"model_max_length": 24})
    with pytest.raises(LratError, match=f"--document_max_length is 512, but the model reads {says} tokens"): Encoder(str(model), document_max_length=512)
    most = int(says.split()[-1])
    long = Encoder(str(model), document_max_length=most)
    assert long.encode_documents([" ".join(WORDS * 20)]).shape == (1, 32) and Encoder(str(model)).document_max_length == most


def test_damaged_files_name_the_file(tmp_path):
    model = saved(tmp_path, "mean")
    for name in ("modules.json", "1_Pooling/config.json", "sentence_bert_config.json", "config_sentence_transformers.json", "config.json"):
        broken = shutil.copytree(model, tmp_path/name.replace("/", "-"))
        (broken/name).write_text("{")
        with pytest.raises(InputError, match=f"{name}:1: is not valid JSON"): read_model_folder(broken)
        (broken/name).write_text("3")
        with pytest.raises(InputError, match=f"{name}: must hold"): read_model_folder(broken)


def test_a_given_value_that_the_folder_leaves_open_is_used(tmp_path):
    said = read_model_folder(save_tiny(tmp_path))
    assert agreed(said, "cls", "ask ") == {"pooling": "cls", "query_prompt": "ask ", "document_prompt": ""}
    assert load_weights(tmp_path).config.hidden_size == 32
