"The report says what each artefact cost, and stages that artefacts share count once."
import json
import re

from lrat.core.files import read_json, write_json
from lrat.core.settings import load_settings
from lrat.evaluation.costs import costs_command
from lrat.evaluation.prices import read_prices
from lrat.paper.plan import make_plan
from lrat.paper.report import build_report
from lrat.paper.results import record, result_row
from lrat.trajectories.trajectory import Step, Trajectory, write_trajectory


def test_the_report_says_what_each_artefact_cost(tmp_path, capsys, empty_project):
    key = "ab" * 32
    folder = tmp_path/"results"/"stages"/f"runs-eval-{key[:10]}"
    for n in range(5):
        write_trajectory(folder/"runs", Trajectory(f"q{n}", "Who?", "completed", [Step("output_text", output="Ada")],
                                                   metadata={"model": "patient", "policy": "patient"}, tool_call_counts_all={"search": 4}))
    (folder/"stage.json").write_text(json.dumps({"name": "runs-eval", "key": key, "seconds": 1234.4}))
    record(load_settings("smoke"), "table1", [result_row("table1", "bm25", "runs", 5)], {"runs-eval": key, "world": "cd" * 32})
    page = build_report("smoke").read_text()
    cells = page[page.index('id="costs"'):page.index('id="provenance"')]
    for said in ("Table 1", "1,234", ">20<", ">none<", "All, each stage once", "--prices FILE"): assert said in cells, said
    record(load_settings("smoke"), "fig4a", [result_row("fig4a", "all", "S->B", .5, unit="share")], {"runs-eval": key})
    costs_command([str(tmp_path/"results"/"smoke"/f"{artefact}.json") for artefact in ("table1", "fig4a")])
    assert capsys.readouterr().out.count("tool calls: 20") == 3 # Each, and together: they share the stage
    (tmp_path/"p.tsv").write_text("small\t2\t8\tUSD\n")
    assert "money, USD" in build_report("smoke", read_prices(tmp_path/"p.tsv")).read_text()


def test_the_report_holds_the_plan_against_what_was_done(tmp_path, empty_project):
    key = "ab" * 32
    folder = tmp_path/"results"/"stages"/f"runs-world-eval-small-base-{key[:10]}"
    for n, used in enumerate(({"prompt_tokens": 900_000, "completion_tokens": 100_000, "requests": 3}, None)):
        write_trajectory(folder/"runs", Trajectory(f"q{n}", "Who?", "completed", [], metadata={"model": "small"} | ({"usage": used} if used else {})))
    (folder/"stage.json").write_text(json.dumps({"name": "runs-world-eval-small-base", "key": key, "seconds": 5400}))
    settings = load_settings("mini", world__eval_questions=50)
    path = record(settings, "table2", [result_row("table2", "base", "success", .5)], {"runs-world-eval-small-base": key, "index-base": "cd" * 32})
    page = build_report("mini").read_text()
    table = page[page.index("Planned, and what it took"):page.index('id="provenance"')]
    line = table[table.index("evaluated trajectories"):]
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", line[:line.index("</tr>")])
    planned = sum(stage.counts.get("trajectories", 0) for stage in make_plan(settings)) # By the settings of the result, not the profile's
    assert cells[:2] == [f"{planned:,}", "2"] and cells[3] == "1.0 M (1 of 2 not known)" and cells[-1] == "1.50"
    stored = read_json(path)
    write_json(path, stored | {"settings": stored["settings"] | {"world": stored["settings"]["world"] | {"corpus": "elsewhere"}}})
    page = build_report("mini").read_text()
    assert "There is no plan to compare with: the plan knows no size of the corpus" in page and "Planned, and what it took" not in page
