"""How guests come by their host and their model, and how old names of arguments are taken."""

from __future__ import annotations

import pytest

from secondpass.engine.cross_encoder import CrossEncoder
from secondpass.errors import InvalidInput, MissingExtra, ModelError
from secondpass.integrations.loading import check_devices, host, load
from secondpass.integrations.renaming import takes_old_names


def test_a_missing_host_is_an_error_with_the_install_line():
    with pytest.raises(MissingExtra) as raised, host("Nowhere", "nowhere"):
        import no_such_host  # noqa: F401

    assert str(raised.value) == (
        "the guest in Nowhere needs the extra 'nowhere': pip install 'secondpass[nowhere]'"
    )
    assert isinstance(raised.value.__cause__, ModuleNotFoundError)
    assert isinstance(raised.value, ImportError)


def test_a_model_may_be_a_name_a_folder_or_loaded_already(tiny, model):
    assert load(model) is model
    assert load(tiny).spec == load(str(tiny)).spec == model.spec
    assert load("mini", offline=True).spec.family == "late-join-bert"
    with pytest.raises(ModelError, match="is no folder and no bundled model"):
        load(tiny / "none")


@pytest.mark.parametrize("given", ["", " ", None, 3])
def test_what_is_no_model_is_an_error(given):
    with pytest.raises(InvalidInput, match=r"the model is .*; expected a bundled name such as"):
        load(given)


def test_max_tokens_is_a_limit_of_the_guest_alone(tiny, model):
    shorter = load(model, max_tokens=40)

    assert (shorter.limits.max_tokens, model.limits.max_tokens) == (40, None)
    assert shorter.backend is model.backend
    assert load(tiny, max_tokens=40).limits == shorter.limits
    for given in (tiny, model):
        with pytest.raises(InvalidInput, match="max_tokens=65 exceeds the model's limit of 64"):
            load(given, max_tokens=65)


@pytest.mark.parametrize("devices", [None, "cpu", "cpu:0", ["cpu", None], ("cpu",)])
def test_the_cpu_is_a_device(devices):
    check_devices(devices)


@pytest.mark.parametrize("devices", ["cuda", ["cpu", "cuda:1"], 0])
def test_another_device_is_an_error(devices):
    with pytest.raises(InvalidInput, match="secondpass computes on the CPU"):
        check_devices(devices)


class Host:
    @takes_old_names({"old": "new", "gone": None}, positions=("new", "other"))
    def call(self, first, *, new=1, other=2):
        return first, new, other


def test_old_names_and_positions_reach_the_new_argument():
    assert Host().call(0, new=5) == (0, 5, 2)
    with pytest.warns(DeprecationWarning, match="'old' is deprecated; its name is 'new' now"):
        assert Host().call(0, old=5) == (0, 5, 2)
    with pytest.warns(DeprecationWarning, match="by position is deprecated; pass "):
        assert Host().call(0, 7, 8) == (0, 7, 8)
    with pytest.warns(DeprecationWarning, match="'gone' is deprecated and has no effect"):
        assert Host().call(0, gone=9) == (0, 1, 2)


def test_the_new_name_counts_where_both_are_given():
    with pytest.warns(DeprecationWarning, match="old"):
        assert Host().call(0, old=5, new=6) == (0, 6, 2)


def test_an_argument_that_never_was_is_an_error():
    with pytest.raises(TypeError):
        Host().call(0, never=1)
    with pytest.warns(DeprecationWarning, match="position"), pytest.raises(TypeError):
        Host().call(0, 1, 2, 3)


def test_a_loaded_model_is_shared_and_not_closed_by_a_guest(tiny):
    loaded = CrossEncoder.load(tiny)

    load(loaded, max_tokens=40).rerank("a", ["b"])

    assert loaded.rerank("a", ["b"])
