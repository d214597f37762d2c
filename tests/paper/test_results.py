"Result rows as FORMATS.md has them, files that are the same bytes twice, figures, and a report that needs no network."
import json, re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np, pytest

from lrat.paper.figures import load_figures, save_figure
from lrat.paper.drawing import words_for
from lrat.paper.main import caption_fig1, fig1, fig7
from lrat.evaluation.scores import ScoreTable
from lrat.evaluation.statistics import wilson_interval
from lrat.paper.report import answer, build_report, headline
from lrat.paper.sentences import comparison_sentence, verdict
from lrat.paper.artefacts import paper_artefacts
from lrat.paper.results import comparison_rows, load_results, record, record_seconds, result_row, score_rows
from lrat.paper.tables import headline_rows, results_tables
from lrat.paper.printed import paper_values
from lrat.core.settings import InputError, LratError, code_version, load_settings

FIELDS = ["artefact", "system", "agent", "benchmark", "metric", "value", "low", "high", "n", "seed", "paper", "unit"]
SETTINGS, SEEDS, METRICS, RNG = load_settings("smoke"), [1, 2, 3], ("success", "evidence_recall"), np.random.default_rng(0)
LUCK = RNG.random(120)


@pytest.fixture(autouse=True)
def root(tmp_path, empty_project):
    "Nothing invented may reach the repository's own results"
    return tmp_path


def scores(rate):
    ids = tuple(map(str, range(len(LUCK))))
    values = {"success": (LUCK < rate).astype(float), "evidence_recall": np.clip(LUCK + rate - .5, 0, 1),
              "steps": 3 + np.round(LUCK * 3)}
    return ScoreTable(ids, ("completed",) * len(ids), values)


def rows_of(artefact, systems, agents=("hasty", "patient"), benchmarks=("world-eval", "fanoutqa-agent")):
    rows = []
    for benchmark in benchmarks:
        for agent in agents:
            about = {"evaluation": SETTINGS.evaluation, "agent": agent, "benchmark": benchmark}
            rows += score_rows(artefact, "base", [scores(.3)], [2025], **about)
            for system, gain in systems.items():
                tables = [scores(.3 + gain + .01 * n) for n in range(3)]
                rows += score_rows(artefact, system, tables, SEEDS, **about)
                rows += comparison_rows(artefact, system, tables, "base", [scores(.3)], SEEDS, metrics=list(METRICS),
                                        **about)
    return rows


# ------------------------------------------------------------------------------------------------------------------------ rows

def test_rows_have_the_fields_of_the_format():
    rows = rows_of("table2", {"+LRAT": .2})
    for row in rows:
        assert list(row)[:len(FIELDS)] == FIELDS
        assert row["n"] == 120 and isinstance(row["value"], float)
    right = int((LUCK < .3).sum())
    for row in (r for r in rows if (r["system"], r["metric"]) == ("base", "success")):
        assert (row["value"], row["low"], row["high"]) == pytest.approx((right / 120, *wilson_interval(right, 120)))
    json.dumps(rows, allow_nan=False)
    assert {r["base"] for r in rows if "base" in r} == {"base"}


def test_seeds_and_their_mean():
    rows = rows_of("table2", {"+LRAT": .2}, ["patient"], ["world-eval"])
    rows = [r for r in rows if r["metric"] == "success" and r["system"] == "+LRAT"]
    scored, compared = [r for r in rows if "base" not in r], [r for r in rows if "base" in r]
    for group in (scored, compared):
        assert [r["seed"] for r in group] == [None, 1, 2, 3] and group[0]["seeds"] == SEEDS
        assert group[0]["value"] == pytest.approx(np.mean([r["value"] for r in group[1:]]))
        assert headline_rows(group) == group[:1]
    assert compared[0]["system_value"] - compared[0]["base_value"] == pytest.approx(compared[0]["value"])


