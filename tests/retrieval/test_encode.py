"Shards: other settings, damage, pickles, kills; several processes and Ray write what one writes; Tevatron finds what we find."
import importlib.util, os, pickle, signal, subprocess, sys, time

import numpy as np, pytest
from tiny_models import save_tiny, WORDS

import lrat.core.parallel
from lrat.data.corpus import Document, open_corpus, write_corpus
from lrat.retrieval.dense import DenseRetriever
from lrat.retrieval.encode_corpus import build_dense
from lrat.retrieval.shards import shard_paths
from lrat.retrieval.encoder import Encoder
from lrat.retrieval.index import build_index, index_command, open_index
from lrat.core.files import read_json
from lrat.core.settings import InputError, LratError, RetrieverSettings
from lrat.retrieval.tevatron import read_pickle
from lrat.retrieval.vectors import import_vectors


@pytest.fixture(scope="module")
def tiny(tmp_path_factory): return save_tiny(tmp_path_factory.mktemp("tiny"), decoder=False)


@pytest.fixture
def corpus(tmp_path):
    write_corpus(tmp_path/"corpus.jsonl", [Document(f"d{n:02}", " ".join(WORDS[n % 40:n % 40 + 3 + n % 7])) for n in range(45)])
    return open_corpus(tmp_path/"corpus.jsonl")


def index(corpus, model, out, **options): return build_index(corpus.path, "dense", out, str(model), RetrieverSettings(model=str(model)), **options)


def exported(folder, out, **options): index_command(str(folder), export=str(out), form="tevatron", **options)


def same_files(one, other):
    names = sorted(p.name for p in one.glob("shard-*"))
    assert names and names == sorted(p.name for p in other.glob("shard-*"))
    for name in names: assert (one/name).read_bytes() == (other/name).read_bytes()


def test_unknown_choices(corpus, tiny, tmp_path):
    with pytest.raises(LratError, match="unknown dtype 'half'; choose one of auto"): index(corpus, tiny, tmp_path/"i", dtype="half")
    with pytest.raises(LratError, match="unknown store_dtype 'int4'; choose one of float32, float16"): index(corpus, tiny, tmp_path/"i", store_dtype="int4")
    with pytest.raises(LratError, match="unknown engine 'dask'"): index(corpus, tiny, tmp_path/"i", engine="dask")
    with pytest.raises(LratError, match="--processes is 0"): index(corpus, tiny, tmp_path/"i", processes=0)


def test_dtypes_belong_to_the_index(corpus, tiny, tmp_path):
    about = index(corpus, tiny, tmp_path/"half", dtype="bfloat16", store_dtype="float16")
    assert (about["encoder"]["precision"], about["store"]) == ("bfloat16", "float16") # The names on disk that older indexes have
    assert np.load(shard_paths(tmp_path/"half", 0)[0]).dtype == np.float16
    assert open_index(tmp_path/"half").identity()["precision"] == "bfloat16"
    with pytest.raises(LratError, match="dtype bfloat16, not .*dtype float32"): index(corpus, tiny, tmp_path/"half", dtype="float32", store_dtype="float16")
    with pytest.raises(LratError, match="store_dtype float16, not float32"): index(corpus, tiny, tmp_path/"half", dtype="bfloat16")
    about = index(corpus, tiny, tmp_path/"plain")
    assert "precision" not in about["encoder"] and "store" not in about # As before there was a choice


def test_half_way_with_other_settings(corpus, tiny, tmp_path):
    encoder = Encoder(str(tiny))
    build_dense(corpus, encoder, tmp_path/"i", shard_size=10)
    for number in (3, 4): shard_paths(tmp_path/"i", number)[1].unlink()
    with pytest.raises(LratError, match="begun with other settings"): build_dense(corpus, encoder, tmp_path/"i", shard_size=20)
    with pytest.raises(LratError, match="begun with other settings"): build_dense(corpus, encoder, tmp_path/"i", shard_size=10, store_dtype="float16")
    assert build_dense(corpus, encoder, tmp_path/"i", shard_size=10) == 2


