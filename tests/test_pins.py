"One source of pins: constraints.txt names the versions, and settings.ini and environment.yml agree with it."
import re
from configparser import ConfigParser
from importlib import metadata

import pytest, yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from paths import ROOT

PINS = {canonicalize_name(name): version for name, version in
        (line.split("==") for line in (ROOT/"constraints.txt").read_text().splitlines() if line and not line.startswith("#"))}
SETTINGS = ConfigParser(delimiters=["="])
SETTINGS.read(ROOT/"settings.ini")
SETTINGS = SETTINGS["DEFAULT"]
REQUIREMENTS = [(key, Requirement(r)) for key, value in SETTINGS.items() if re.search(r"(^|_)requirements$", key)
                for r in value.split() if key != "vllm_requirements"]


@pytest.mark.parametrize("key,requirement", REQUIREMENTS, ids=lambda v: getattr(v, "name", ""))
def test_each_range_holds_its_pin(key, requirement):
    assert PINS[canonicalize_name(requirement.name)] in requirement.specifier, key


def test_conda_installs_under_the_same_pins():
    environment = yaml.safe_load((ROOT/"environment.yml").read_text())
    pip = next(d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    assert "--constraint constraints.txt" in pip and "--editable .[all,dev]" in pip
    assert "python=" + SETTINGS["min_python"] in environment["dependencies"]


def test_what_is_installed_is_what_is_pinned():
    drifted = {name: metadata.version(name) for _, r in REQUIREMENTS if (name := canonicalize_name(r.name)) in PINS
               and metadata.version(name).split("+")[0] != PINS[name]}
    assert not drifted, "run: make setup"
