"Threads of OpenMP sleep while they wait, unless the user says otherwise; the variable is there before torch can be loaded."
import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("given,expected", [({}, "PASSIVE None"), ({"OMP_WAIT_POLICY": "active"}, "active None"), ({"GOMP_SPINCOUNT": "9"}, "None 9")])
@pytest.mark.parametrize("module", ["lrat", "lrat.core.cli", "lrat.training.train"])
def test_importing_any_module_lets_threads_sleep(module, given, expected):
    kept = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    program = f"import os, sys, {module}; assert 'torch' not in sys.modules; print(os.environ.get('OMP_WAIT_POLICY'), os.environ.get('GOMP_SPINCOUNT'))"
    done = subprocess.run([sys.executable, "-c", program], env=kept | given, capture_output=True, text=True)
    assert done.stdout.strip() == expected, done.stderr
