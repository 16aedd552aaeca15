"""Where a setting's value comes from, and what happens to a wrong one."""

from __future__ import annotations

import pytest

from secondpass import build
from secondpass.errors import InvalidInput, UnknownName
from secondpass.settings import Settings


def test_a_flag_goes_before_the_environment_before_the_file_before_the_default(tmp_path):
    file = tmp_path / "secondpass.toml"
    file.write_text('model = "file"\ndepth = 7\ntop_k = 3\n')
    environment = {"SECONDPASS_DEPTH": "8", "SECONDPASS_TOP_K": "4", "HOME": "/"}

    chosen = Settings.read({"top_k": 9, "blend": None}, environment, file)

    assert (chosen.top_k, chosen.depth, chosen.model, chosen.blend) == (9, 8, "file", None)
    assert chosen.batch_tokens == Settings().batch_tokens


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("TRUE", True), ("off", False), ("no", False)]
)
def test_switches_are_words(text, value):
    assert Settings.read({}, {"SECONDPASS_OFFLINE": text}).offline is value


def test_numbers_become_their_type():
    chosen = Settings.read({}, {"SECONDPASS_BLEND": "0.3", "SECONDPASS_MAX_TOKENS": "128"})

    assert (chosen.blend, chosen.max_tokens) == (0.3, 128)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"SECONDPASS_DEPTH": "many"}, r"depth='many' in the environment \(SECONDPASS_DEPTH\)"),
        ({"SECONDPASS_OFFLINE": "perhaps"}, "offline='perhaps'"),
        ({"SECONDPASS_BLEND": ""}, "blend=''"),
    ],
)
def test_a_wrong_value_is_named_with_its_source(environment, message):
    with pytest.raises(InvalidInput, match=message):
        Settings.read({}, environment)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("deep = 5", "unknown setting in .*'deep'; choose from backend, batch_tokens"),
        ("depth = [5]", "depth=\\[5\\]"),
        ("depth = true", "depth=True"),
        ("top_k = 5.7", "top_k=5.7"),
        ("top_k = inf", "top_k=inf"),
        ("depth == 5", "cannot be read as settings"),
    ],
)
def test_a_wrong_file_is_named(content, message, tmp_path):
    file = tmp_path / "secondpass.toml"
    file.write_text(content)

    with pytest.raises(InvalidInput, match=message):
        Settings.read({}, {}, file)


def test_an_unknown_flag_is_a_mistake_of_ours():
    with pytest.raises(UnknownName):
        Settings.read({"colour": "red"}, {})


def test_the_file_of_the_working_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secondpass.toml").write_text("top_k = 11")
    (tmp_path / "other.toml").write_text("top_k = 12")

    assert build.settings({}).top_k == 11
    monkeypatch.setenv("SECONDPASS_CONFIG", "other.toml")
    assert build.settings({}).top_k == 12
    monkeypatch.setenv("SECONDPASS_CONFIG", "missing.toml")
    with pytest.raises(InvalidInput, match=r"missing\.toml"):
        build.settings({})
