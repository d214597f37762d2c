"The report says what each artefact cost, and stages that artefacts share count once."
import json

from lrat.core.settings import load_settings
from lrat.evaluation.costs import costs_command
from lrat.evaluation.prices import read_prices
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
