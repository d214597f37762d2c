"A file name made of an id: no two ids share one on any disk, and none is too long."
import unicodedata

import pytest
from lrat.core.names import safe_name

PAIRS = [("Q1", "q1"), ("a/b", "a%2fb"), ("!14", "\u2114"), ("é", "e\u0301"), ("ß", "ss"), ("ß", "ẞ"), ("x" * 300, "x" * 301), ("北京" * 50, "北京" * 51),
         ("", "~"), (".", ".."), ("K", "\u212a"), ("q1", safe_name("Q1")), ("\ud800", "\udbff")]


@pytest.mark.parametrize("one, other", PAIRS)
def test_two_ids_have_two_names_on_disks_that_fold(one, other):
    folded = [unicodedata.normalize("NFC", unicodedata.normalize("NFC", safe_name(text)).casefold()) for text in (one, other)]
    assert folded[0] != folded[1]


@pytest.mark.parametrize("text", {text for pair in PAIRS for text in pair} | {"a\0b", "../../etc/passwd", "C:\\x", "\n", "-rf", "con", "🦉" * 90})
def test_a_name_is_one_part_of_a_path(text):
    name = safe_name(text)
    assert len(name.encode()) <= 180 and name[0] != "." and not set(name) & set("/\\\0\n:")


def test_plain_ids_stay_as_they_are():
    for text in ("train-00001", "7", "q_1.2", "webq-42", "北京", "é"): assert safe_name(text) == text
