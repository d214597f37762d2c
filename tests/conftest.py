"What all tests share: no test asks a model hub, and results go to an empty project."
import os

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture
def empty_project(tmp_path, monkeypatch):
    "The test's folder is the project root, so that nothing invented reaches the repository's own results"
    monkeypatch.setenv("LRAT_ROOT", str(tmp_path))
    return tmp_path
