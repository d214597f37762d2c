"Stages that new processes can import."
import os, time
from lrat.core.files import write_json
from lrat.core.settings import LratError
from lrat.core.stages import Stage, found_stage, stage_folder
from lrat.pipeline.graph import Graph, Task


def count(out, value, seconds=0., earlier=()):
    "Writes what depends on its inputs alone; the threads beside it say how it was made"
    if value < 0: raise LratError(f"{value} is negative")
    (out/"begun").touch()
    for _ in range(int(seconds * 20)): time.sleep(.05)
    write_json(out/"value.json", [value, sorted((folder/"value.json").read_text() for folder in earlier)])
    (out/".threads").write_text(os.environ.get("OMP_NUM_THREADS", ""))


def graph(root, stages):
    "A graph of `name: (parameters, names of inputs)`, in an order in which they can be made"
    found, made = Graph(), {}
    for name, (parameters, needs) in stages.items():
        inputs = {"earlier": [made[need] for need in needs]} if needs else {}
        folder, key = stage_folder(name, count, parameters, inputs, root)
        is_made, ready = found_stage(folder, name, key) is not None, all(found.tasks[need].made for need in needs)
        found.tasks[name] = Task(name, folder, key, (name, count, parameters, inputs, root, (), None, None), tuple(needs), ready and is_made, ready)
        made[name] = Stage(name, folder, key, 0.)
    return found
