"The report leads to the trajectories behind its numbers."
import re

from lrat.core.files import read_json, write_json
from lrat.core.settings import load_settings
from lrat.paper.report import build_report
from lrat.paper.results import make_artefact, results_folder
from lrat.pipeline.pipeline import Pipeline
from lrat.testing.invented_scores import invent_scores
from lrat.testing.museum import TRAJECTORY
from lrat.trajectories.trajectory import write_trajectory


def test_the_report_links_to_a_page_of_its_trajectories_and_names_the_commands(empty_project):
    settings = load_settings("smoke")
    make_artefact("table2", settings, invent_scores(Pipeline(settings)))
    path, stages = results_folder("smoke")/"table2.json", empty_project/"results"/"stages"
    names = {f"runs-world-eval-patient-{system}": str(n) * 64 for n, system in enumerate(("base", "lrat-2025", "bm25", "gone"))}
    write_json(path, read_json(path) | {"inputs": names | {"world": "9" * 64}})
    for name, key in list(names.items())[:3]: write_trajectory(stages/f"{name}-{key[:10]}"/"runs", TRAJECTORY)
    (stages/f"world-{'9' * 10}").mkdir()
    (stages/f"world-{'9' * 10}"/"eval.qrels").write_text("q1 0 m07 1\n")
    page = build_report("smoke").read_text(encoding="utf-8")
    section = re.search(r'<section id="trajectories".*?</section>', page, re.DOTALL)[0]
    assert 'href="trajectories.html"' in section and (results_folder("smoke")/"trajectories.html").is_file()
    assert re.findall(r"lrat view (results/stages/\S+/runs)", section) == [f"results/stages/{name}-{names[name][:10]}/runs" for name in sorted(names) if not name.endswith("gone")]
