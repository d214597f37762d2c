"Rows of tokens are those of the tokenizer's own truncation, whatever the text and the kind of tokenizer."
import random

import pytest

tokenizers = pytest.importorskip("tokenizers")
transformers = pytest.importorskip("transformers")
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from lrat.retrieval.retriever import snippet
from lrat.retrieval.truncation import beginning, cuts_at_spaces, tokenized
from lrat.testing.museum import DOCUMENTS

PIECES = ["lens", "Lamp", "of", "brass", "ünïcode", "é", "東京", "ไทย", " ", "   ", "\n", "\t", ".", ".\n\n", "7", "1879", "x" * 130, "\u200b", "\u0301", "-", "'s", "😀",
          "[SEP]", "<|end of text|>", "A"]


def trained(model, pre_tokenizer, trainer, normalizer=None):
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer, tokenizer.normalizer = pre_tokenizer, normalizer or tokenizer.normalizer
    tokenizer.train_from_iterator([document.text for document in DOCUMENTS] * 3, trainer)
    return tokenizer


BYTES = pre_tokenizers.ByteLevel.alphabet()
QWEN = pre_tokenizers.Sequence([pre_tokenizers.Split(tokenizers.Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"), "isolated"),
                                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
KINDS = {
    "WordPiece": lambda: trained(models.WordPiece(unk_token="[UNK]"), pre_tokenizers.BertPreTokenizer(),
                                 trainers.WordPieceTrainer(vocab_size=300, special_tokens=["[UNK]", "[PAD]", "[SEP]"]), normalizers.BertNormalizer()),
    "bytes": lambda: trained(models.BPE(), pre_tokenizers.ByteLevel(), trainers.BpeTrainer(vocab_size=500, initial_alphabet=BYTES, special_tokens=["[PAD]"])),
    "bytes as Qwen": lambda: trained(models.BPE(), QWEN, trainers.BpeTrainer(vocab_size=500, initial_alphabet=BYTES, special_tokens=["[PAD]"]), normalizers.NFC()),
    "Unigram": lambda: trained(models.Unigram(), pre_tokenizers.Metaspace(), trainers.UnigramTrainer(vocab_size=300, unk_token="[UNK]", special_tokens=["[UNK]", "[PAD]"]),
                               normalizers.NFKC()),
    "letters across words": lambda: trained(models.BPE(unk_token="[UNK]"), pre_tokenizers.Split("\n", "isolated"),
                                            trainers.BpeTrainer(vocab_size=400, special_tokens=["[UNK]", "[PAD]"])),
    "words": lambda: trained(models.WordLevel(unk_token="[UNK]"), pre_tokenizers.WhitespaceSplit(), trainers.WordLevelTrainer(special_tokens=["[UNK]", "[PAD]"])),
    "lines": lambda: trained(models.WordLevel(unk_token="[UNK]"), pre_tokenizers.Split("\n", "removed"), trainers.WordLevelTrainer(special_tokens=["[UNK]", "[PAD]"])),
}
CUT = {"WordPiece": True, "bytes": True, "bytes as Qwen": True, "Unigram": True, "letters across words": False, "words": True, "lines": False}


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_the_tokenizers_own(kind, monkeypatch):
    monkeypatch.setattr("lrat.retrieval.truncation.LETTERS", 3) # So that short texts are cut, and often too short
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=KINDS[kind](), pad_token="[PAD]", eos_token="[PAD]")
    assert cuts_at_spaces(tokenizer.backend_tokenizer) is CUT[kind]
    chance = random.Random(kind)
    for _ in range(60):
        texts = ["".join(chance.choice(PIECES) + " " * chance.choice((0, 1, 1, 1)) for _ in range(chance.randrange(90))) for _ in range(4)]
        length = chance.choice((1, 2, 5, 16, 40))
        expected = tokenizer(texts, truncation=True, max_length=length)["input_ids"]
        assert tokenized(tokenizer, texts, length)["input_ids"] == [row or [tokenizer.eos_token_id] for row in expected]
        for text in texts: # And a beginning has the first of the text's tokens
            part = beginning(text, chance.randrange(60), tokenizer.backend_tokenizer)
            ids = tokenizer(part)["input_ids"]
            assert text.startswith(part) and tokenizer(text)["input_ids"][:len(ids)] == ids


def test_added_tokens_with_spaces_and_truncation_on_the_left_are_not_cut():
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=KINDS["bytes"](), pad_token="[PAD]")
    tokenizer.add_tokens(["<|end of text|>"])
    assert not cuts_at_spaces(tokenizer.backend_tokenizer)
    left = transformers.PreTrainedTokenizerFast(tokenizer_object=KINDS["bytes"](), pad_token="[PAD]", truncation_side="left")
    text = "lens of brass " * 200 + "lamp"
    assert tokenized(left, [text], 8) == dict(left([text], truncation=True, max_length=8))


def test_snippets_of_texts_that_are_nearly_all_space_or_one_word():
    for text, tokens, expected in (("lens" + " " * 100_000 + "of brass", 2, "lens" + " " * 100_000 + "of"), ("x" * 50_000 + " lens lamp", 2, "x" * 50_000 + " lens"),
                                   ("- " * 5000, 3, "- - -"), ("lens of", 9, "lens of"), ("", 3, ""), ("lens", 0, "")):
        assert snippet(text, tokens) == expected
