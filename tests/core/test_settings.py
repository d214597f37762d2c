"Settings from a command line or a notebook: typed by their annotation, and a mistake says what is allowed."
import dataclasses, json

import pytest
from lrat.core.settings import PROFILES, LratError, RetrieverSettings, Settings, load_settings, parse_settings, setting_types


def test_every_field_of_every_group_can_be_set():
    groups = [f for f in dataclasses.fields(Settings) if dataclasses.is_dataclass(f.default_factory)]
    names = {f"{group.name}.{f.name}" for group in groups for f in dataclasses.fields(group.default_factory)}
    assert set(setting_types()) == names | {"seed"}


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_survives_the_way_through_json(profile):
    "Everything that is stored beside a result can be given back, as text too"
    settings = load_settings(profile)
    plain = json.loads(json.dumps(settings.as_dict()))
    given = {f"{group}__{key}": value for group, fields in plain.items() if isinstance(fields, dict) for key, value in fields.items()}
    assert load_settings(profile, **given) == settings
    words = [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in given.items()]
    assert load_settings(profile, **parse_settings(words)) == settings


@pytest.mark.parametrize("word, value", [
    ("seed=7", 7), ("training.epochs=1", 1), ("training.epochs=0.5", .5), ("training__learning_rate=1e-6", 1e-6), ("training.bf16=True", True),
    ("world.documents=none", None), ("world.documents=4_000", 4000), ("retriever.query_prompt=a=b, c", "a=b, c"), ("retriever.query_prompt=", ""),
    ("agent.policies=hasty, patient", ("hasty", "patient")), ('agent.policies=["a,b"]', ("a,b",)), ("agent.policies=", ()),
    ("evaluation.train_seeds=1", (1,)), ("evaluation.train_seeds=[1, 2]", (1, 2)), ("world.corpus=12", "12"),
    ('evaluation.backbones=[{"model": "e5"}]', (RetrieverSettings(model="e5"),))])
def test_a_value_is_read_as_its_field_says(word, value):
    (name, found), = parse_settings([word]).items()
    assert found == value and type(found) is type(value)
    settings = load_settings("smoke", **{name: found})
    for part in name.split("__"): settings = getattr(settings, part)
    assert settings == value


@pytest.mark.parametrize("word, says", [
    ("training.epochs", "'training.epochs' sets nothing; write NAME=VALUE"), ("training.epoch=1", "did you mean 'training.epochs'"),
    ("batch_size=1", "did you mean 'training.batch_size'"), ("profile=mini", "there is no setting 'profile'"), ("world=1", "no setting 'world'"),
    ("training.epochs=", "takes a number, not ''"), ("training.epochs=nan", "takes a number, not nan"), ("training.batch_size=2.0", "takes a whole number"),
    ("training.bf16=1", "takes true or false, not '1'"), ("evaluation.train_seeds=1,,2", "takes a whole number, not ''|a list, each a whole number"),
    ("evaluation.train_seeds=[1", "evaluation.train_seeds is not valid JSON"), ("evaluation.train_seeds=[true]", "not True"),
    ("evaluation.backbones=e5", "takes an object with fields of RetrieverSettings, not 'e5'"),
    ('evaluation.backbones=[{"modl": "e5"}]', "fields of RetrieverSettings"), ("world.documents=all", "takes a whole number or none, not 'all'")])
def test_a_mistake_says_what_is_allowed(word, says):
    with pytest.raises(LratError, match=says): parse_settings([word])


@pytest.mark.parametrize("name, value", [("training__epochs", None), ("training__epochs", True), ("agent__policies", "hasty"), ("agent__policies", [1]),
                                         ("world__documents", 1.5), ("evaluation__backbones", [{"model": 1}])])
def test_values_of_python_are_checked_as_well(name, value):
    with pytest.raises(LratError, match=f"the setting {name.replace('__', '.')}.* takes "): load_settings("smoke", **{name: value})