def test_bad_rows_are_refused():
    with pytest.raises(LratError, match="no artefact"): result_row("table9", "base", "success", 1)
    with pytest.raises(LratError, match="value is nan"): result_row("table2", "base", "success", float("nan"))
    with pytest.raises(LratError, match="has no value"): result_row("table2", "base", "success", None)
    row = result_row("table2", "base", "success", .5, .4, .6)
    with pytest.raises(LratError, match="outside its interval"): record(SETTINGS, "table2", [row | {"value": .7}], {})
    with pytest.raises(LratError, match="belongs to table2"): record(SETTINGS, "fig1", [row], {})
    with pytest.raises(LratError, match="does not exist"): record(SETTINGS, "table2", [row], {"runs": Path("nowhere")})


def test_files_are_the_same_bytes_twice(root):
    first = record(SETTINGS, "table2", rows_of("table2", {"+LRAT": .2}), {"world": "ab"}, seconds=1.5).read_bytes()
    path = record(SETTINGS, "table2", rows_of("table2", {"+LRAT": .2}), {"world": "ab"}, seconds=99)
    assert path == root/"results"/"smoke"/"table2.json" and path.read_bytes() == first
    stored = json.loads(first)
    assert stored["settings"] == SETTINGS.as_dict() and stored["code"] == code_version() and stored["inputs"] == {"world": "ab"}
    assert "seconds" not in stored and json.loads((path.parent/"timings.json").read_text()) == {"table2": 99}


def test_inputs_that_are_files_are_hashed(root):
    (root/"questions.tsv").write_text("1\tWhich?\n")
    row = result_row("table2", "base", "success", .5)
    before = json.loads(record(SETTINGS, "table2", [row], {"questions": root/"questions.tsv"}).read_text())["inputs"]["questions"]
    (root/"questions.tsv").write_text("1\tWho?\n")
    after = json.loads(record(SETTINGS, "table2", [row], {"questions": root/"questions.tsv"}).read_text())["inputs"]["questions"]
    assert len(before) == 64 and before != after


def test_a_broken_result_file_is_named(root):
    path = record(SETTINGS, "table2", [result_row("table2", "base", "success", .5)], {})
    path.write_text('{"rows": [')
    with pytest.raises(InputError, match="table2.json"): load_results("smoke")
    path.write_text('{"rows": {}}')
    with pytest.raises(InputError, match="'rows' is dict"): load_results("smoke")


# ----------------------------------------------------------------------------------------------------------------- the paper

def test_paper_values_are_the_printed_ones():
    def value(artefact, **wanted):
        found = [r["value"] for r in paper_values(artefact) if all(r.get(k) == v for k, v in wanted.items())]
        assert len(found) == 1, (artefact, wanted, found)
        return found[0]
    assert value("table1", system="bm25", split="correct", metric="searches") == 9.15
    glm = {"agent": "GLM-4.7", "retriever": "intfloat/multilingual-e5-large-instruct", "system": "+LRAT", "benchmark": "infoseek-eval"}
    assert value("table2", metric="success", **glm) == .817
    assert value("fig7", agent="GLM-4.7", system="+reweight", metric="success") == .546
    assert value("fig4a", metric="S->B", split="correct") == .23
    assert value("judge_audit", metric="kept_evidence") == .972
    assert value("table3", agent="gpt-oss-120b", system="+LRAT, correct runs") == .118
    assert len(paper_values("table2")) == 24 * 5 and len(paper_values("table1")) == 5 * 3 * 5


def test_a_row_that_the_paper_prints_carries_its_value():
    assert result_row("table1", "bm25", "searches", 3., unit="steps", split="incorrect")["paper"] == 29.15
    assert result_row("table2", "base", "success", .3, agent="patient", benchmark="world-eval")["paper"] is None
    paper, settings = {}, load_settings("paper")
    for retriever in (None, settings.evaluation.backbones[0].model):
        for agent in settings.agent.policies:
            row = result_row("table2", "+LRAT", "success", .3, agent=agent, benchmark=settings.world.in_domain, **({"retriever": retriever} if retriever else {}))
            paper[agent, retriever] = row["paper"]
    assert None not in paper.values() and paper["GLM-4.7", None] != paper["GLM-4.7", retriever] == .817


