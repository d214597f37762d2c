"Every form that can be written gives back the searches, results, opened documents and reasoning that it was made of, and says what it does not know."
import json, random

import pytest
from small_forms import ONE_AFTER_THE_OTHER, WRITERS
from small_logs import LISTED, LOGS, small, views

from lrat.core.files import write_jsonl
from lrat.importers.command import import_trajectories
from lrat.importers.formats import recognise
from lrat.trajectories.trajectory import Step, Trajectory, iterate_trajectories

ALL = WRITERS | {"LangSmith": ("langsmith", lambda folder, run: write_jsonl(folder/"log.jsonl", LOGS["LangSmith"][1](run)))}


def imported(folder, out, form=None):
    source = next(folder.iterdir()) if len(list(folder.iterdir())) == 1 else folder
    manifest = import_trajectories(source, out, form)
    return list(iterate_trajectories(out)), manifest


@pytest.mark.parametrize("name", ALL)
def test_a_form_is_recognised_and_read(name, tmp_path):
    form, write = ALL[name]
    (tmp_path/"log").mkdir()
    write(tmp_path/"log", small())
    assert recognise(next((tmp_path/"log").iterdir())).name == form
    (run,), manifest = imported(tmp_path/"log", tmp_path/"out")
    assert views(run) == views(small()) and manifest["form"] == form
    assert run.query_id == "q1" and not manifest["notes"]


# Trajectories by chance

WORDS = "owl oak night 鳥 Wörter \"quoted\" {brace} back\\slash line\nbreak 7 <b>".split(" ")


def chance(rng, parallel):
    "A trajectory of searches, opened documents and thoughts in any order"
    def words(most=5): return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, most))).strip() or "owl"
    steps, shown, number = [], ["d0"], 0
    for _ in range(rng.randint(1, 7)):
        if rng.random() < .7: steps.append(Step("reasoning", output=f"I think {words()}."))
        for n in range(rng.choice([1, 1, 2, 3]) if parallel else 1):
            number += 1
            if rng.random() < .6:
                found = [f"d{rng.randint(1, 40)}" for _ in range(rng.randint(1, 4))]
                listed = "\n\n".join(f"DocID:{d}\n[Title]\nAbout {words(2)}." for d in dict.fromkeys(found))
                steps.append(Step("tool_call", "search", json.dumps({"query": f"{number} {words()}"}, ensure_ascii=False), listed, parallel=n > 0))
                shown += found
            else: steps.append(Step("tool_call", "get_document", json.dumps({"docid": rng.choice(shown)}), f"Page {number}. {words()}", parallel=n > 0))
    if not any(step.tool_name == "search" for step in steps): steps.append(Step("tool_call", "search", '{"query": "owl"}', LISTED))
    if rng.random() < .8: steps += [Step("reasoning", output=f"So {words()}."), Step("output_text", output=f"It is {words()}")]
    else: steps.append(Step("output_text", output="Owl"))
    return Trajectory("q1", f"Which {words()}?", "completed", steps)


@pytest.mark.parametrize("name", ALL)
def test_trajectories_by_chance_come_back(name, tmp_path):
    form, write = ALL[name]
    for seed in range(5):
        run = chance(random.Random(f"{name} {seed}"), name not in ONE_AFTER_THE_OTHER)
        folder = tmp_path/f"log{seed}"
        folder.mkdir()
        write(folder, run)
        (back,), manifest = imported(folder, tmp_path/f"out{seed}")
        assert views(back) == views(run), f"seed {seed}"
        assert not manifest["notes"], f"seed {seed}"
