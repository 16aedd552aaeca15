from __future__ import annotations

import tomllib
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import InvalidInput, UnknownName
from secondpass.training.recipe import CHECKS, LOSSES, OF_DELIVERY, Recipe, key_of


def write(folder, text):
    file = folder / "recipe.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_file_says_what_it_says_and_defaults_the_rest(tmp_path):
    file = write(tmp_path, 'data = ["a.jsonl", "b.jsonl"]\nfrom = "org/model"\nepochs = 3\n')

    recipe = Recipe.read({}, file)

    assert recipe == Recipe(data=("a.jsonl", "b.jsonl"), start="org/model", epochs=3)


def test_what_is_given_goes_before_the_file(tmp_path):
    file = write(tmp_path, 'from = "x"\nepochs = 3\nlearning_rate = 1\ndata = "one.jsonl"\n')

    recipe = Recipe.read({"epochs": 5, "start": None, "teacher": ["a"]}, file)

    assert (recipe.epochs, recipe.start, recipe.learning_rate) == (5, "x", 1.0)
    assert (recipe.data, recipe.teacher) == (("one.jsonl",), ("a",))


def test_few_layers_over_frozen_ones_learn_faster_unless_the_recipe_says_how_fast():
    assert Recipe().rate(join_layer=9) > Recipe().rate(join_layer=0) == pytest.approx(3e-5)
    assert Recipe(learning_rate=2e-6).rate(join_layer=9) == 2e-6


def test_an_unknown_key_names_the_known_ones(tmp_path):
    file = write(tmp_path, "epoch = 3\n")

    with pytest.raises(
        UnknownName, match=r"unknown key in '.*recipe.toml' 'epoch'; .*epochs, from"
    ):
        Recipe.read({}, file)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('epochs = "3"', "epochs='3' in '.*' is no whole number; expected a whole number"),
        ("epochs = true", "epochs=True in .* is no whole number"),
        ("epochs = 1.5", "epochs=1.5 in .* is no whole number"),
        ('learning_rate = "fast"', "learning_rate='fast' in .* is no number"),
        ("from = 3", "from=3 in .* is no text"),
        ("data = [1]", "data=1 in .* is no text"),
        ("epochs = ", "cannot be read as a recipe"),
    ],
)
def test_a_value_of_another_type_is_refused(tmp_path, line, message):
    with pytest.raises(InvalidInput, match=message):
        Recipe.read({}, write(tmp_path, line))


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(InvalidInput, match=r"'.*none.toml' cannot be read: .*expected a recipe"):
        Recipe.read({}, tmp_path / "none.toml")


BAD = {
    "layers": 0,
    "teacher_share": (0.0,),
    "teacher_weight": -1.0,
    "temperature": 0.0,
    "pointwise": float("nan"),
    "learning_rate": 0.0,
    "epochs": 0,
    "steps": 0,
    "batch_tokens": 31,
    "max_tokens": 31,
    "seed": -1,
    "validation_share": 1.0,
    "check_every": 0,
    "patience": -1,
    "most_cost": -0.1,
}


@pytest.mark.parametrize(("name", "value"), BAD.items())
def test_a_value_out_of_range_is_refused(name, value):
    with pytest.raises(InvalidInput, match=rf"{name}=.* cannot be trained by; expected"):
        Recipe(**{name: value})


def test_each_check_is_shown_a_value_that_fails_it():
    assert {name for name, _, _ in CHECKS} == set(BAD)


@pytest.mark.parametrize(
    ("name", "value"), [("loss", "hinge"), ("precision", "fp8"), ("device", "tpu")]
)
def test_an_unknown_name_is_refused(name, value):
    with pytest.raises(UnknownName, match=f"unknown {name} '{value}'; choose from"):
        Recipe(**{name: value})


def test_shares_belong_to_teachers():
    with pytest.raises(InvalidInput, match="2 shares are given for 1 teachers"):
        Recipe(teacher=("a",), teacher_share=(0.5, 0.5))


def test_data_and_a_place_are_needed():
    with pytest.raises(InvalidInput, match="no training data is named"):
        Recipe(out="x").complete()
    with pytest.raises(InvalidInput, match="no place for the model is named"):
        Recipe(data=("a",)).complete()


texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
recipes = st.builds(
    Recipe,
    data=st.lists(texts, max_size=3).map(tuple),
    start=texts,
    out=texts,
    layers=st.none() | st.integers(1, 99),
    teacher=st.lists(texts, max_size=2).map(tuple),
    loss=st.sampled_from(LOSSES),
    learning_rate=st.floats(1e-12, 1.0),
    licence=st.none() | texts,
    validation=st.none() | texts,
    seed=st.integers(0, 2**32 - 1),
)


@given(recipes)
def test_a_written_recipe_reads_as_the_same(recipe):
    table = tomllib.loads(recipe.to_toml())
    names = {key_of(field.name): field.name for field in fields(Recipe)}

    assert Recipe.read({names[key]: value for key, value in table.items()}) == recipe


@pytest.mark.parametrize("field", fields(Recipe), ids=lambda field: field.name)
def test_a_difference_is_named_unless_it_is_of_the_delivery(field):
    one, other = Recipe(data=("a",)), Recipe(data=("a",))
    object.__setattr__(other, field.name, "else")

    if field.name in OF_DELIVERY:
        assert one.difference(other) is None
    else:
        assert one.difference(other).startswith(f"{key_of(field.name)}='else' and not ")
    assert one.difference(one) is None
