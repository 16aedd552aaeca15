"""How should a model be computed? What a caller may choose beside the backend."""

from __future__ import annotations

from dataclasses import dataclass

from secondpass.errors import InvalidInput, UnknownName

PRECISIONS = ("fp32", "int8")


@dataclass(frozen=True, slots=True)
class Compute:
    """Choices that change how fast a model is and how exactly it is computed, not what it says.

    `precision='auto'` is int8 in the native backend, two to three times as fast as fp32, unless int8
    moves this model's logits too far; numpy has fp32 only. `threads=None` takes the physical cores
    that this process may use. `instruction_set` forces a lower path of the native kernels, for tests
    and for comparing.
    """

    precision: str = "auto"
    threads: int | None = None
    instruction_set: str = "auto"

    def __post_init__(self) -> None:
        if self.precision not in ("auto", *PRECISIONS):
            raise UnknownName("precision", self.precision, ["auto", *PRECISIONS])
        if self.threads is not None and self.threads < 1:
            raise InvalidInput(
                f"threads={self.threads} computes nothing; pass 1 or more, or leave it out for the "
                "cores of this machine"
            )
