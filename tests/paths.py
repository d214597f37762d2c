"Where things are, for every test. What lies in `shared` may be missing: a test that needs it skips and says so."
from pathlib import Path

from lrat.data.reference import REFERENCE, RUNS
from lrat.data.assets import cache_folder

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
SHARED = ROOT.parent/"shared"
RECORDED = SHARED/"recorded"


def reference_runs():
    "Folder of the public reference trajectories: in the cache after `lrat fetch reference-trajectories`, or beside this checkout; None where they are in neither"
    for folder in (cache_folder()/REFERENCE, RECORDED/"runs"):
        if all((folder/f"run_{number}.json").is_file() for number in RUNS): return folder
    return None
