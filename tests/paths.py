"Where things are, for every test. What lies in `shared` may be missing: a test that needs it skips and says so."
from pathlib import Path

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
SHARED = ROOT.parent/"shared"
RECORDED = SHARED/"recorded"