def test_damaged_shards(corpus, tiny, tmp_path):
    encoder = Encoder(str(tiny))
    build_dense(corpus, encoder, tmp_path/"i", shard_size=10)
    path, _ = shard_paths(tmp_path/"i", 2)
    whole = path.read_bytes()
    damages = {whole[:100]: "is not an array of numbers", whole[:-4]: "is not an array of numbers", b"": "is not an array of numbers",
               pickle.dumps(([1.], ["d20"])): "a pickle, which is never opened here"}
    for content, message in damages.items():
        path.write_bytes(content)
        for memory in (0, 2**30):
            with pytest.raises(InputError, match=message): DenseRetriever(tmp_path/"i", corpus, encoder, memory=memory)
    np.save(path, np.zeros((10, 8), np.float32))
    with pytest.raises(InputError, match="vectors of 8 dimensions, but the model makes 32"): DenseRetriever(tmp_path/"i", corpus, encoder)
    np.save(path, np.zeros((9, 32), np.float32))
    with pytest.raises(LratError, match="for 10 documents; delete the index and build it again"): DenseRetriever(tmp_path/"i", corpus, encoder)
    np.save(path, np.zeros((10, 32), np.int64))
    with pytest.raises(InputError, match="holds int64"): DenseRetriever(tmp_path/"i", corpus, encoder)


def test_search_on_disk_is_the_search_in_memory(tmp_path, tiny):
    "Also where scores are equal: every document comes three times"
    write_corpus(tmp_path/"c.jsonl", [Document(f"{n * 7 % 120:03}", " ".join(WORDS[n % 40:n % 40 + 3])) for n in range(120)])
    corpus, encoder = open_corpus(tmp_path/"c.jsonl"), Encoder(str(tiny))
    for store in ("float32", "float16"):
        build_dense(corpus, encoder, tmp_path/store, shard_size=17, store_dtype=store)
        memory, disk = DenseRetriever(tmp_path/store, corpus, encoder), DenseRetriever(tmp_path/store, corpus, encoder, memory=0)
        for k in (1, 4, 10, 120, 500):
            for one, other in zip(memory.search_batch(WORDS[:5], k), disk.search_batch(WORDS[:5], k)):
                assert [h.docid for h in one] == [h.docid for h in other]
                assert np.allclose([h.score for h in one], [h.score for h in other], atol=1e-6)


def test_shards_in_another_order_than_the_corpus(corpus, tiny, tmp_path):
    encoder = Encoder(str(tiny))
    build_dense(corpus, encoder, tmp_path/"i", shard_size=10)
    (one, ids), (other, other_ids) = shard_paths(tmp_path/"i", 0), shard_paths(tmp_path/"i", 1)
    for a, b in ((one, other), (ids, other_ids)):
        first = a.read_bytes()
        a.write_bytes(b.read_bytes())
        b.write_bytes(first)
    with pytest.raises(LratError, match="in another order than the corpus"): DenseRetriever(tmp_path/"i", corpus, encoder, memory=0)


def test_a_process_that_fails(corpus, tiny, tmp_path, monkeypatch, capfd):
    "What went wrong in another process is one line here"
    encoder = Encoder(str(tiny))
    monkeypatch.setitem(encoder.arguments, "model", str(tmp_path/"gone"))
    with pytest.raises(LratError, match="gone"): build_dense(corpus, encoder, tmp_path/"i", shard_size=10, processes=2)
    assert "Traceback" not in capfd.readouterr().err
    assert not list(tmp_path.glob("i/*"))


def test_progress_moves_batch_by_batch(corpus, tiny, tmp_path, monkeypatch):
    "Not shard by shard: encoding reports each batch, and the bar counts every document once"
    encoder, counts, ticks = Encoder(str(tiny), batch_tokens=32), [], []
    encoder.encode_documents([document.text for document in corpus], report=counts.append)
    assert sum(counts) == 45 and len(counts) > 9
    monkeypatch.setattr("lrat.retrieval.encode_corpus.progress", lambda items, task, total: ticks.append(total) or (ticks.append(1) for _ in items))
    build_dense(corpus, encoder, tmp_path/"i", shard_size=20)
    assert ticks[0] == 45 == sum(ticks[1:])
    shard_paths(tmp_path/"i", 2)[1].unlink()
    ticks.clear()
    build_dense(corpus, encoder, tmp_path/"i", shard_size=20)
    assert ticks[0] == 5 == sum(ticks[1:]) # Of a resumed build only what is missing
    assert not (tmp_path/"i"/".reports").exists()


