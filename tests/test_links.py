"Every relative link of README, the Markdown files and the notebooks leads to a file that is there, and every anchor to a heading."
import json, re

import pytest
from paths import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("data/*.md"), *ROOT.glob("figures/*.md"),
                *(path for path in (ROOT/"nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)])
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")


def prose(path):
    "The text of a page without its code"
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        text = "\n\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown")
    return re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(path):
    "Anchors that GitHub and the site make of a page's headings"
    headings = re.findall(r"^#+ +(.*)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links(path):
    for found in LINK.finditer(prose(path)):
        link = found[1] or found[2]
        if re.match(r"[a-z]+:", link): continue
        target, _, anchor = link.partition("#")
        there = (path.parent/target).resolve() if target else path
        assert there.exists(), f"{link} leads nowhere"
        if anchor: assert anchor in anchors(there), f"{link}: {there.name} has no such heading"


def test_a_broken_link_is_found(tmp_path):
    (tmp_path/"page.md").write_text("# A page\n\nSee [this](#a-page), [that](nothing.md) and [those](#no-heading).\n")
    links = [found[1] for found in LINK.finditer(prose(tmp_path/"page.md"))]
    assert links == ["#a-page", "nothing.md", "#no-heading"] and anchors(tmp_path/"page.md") == {"a-page"}
