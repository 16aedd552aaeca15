"""How do pydantic's models, which most hosts are made of, hold a model? As it is, unexamined."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from secondpass.engine.cross_encoder import CrossEncoder
from secondpass.errors import InvalidInput


def written(value: object) -> str:
    """A model's name or folder, as a host writes it down; InvalidInput for a loaded model."""
    if isinstance(value, str | Path):
        return str(value)
    raise InvalidInput(
        f"a loaded {type(value).__name__} cannot be written down; expected the name or the folder of "
        "a model; pass that instead"
    )


class Unexamined:
    """Annotates a pydantic field whose value is taken as it is: no copy, no look into its class."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> dict[str, Any]:
        return {"type": "any", "serialization": {"type": "function-plain", "function": written}}


ModelField = Annotated[str | Path | CrossEncoder, Unexamined]
