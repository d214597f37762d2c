"Every target of the table, for a moment: its samples are read, and changed samples are read or refused in one line. `make fuzz` does the same for half an hour."
import random

import pytest
from fuzz.mutate import mutations
from fuzz.targets import all_targets, check
from lrat.importers.formats import format_names, log_format

SLOW = {"tokenizer": 3, "served: MCP": 10, "import": 12} # Inputs of targets that need longer for each; 40 of the others


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LRAT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield all_targets(tmp_path_factory.mktemp("targets"))


def test_samples_are_read(targets, tmp_path):
    refused = {(target.name, n): said for target in targets for n, data in enumerate(target.seeds) if (said := check(target, data, tmp_path/"input"))}
    assert {name for name, _ in refused} <= {"stream"} # One of its samples is an error of a server
    assert len({target.name for target in targets}) == len(targets)


def test_every_log_format_is_a_target(targets):
    known = {name for name in format_names() if log_format(name).read}
    assert known <= {target.name.split()[1] for target in targets if target.name.startswith("import ")}


def test_changed_samples_are_read_or_refused(targets, tmp_path):
    for target in targets:
        count = next((n for start, n in SLOW.items() if target.name.startswith(start)), 40)
        for n, data in zip(range(count), mutations(target.seeds, random.Random(target.name))):
            try: check(target, data, tmp_path/"input")
            except Exception as error: raise AssertionError(f"{target.name}, change {n}: {data[:300]!r}") from error
