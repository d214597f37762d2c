"""Are lrat/, the notebooks and README.md what the notebooks make of them? With --write, make them so.

Exporting and cleaning happen in a copy, so that a check never changes the tree that it checks.
"""
import re, shutil, subprocess, sys, tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent


def readme(root):
    "README.md as nbs/index.ipynb gives it: links and pictures are relative to the repository's root"
    from nbconvert import MarkdownExporter
    text, _ = MarkdownExporter().from_filename(str(root/"nbs"/"index.ipynb"))
    note = "<!-- Made from nbs/index.ipynb by `make export`: edit that. -->\n\n"
    text = text.replace("](../", "](").replace('src="../', 'src="')
    return note + re.sub(r"\]\((?=[\w/]+\.ipynb)", "](nbs/", text).strip() + "\n"


def made(root):
    "What each generated file should hold, by its path"
    with tempfile.TemporaryDirectory() as copy:
        copy = Path(copy)
        for name in ("nbs", "lrat"): shutil.copytree(root/name, copy/name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
        shutil.copy(root/"settings.ini", copy)
        for path in copy.glob("lrat/**/*.py"):
            if path != copy/"lrat"/"__init__.py": path.unlink()
        for tool in ("nbdev_export", "nbdev_clean"): subprocess.run([BIN/tool], cwd=copy, check=True)
        files = {p.relative_to(copy): p.read_bytes() for folder in ("nbs", "lrat") for p in sorted((copy/folder).rglob("*")) if p.is_file()}
    files[Path("README.md")] = readme(root).encode()
    return files


def main():
    expected = made(ROOT)
    extra = [p.relative_to(ROOT) for p in sorted((ROOT/"lrat").rglob("*.py")) if p.relative_to(ROOT) not in expected]
    wrong = [p for p, content in expected.items() if not (ROOT/p).is_file() or (ROOT/p).read_bytes() != content]
    if "--write" in sys.argv:
        for path in extra: (ROOT/path).unlink()
        for path in wrong: (ROOT/path).write_bytes(expected[path])
        print(f"wrote {len(wrong)} files, removed {len(extra)}")
        return
    for path in wrong + extra: print(f"{path}: differs from what the notebooks make; run: make export", file=sys.stderr)
    if wrong or extra: raise SystemExit(1)
    print(f"{len(expected)} files are what the notebooks make of them")


if __name__ == "__main__": main()