# --------------------------------------------------------------------------------------------------------------------- tables

def test_tables_show_intervals_and_verdicts():
    values, _, differences, alone = results_tables("table2", rows_of("table2", {"+LRAT": .2, "+naive": .0}))
    assert values.header == ("agent", "system", "success, %", "evidence recall, %", "steps") and len(values.rows) == 6
    assert all(re.fullmatch(r"\d+\.\d \[\d+\.\d, \d+\.\d\]", row[2]) for row in values.rows)
    verdicts = {(row[2], row[3]): row[-1] for row in differences.rows}
    assert verdicts["+LRAT", "success"] == "significant" and verdicts["+naive", "success"] == "not significant"
    assert len(alone.rows) == 3 * len(differences.rows)
    assert "<td" in values._repr_html_() and values._repr_markdown_().count("\n") == 2 + 1 + 6


def test_html_in_names_is_escaped():
    rows = [result_row("table2", "<script>alert(1)</script>", "success", .5, .4, .6, 10, "a|b", "world-eval", 1)]
    table = results_tables("table2", rows)[0]
    assert "<script>" not in table._repr_html_() and "a\\|b" in table._repr_markdown_()


# -------------------------------------------------------------------------------------------------------------------- figures

def ablation():
    arms = {"+naive": .1, "+filter": .15, "+reweight": .15, "top1": 0, "lexical": .1}
    return rows_of("fig7", arms, benchmarks=["world-eval"]) + [result_row("fig7", arm, "pairs", 500) for arm in arms]


@pytest.mark.parametrize("draw, rows", [(fig1, rows_of("fig1", {"+LRAT": .2})), (fig7, ablation())], ids=["fig1", "fig7"])
def test_figures_are_the_same_bytes_twice(draw, rows):
    files = []
    for _ in range(2):
        saved = save_figure(draw(rows), SETTINGS, "drawn", "A caption.", words_for(rows))
        files.append((saved.svg, saved._repr_png_()))
    assert files[0] == files[1] and b"PNG" in files[0][1][:8]
    assert "<dc:date>" not in files[0][0]
    assert load_figures("smoke")["drawn"].alternative == words_for(rows)


def test_a_figure_shows_the_differences_and_marks_what_is_not_significant():
    rows = rows_of("fig1", {"+LRAT": 0.})
    texts = [t.get_text() for axis in fig1(rows).axes for t in axis.texts]
    expected = [r for r in headline_rows(rows) if r.get("base") and (r["benchmark"], r["metric"]) in
                (("world-eval", "success"), ("fanoutqa-agent", "evidence_recall"))]
    assert len(texts) == len(expected) == 4
    assert sorted(texts) == sorted(f"{r['value'] * 100:+.1f}" + ("" if r["significant"] else "\nn.s.") for r in expected)


def test_figures_without_rows_say_so():
    with pytest.raises(LratError, match="no rows of \\+LRAT"): fig1(rows_of("fig1", {"+LRAT": .2}, benchmarks=["world-eval"]))
    with pytest.raises(LratError, match="no rows of the ablation"): fig7([])


# --------------------------------------------------------------------------------------------------------------------- report

class Page(HTMLParser):
    "What a page refers to, and its elements"
    def __init__(self, text):
        super().__init__()
        self.links, self.tags, self.ids, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"): self.links.append(value)
            if name == "id": self.ids.append(value)
        if tag not in ("meta", "br", "link", "img", "hr") and not self.get_starttag_text().endswith("/>"): self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag: self.open.pop()