@pytest.mark.slow
def test_killed_with_its_processes_and_resumed(corpus, tiny, tmp_path):
    "kill -9 of the command, while its processes may still write: the next build is whole"
    code = (f"from lrat.retrieval.encode_corpus import build_dense; from lrat.retrieval.encoder import Encoder; from lrat.data.corpus import open_corpus\n"
            f"build_dense(open_corpus({str(corpus.path)!r}), Encoder({str(tiny)!r}), {str(tmp_path/'i')!r}, shard_size=1, processes=2)")
    started = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((tmp_path/"i").glob("shard-*.json")):
        assert started.poll() is None and time.monotonic() < deadline
        time.sleep(.01)
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    encoder = Encoder(str(tiny))
    build_dense(corpus, encoder, tmp_path/"i", shard_size=1)
    build_dense(corpus, encoder, tmp_path/"whole", shard_size=1)
    same_files(tmp_path/"whole", tmp_path/"i")


@pytest.mark.slow
def test_ray_writes_what_one_process_writes(corpus, tiny, tmp_path, monkeypatch):
    if not importlib.util.find_spec("ray"): pytest.skip("ray is not installed (the extra [ray])")
    import torch
    torch.set_num_threads(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    encoder = Encoder(str(tiny))
    build_dense(corpus, encoder, tmp_path/"one", shard_size=10)
    require, addresses = lrat.core.parallel.require, []

    def hooked(module, extra): # Not imported here: what it is told before its first import decides where it listens
        found = require(module, extra)
        if module == "ray":
            stop = found.shutdown
            monkeypatch.setattr(found, "shutdown", lambda: [addresses.extend(n["NodeManagerAddress"] for n in found.nodes()), stop()])
        return found

    monkeypatch.setattr(lrat.core.parallel, "require", hooked)
    assert build_dense(corpus, encoder, tmp_path/"ray", shard_size=10, processes=2, engine="ray") == 5
    assert addresses == ["127.0.0.1"] # Nobody else can reach it
    monkeypatch.setattr(lrat.core.parallel, "require", require)
    same_files(tmp_path/"one", tmp_path/"ray")
    assert build_dense(corpus, encoder, tmp_path/"ray", shard_size=10, processes=2, engine="ray") == 0


def test_pickles_are_opened_by_name_alone(corpus, tiny, tmp_path):
    index(corpus, tiny, tmp_path/"i")
    exported(tmp_path/"i", tmp_path/"out")
    options = {"out": str(tmp_path/"j"), "model": str(tiny), "vectors": str(tmp_path/"out"/"*.pkl")}
    for form in (None, "pickle"):
        with pytest.raises(LratError, match="choose --form tevatron"): index_command(str(corpus.path), form=form, **options)
        with pytest.raises(LratError, match="choose --form tevatron"): index_command(str(tmp_path/"i"), export=str(tmp_path/"again"), form=form)
    with pytest.raises(LratError, match="there are no such files"): index_command(str(corpus.path), form="tevatron", **options | {"vectors": str(tmp_path/"*.nothing")})
    with pytest.raises(LratError, match="there is no such corpus"): index_command(str(tmp_path/"gone.jsonl"), form="tevatron", **options)
    with pytest.raises(LratError, match="kind bm25 holds no vectors"): index_command(str(corpus.path), form="tevatron", kind="bm25", **options)
    assert not (tmp_path/"j").exists() and not (tmp_path/"again").exists()
    (tmp_path/"evil.pkl").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(InputError, match="it asks for os.system"): read_pickle(tmp_path/"evil.pkl")
    (tmp_path/"other.pkl").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(InputError, match="is not a pickle of an array and a list of docids"): read_pickle(tmp_path/"other.pkl")


def test_what_holds_no_vectors_is_not_exported(corpus, tiny, tmp_path):
    index(corpus, tiny, tmp_path/"i")
    build_index(corpus.path, "bm25", tmp_path/"words")
    build_index(corpus.path, "hnsw", tmp_path/"graph", of=[tmp_path/"i"])
    for name in ("words", "graph"):
        with pytest.raises(LratError, match="is not a dense index"): exported(tmp_path/name, tmp_path/"out")
    for options in ({}, {"out": str(tmp_path/"j"), "export": str(tmp_path/"out")}):
        with pytest.raises(LratError, match="name either --out"): index_command(str(tmp_path/"i"), form="tevatron", **options)
    assert not (tmp_path/"out").exists() and not (tmp_path/"j").exists()


def test_pickles_of_older_protocols_and_number_types(tmp_path):
    for protocol in range(6):
        for dtype in (np.float32, np.float16, np.float64):
            (tmp_path/"p.pkl").write_bytes(pickle.dumps((np.eye(2, 3, dtype=dtype), np.array(["a", "b"])), protocol))
            vectors, docids = read_pickle(tmp_path/"p.pkl")
            assert vectors.dtype == np.float32 and vectors.tolist() == np.eye(2, 3).tolist() and docids == ["a", "b"]


def test_imported_is_what_was_exported(corpus, tiny, tmp_path):
    index(corpus, tiny, tmp_path/"i")
    exported(tmp_path/"i", tmp_path/"out")
    index_command(str(corpus.path), str(tmp_path/"back"), model=str(tiny), vectors=str(tmp_path/"out"/"corpus-*.pkl"), form="tevatron")
    assert read_json(tmp_path/"back"/"index.json")["imported"]
    same_files(tmp_path/"i", tmp_path/"back")
    assert open_index(tmp_path/"back").search(WORDS[3], 5) == open_index(tmp_path/"i").search(WORDS[3], 5)
    with pytest.raises(LratError, match="imported True, not False"): index(corpus, tiny, tmp_path/"back")
    vectors, docids = read_pickle(tmp_path/"out"/"corpus-00000.pkl")
    wrong = [(vectors[:, :8], docids, "vectors of 8 dimensions"), (vectors, ["none", *docids[1:]], "has no document 'none'"),
             (vectors[::-1], docids, "is not what this model makes"), (np.full_like(vectors, np.nan), docids, "is not what this model makes")]
    for array, ids, message in wrong:
        (tmp_path/"w.pkl").write_bytes(pickle.dumps((array, ids)))
        with pytest.raises(LratError, match=message): index(corpus, tiny, tmp_path/"w", fill=import_vectors(str(tmp_path/"w.pkl"), "tevatron"))
    assert not (tmp_path/"w"/"index.json").exists() and not list((tmp_path/"w").glob(".import*"))


@pytest.mark.skipif(not importlib.util.find_spec("tevatron"), reason="tevatron is not installed (the extra [tevatron])")
def test_tevatrons_retriever_gives_the_same_ranking(corpus, tiny, tmp_path):
    index(corpus, tiny, tmp_path/"i")
    (tmp_path/"questions.tsv").write_text("".join(f"q{n}\t{WORDS[n]} {WORDS[n + 9]}\n" for n in range(6)))
    exported(tmp_path/"i", tmp_path/"out", questions=str(tmp_path/"questions.tsv"))
    vectors, docids = read_pickle(tmp_path/"out"/"corpus-00000.pkl")
    for n, part in enumerate((slice(0, 30), slice(30, 45))): (tmp_path/"out"/f"corpus-{n:05}.pkl").write_bytes(pickle.dumps((vectors[part], docids[part])))
    command = [sys.executable, "-m", "tevatron.faiss_retriever", "--query_reps", "queries.pkl", "--passage_reps", "corpus-*.pkl", "--depth", "10",
               "--batch_size", "-1", "--save_text", "--save_ranking_to", "ranking.txt"]
    done = subprocess.run(command, cwd=tmp_path/"out", capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = {}
    for line in (tmp_path/"out"/"ranking.txt").read_text().splitlines():
        query, docid, score = line.split("\t")
        theirs.setdefault(query, []).append((docid, float(score)))
    retriever = open_index(tmp_path/"i")
    for n in range(6):
        ours = retriever.search(f"{WORDS[n]} {WORDS[n + 9]}", 10)
        assert [h.docid for h in ours] == [docid for docid, _ in sorted(theirs[f"q{n}"], key=lambda pair: (-pair[1], pair[0]))]
        assert np.allclose([h.score for h in ours], sorted((score for _, score in theirs[f"q{n}"]), reverse=True), atol=1e-5)


@pytest.mark.parametrize("decoder, pooling", [(False, "mean"), (True, "last"), (True, "mean")])
def test_the_way_of_a_gpu_gives_the_same_vectors(tmp_path, decoder, pooling):
    "Named `cpu:0`, the processor is treated as any device but `cpu` is: texts in parts, no mask for a decoder, padding on the right"
    texts, counts = [" ".join(WORDS[:1 + n % 17]) for n in range(40)], []
    exact = Encoder(save_tiny(tmp_path, decoder), pooling, device="cpu", dtype="float32").encode_documents(texts)
    encoder = Encoder(tmp_path, pooling, device="cpu:0", dtype="float32", batch_tokens=8)
    np.testing.assert_allclose(encoder.encode_documents(texts, counts.append), exact, atol=1e-5)
    assert sum(counts) == 40 and len(counts) > 5
