"""How does a guest come by its host and by its model? Each in one way, the same for all guests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from secondpass.engine.cross_encoder import CrossEncoder, Limits
from secondpass.errors import InvalidInput, MissingExtra


@contextmanager
def host(name: str, extra: str) -> Iterator[None]:
    """Turns the missing import of a host into MissingExtra, which has the install line.

    Use it around the imports: `with host("LangChain", "langchain"): from langchain_core ...`.
    """
    try:
        yield
    except ImportError as error:
        raise MissingExtra(f"the guest in {name}", extra) from error


def load(
    model: str | Path | CrossEncoder,
    *,
    max_tokens: int | None = None,
    revision: str | None = None,
    offline: bool = False,
) -> CrossEncoder:
    """The cross-encoder that a guest was given: by name, by folder, or loaded already.

    One that is loaded already is shared, not copied; its weights stay its owner's to close. Raises
    what `CrossEncoder.load` raises, and InvalidInput for a value that is no model and for
    `max_tokens` beyond the model's.
    """
    if isinstance(model, CrossEncoder):
        if max_tokens is None:
            return model
        limits = replace(model.limits, max_tokens=max_tokens)
        limits.reach(model.spec)
        return replace(model, limits=limits)
    if not isinstance(model, str | Path) or not str(model).strip():
        raise InvalidInput(
            f"the model is {model!r:.80}; expected a bundled name such as 'mini', a folder, "
            "a hub name, or a CrossEncoder"
        )
    return CrossEncoder.load(
        model, revision=revision, offline=offline, limits=Limits(max_tokens=max_tokens)
    )


def check_devices(devices: object) -> None:
    """Raise InvalidInput for a device that is not the CPU."""
    named = [devices] if isinstance(devices, str) or devices is None else devices
    if not isinstance(named, list | tuple):
        named = [named]
    for device in named:
        if device is not None and str(device).partition(":")[0] != "cpu":
            raise InvalidInput(
                f"the device is '{device}'; expected 'cpu' or None: secondpass computes on the CPU; "
                "leave it out"
            )
