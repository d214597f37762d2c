"The paper's profile on generated data: a short form in every run of the tests, the whole of it among the slow ones."
import json, os, shutil, subprocess, sys

import pytest
from paths import ROOT
from lrat.core.files import read_json
from lrat.core.settings import load_settings
from lrat.data.corpus import open_corpus
from lrat.paper.artefacts import paper_artefacts
from lrat.testing.rehearsal import judges_of, prepare, rehearse
from lrat.testing.scripted_models import scripted_models, serve_scripts

SHORT = """
import json, sys
from lrat.core.settings import load_settings
from lrat.pipeline.pipeline import Pipeline
def settings(**more): return load_settings("rehearsal", agent__endpoint=sys.argv[1], world__train_questions=6, **more)
pipeline, hub, found = Pipeline(settings()), Pipeline(settings(mining__pairs="hub", training__max_steps=1)), {}
tongyi, = pipeline.settings.agent.collection_policies
runs = pipeline.trajectories("world-train", tongyi, "base")
found["verdicts"] = len((pipeline.verdicts(runs)/"verdicts.jsonl").read_text().splitlines())
for agent in pipeline.settings.agent.policies: found[agent] = pipeline.scores("infoseek-eval", agent, "base").statuses
e5, = hub.settings.evaluation.backbones
found["+LRAT"] = hub.scores("browsecomp-plus", "GLM-4.7", "+LRAT", 2025).statuses
found["e5"] = hub.with_encoder(e5).scores("browsecomp-plus", "gpt-oss-120b", "base").statuses
found["keys"] = sorted(stage.key for stage in {**pipeline.used, **hub.used}.values())
print(json.dumps(found))
"""


def test_stages_protocols_and_encoders_of_the_papers_profile(empty_project, monkeypatch):
    monkeypatch.setattr("lrat.testing.rehearsal.SIZES", {"documents": 300, "evaluation": 2})
    settings, data = load_settings("rehearsal", world__train_questions=6), empty_project/"data"/"rehearsal"
    environment = prepare(settings, empty_project/"hub", data)
    assert (data/"browsecomp-plus.tsv").is_file() and not (data/"infoseek-eval.qrels").exists() # Nobody publishes these
    models, found = scripted_models(open_corpus(data/"corpus.jsonl"), judges=judges_of(settings)), []
    for _ in range(2): # The second time at another address: nothing is made again
        with serve_scripts(models) as server:
            done = subprocess.run([sys.executable, "-c", SHORT, server.url], env=os.environ | environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr[-2000:]
            found.append(json.loads(done.stdout.splitlines()[-1]))
            asked = len(server.requests)
    assert found[0] == found[1] and asked == 0
    statuses = [status for name in found[0] if name not in ("verdicts", "keys") for status in found[0][name]]
    assert set(statuses) == {"completed"} and found[0]["verdicts"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("pairs", ["mine", "hub"])
def test_the_whole_profile(pairs, empty_project):
    for name in ("nbs", "settings.ini"): (empty_project/name).symlink_to(ROOT/name)
    shutil.copytree(ROOT/"data"/"expected", empty_project/"data"/"expected")
    rehearse(pairs=pairs)
    made = {path.stem for path in (empty_project/"results"/"rehearsal").glob("*.json")}
    wanted = {name for name, artefact in paper_artefacts().items() if pairs == "mine" or not artefact.needs}
    assert wanted <= made
    assert all(read_json(empty_project/"results"/"rehearsal"/f"{name}.json")["rows"] for name in wanted)