@pytest.fixture
def page(root):
    record(SETTINGS, "table2", rows_of("table2", {"+LRAT": .2}), {"world": "ab" * 32})
    record(SETTINGS, "fig1", rows := rows_of("fig1", {"+LRAT": .2}), {"world": "ab" * 32})
    record(SETTINGS, "fig7", arms := ablation(), {"world": "ab" * 32})
    save_figure(fig1(rows), SETTINGS, "fig1", caption_fig1(rows), words_for(rows))
    save_figure(fig7(arms), SETTINGS, "fig7", "Arms & <controls>", words_for(arms))
    stage = root/"results"/"stages"/"world-1234"
    stage.mkdir(parents=True)
    (stage/"stage.json").write_text(json.dumps({"name": "world", "key": "ab" * 32, "seconds": 12.5, "peak_memory_mb": 300}))
    record_seconds("smoke", {"table2": 3})
    return build_report("smoke").read_text()


def test_figures_of_a_run_lie_beside_its_results(page, root):
    assert not (root/"figures").exists() and (root/"results"/"smoke"/"figures"/"fig1.svg").is_file()


def test_the_report_needs_no_network(page):
    parsed = Page(page)
    assert parsed.links and all(link.startswith("#") for link in parsed.links)
    assert not re.search(r"@import|url\((?!#)", page)
    assert not {"script", "link", "iframe", "object", "embed", "base"} & {tag for tag, _ in parsed.tags}


def test_the_report_is_well_formed_and_accessible(page):
    parsed = Page(page)
    assert parsed.open == [] and len(parsed.ids) == len(set(parsed.ids))
    assert {link[1:] for link in parsed.links} <= set(parsed.ids)
    drawings = [attributes for tag, attributes in parsed.tags if tag == "svg"]
    assert len(drawings) == 2 and all(a["role"] == "img" and "95% intervals" in a["aria-label"] for a in drawings)
    assert ("html", {"lang": "en"}) in parsed.tags and any(a.get("name") == "viewport" for _, a in parsed.tags)
    assert page.count("<caption>") == page.count("<table>") and "Arms &amp; &lt;controls&gt;" in page


def test_the_report_says_what_matters(page):
    for said in ("Yes: training on agent trajectories helped", "numbers mean nothing", "control", "Each training seed alone",
                 "not significant", "What the paper prints", "not expected to equal it", code_version(), "ab" * 32,
                 "stage world", "12.5", "learning_rate"):
        assert said in page, said
    for artefact in ("table2", "fig1", "fig7"): assert f'id="{artefact}"' in page
    assert page.index("Yes: training") < page.index("Controls") < page.index('id="table2"')


def test_the_verdict_follows_the_data():
    for gain, expected in ((.2, "yes"), (0, "no"), (-.2, "no")):
        rows = rows_of("table2", {"+LRAT": gain - .01})
        assert answer({"table2": {"rows": rows}})[0] == expected, gain
    down = next(r for r in headline_rows(rows) if r.get("base"))
    assert verdict(down) == "got worse" and "got worse" in comparison_sentence(down, rows)
    mixed = [r for r in rows_of("table2", {"+LRAT": .2}) if r["agent"] == "hasty"] + [r for r in rows if r["agent"] == "patient"]
    assert answer({"table2": {"rows": mixed}})[0] == "partly"


def test_controls_and_out_of_domain_stand_in_the_headline():
    results = {"table2": {"rows": rows_of("table2", {"+LRAT": .2})}, "fig7": {"rows": ablation()}}
    titles = {table.caption.partition(":")[0]: table for table in headline(results)}
    assert set(titles) == {"In-domain", "Out of domain", "Controls"}
    assert {row[0].split(" against")[0] for row in titles["Controls"].rows} == {"own top 1", "lexical"}


def test_an_empty_profile_still_has_a_report():
    assert "Not evaluated yet" in build_report("mini").read_text()
    with pytest.raises(LratError, match="unknown profile"): build_report("large")


def test_every_artefact_of_the_paper_is_there(): assert len(paper_artefacts()) == 14
