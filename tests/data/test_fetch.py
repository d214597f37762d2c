"lrat fetch: assets, published data and the reference trajectories, with or without a network; nothing with a wrong hash is kept."
import json, re, urllib.error

import pytest
import lrat.data.reference
from lrat.data.assets import ASSETS
from lrat.data.published import PUBLISHED, fetch_command
from lrat.data.questions import read_questions
from lrat.data.reference import REFERENCE, RUNS, address, fetch_reference, is_reference, reference_documents
from lrat.core.settings import LratError
from paths import reference_runs

needs_runs = pytest.mark.skipif(reference_runs() is None, reason=f"the reference trajectories are not here; run: lrat fetch {REFERENCE}")


def as_published(text):
    "The other way round: the model's folder, an indentation of two"
    run = json.loads(text)
    run["metadata"]["model"] = f"/models/{run['metadata']['model']}"
    return json.dumps(run, ensure_ascii=False, indent=2)


@pytest.fixture
def clone(tmp_path):
    "A clone of the authors' repository with the five runs"
    for number in RUNS:
        path = tmp_path/"LRAT"/"trajectory"/"bm25"/f"{number}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(as_published((reference_runs()/f"run_{number}.json").read_text(encoding="utf-8")), encoding="utf-8")
    return tmp_path/"LRAT"


@needs_runs
def test_a_clone_becomes_the_files_that_are_known_by_hash(clone, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LRAT_CACHE", str(tmp_path/"cache"))
    fetch_command([REFERENCE], source=str(clone))
    assert capsys.readouterr().out == f"{REFERENCE}: {tmp_path/'cache'/REFERENCE} (hashes match)\n"
    for number in RUNS:
        assert (tmp_path/"cache"/REFERENCE/f"run_{number}.json").read_bytes() == (reference_runs()/f"run_{number}.json").read_bytes()
    def offline(number): raise AssertionError("downloaded again")
    assert fetch_reference(download=offline) == tmp_path/"cache"/REFERENCE


@needs_runs
def test_a_run_that_was_changed_is_not_kept(clone, tmp_path):
    path = clone/"trajectory"/"bm25"/"10.json"
    path.write_text(path.read_text(encoding="utf-8").replace("Big Daddy", "Big Daddies"), encoding="utf-8")
    with pytest.raises(LratError, match="trajectory 10 is not the published one .*commit fef45faddb97") as error: fetch_reference(tmp_path/"out", clone)
    assert "\n" not in str(error.value) and not (tmp_path/"out"/"run_10.json").exists()


@needs_runs
def test_a_damaged_copy_is_brought_again(clone, tmp_path):
    fetch_reference(tmp_path/"out", clone)
    (tmp_path/"out"/"run_6.json").write_text("{}")
    fetch_reference(tmp_path/"out", clone)
    assert is_reference(6, (tmp_path/"out"/"run_6.json").read_text(encoding="utf-8"))


@needs_runs
def test_every_document_that_was_seen_stands_in_the_runs():
    documents = {document.docid: document for document in reference_documents(reference_runs())}
    assert len(documents) == 242 and documents["7563"].title == "Abdul Rashid Dostum"
    for number in RUNS:
        run = json.loads((reference_runs()/f"run_{number}.json").read_text(encoding="utf-8"))
        assert set(run["retrieved_docids"]) <= set(documents)
    assert documents["6053813"].text.endswith("political prisoners' family camp in Siberia.") and len(documents["9358159"].text) > 2000


def test_without_a_network_the_error_says_where_to_get_them(tmp_path, monkeypatch):
    def refused(*args, **options): raise urllib.error.URLError("no route to host")
    monkeypatch.setattr(lrat.data.reference.urllib.request, "urlopen", refused)
    with pytest.raises(LratError, match=f"{re.escape(address(1))}: could not be downloaded .no route.*github.com/Yuqi-Zhou/LRAT.*--source FOLDER") as error:
        fetch_reference(tmp_path/"out")
    assert "\n" not in str(error.value) and not (tmp_path/"out").exists()


@pytest.mark.parametrize("text", ["", "404: Not Found", "[]", "{}", '{"metadata": {}}', '{"metadata": {"model": 7}}', '{"metadata": {"model": "x"}, "n": NaN}'])
def test_what_is_not_a_run_has_no_hash(text): assert not is_reference(1, text)


def test_published_questions_are_converted_from_a_file_or_a_folder(tmp_path, capsys):
    (tmp_path/"data").mkdir()
    (tmp_path/"data"/"InfoSeekQA.jsonl").write_text("".join(json.dumps({"question": f"Which {n}?", "answer": f"{n}"}) + "\n" for n in range(5)))
    for source in (tmp_path, tmp_path/"data", tmp_path/"data"/"InfoSeekQA.jsonl"):
        fetch_command(["infoseek-qa"], source=str(source), out=str(tmp_path/"out"), limit=3)
        assert [q.query_id for q in read_questions(tmp_path/"out"/"train.tsv")] == ["0", "1", "2"]
    assert capsys.readouterr().out == "train.tsv: 3 questions\n" * 3
    assert PUBLISHED["infoseek-qa"].limit == 10_000  # As the paper asks


@pytest.mark.parametrize("names, options, says", [
    (["nothing"], {}, "nothing called 'nothing' to fetch; choose one of: all-MiniLM-L6-v2"), (["fanoutqa"], {"out": "x"}, "--out goes with published data"),
    ([], {"limit": 3}, "--limit goes with published data .*not with all-MiniLM-L6-v2"), (["fanoutqa"], {"source": "x"}, "--source goes with published data"),
    (["wiki-25", "lrat-pairs"], {"source": "x"}, "--source belongs to one data set, but 2 are named"), (["infoseek-eval"], {}, "InfoSeek-Eval.tsv. with --source"),
    (["lrat-pairs"], {"source": "none.jsonl"}, "none.jsonl: there is no such file")])
def test_a_mistake_is_one_line(names, options, says):
    with pytest.raises(LratError, match=says): fetch_command(names, **options)


def test_no_two_things_share_a_name(): assert len({*ASSETS, *PUBLISHED, REFERENCE}) == len(ASSETS) + len(PUBLISHED) + 1
