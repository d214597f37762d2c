"A kind of index that another package offers by an entry point is built, opened, fused and listed like a built-in one."
import json, sys

import pytest

from lrat.core.settings import LratError
from lrat.retrieval.index import KINDS, build_index, index_command, installed_kinds, kind_of, open_index
from lrat.retrieval.retriever import Retriever
from lrat.testing.museum import write_museum
from lrat.testing.package import write_package

SOURCE = '''
from lrat.retrieval.index import Kind
from lrat.retrieval.retriever import best_hits

class Reversed:
    "documents in reverse order of their docids"
    name = "reversed"
    def __init__(self, folder, corpus): self.corpus = corpus
    def search(self, query, k): return best_hits(((d.docid, int(d.docid[1:])) for d in self.corpus), k)
    def search_batch(self, queries, k): return [self.search(query, k) for query in queries]
    def document(self, docid): return self.corpus[docid]

class Built(Reversed):
    @staticmethod
    def build(corpus, folder): (folder/"built.txt").write_text(str(len(corpus)))

RECORD = Kind("a record", lambda request: {"recall": .5, "k": 1, "queries": 2}, lambda folder, about, corpus, model: Reversed(folder, corpus),
              describe=lambda request: {"version": request.settings.k})
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    "A package of somebody else's, as `pip` would leave it"
    folder = write_package(tmp_path/"site", "others_of_lrat", SOURCE, {"lrat.retrievers": {
        "reversed": "others_of_lrat:Reversed", "built": "others_of_lrat:Built", "record": "others_of_lrat:RECORD", "broken": "others_of_lrat:Gone"}})
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    sys.modules.pop("others_of_lrat", None)


@pytest.fixture
def corpus(tmp_path): return write_museum(tmp_path)[0]


def test_without_the_package_there_are_only_the_built_in_kinds():
    assert "reversed" not in installed_kinds()
    with pytest.raises(LratError, match="unknown kind of index 'reversed'; choose one of: bm25, dense"): kind_of("reversed")


def test_a_class_is_a_kind(package, corpus, tmp_path, capsys):
    index_command(str(corpus), str(tmp_path/"i"), kind="reversed")
    assert "reversed index of 16 documents" in capsys.readouterr().out
    retriever = open_index(tmp_path/"i")
    assert isinstance(retriever, Retriever) and [hit.docid for hit in retriever.search("any", 2)] == ["m15", "m14"]
    build_index(corpus, "bm25", tmp_path/"words")
    build_index(corpus, "hybrid", tmp_path/"both", of=[tmp_path/"words", tmp_path/"i"])
    assert "m15" in [hit.docid for hit in open_index(tmp_path/"both").search("lens", 4)]


def test_it_may_build_something(package, corpus, tmp_path):
    build_index(corpus, "built", tmp_path/"i")
    assert (tmp_path/"i"/"built.txt").read_text() == "16"


def test_a_record_says_what_its_index_depends_on(package, corpus, tmp_path):
    about = build_index(corpus, "record", tmp_path/"i")
    assert about["version"] == 10 and json.loads((tmp_path/"i"/"index.json").read_text())["recall"] == .5
    stored = json.loads((tmp_path/"i"/"index.json").read_text())
    (tmp_path/"i"/"index.json").write_text(json.dumps(stored | {"version": 9}))
    with pytest.raises(LratError, match="holds another index"): build_index(corpus, "record", tmp_path/"i")


def test_errors_list_every_kind_and_name_what_is_broken(package):
    with pytest.raises(LratError, match=f"choose one of: {', '.join([*KINDS, 'broken', 'built', 'record', 'reversed'])}"): kind_of("colbert")
    with pytest.raises(LratError, match="the kind 'broken' cannot be loaded from others_of_lrat:Gone .*fix or remove"): kind_of("broken")


def test_a_built_in_kind_cannot_be_replaced(package):
    entries = package/"others_of_lrat-1.0.dist-info"/"entry_points.txt"
    entries.write_text(entries.read_text() + "bm25 = others_of_lrat:Reversed\n")
    assert kind_of("bm25") is KINDS["bm25"]
