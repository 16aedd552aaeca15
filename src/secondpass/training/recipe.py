"""What makes a model? Every choice of a training run, from a TOML file and from options.

option > file > default. A model's folder holds the recipe that it was made by, as recipe.toml.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from secondpass.errors import InvalidInput, UnknownName

LOSSES = ("lambda", "listnet", "plistmle", "ranknet")
PRECISIONS = ("auto", "bf16", "fp32")
DEVICES = ("auto", "cpu")
# Few layers over frozen ones bear more: mini learnt a domain at 1e-4 that 3e-5 taught it half of.
WHOLE_RATE, UPPER_RATE = 3e-5, 1e-4
RENAMED = {"start": "from"}  # a word that Python keeps for itself
# What changes the delivery alone: a run whose recipe differs in these goes on where it stopped.
OF_DELIVERY = ("licence", "language", "most_cost", "device")


@dataclass(frozen=True, slots=True)
class Recipe:
    """The choices of one run, checked. InvalidInput says which value cannot be used, and why."""

    data: tuple[str, ...] = ()  # files of lists, as `mine` and `distil` write them
    out: str = ""  # the folder of the new model
    start: str = "mini"  # `from`: bundled name, folder or hub name of the model to begin with
    layers: int | None = None  # so many of its layers, evenly spread; None: all
    teacher: tuple[str, ...] = ()  # cross-encoders that score the lists before training
    teacher_share: tuple[float, ...] = ()  # how much each of several counts; (): all the same
    teacher_weight: float = 0.5  # of the lists' scores beside their labels
    temperature: float = 1.0  # the scores are divided by it: lower is sharper
    loss: str = "lambda"  # the ranking term
    pointwise: float = 0.2  # weight of the term that makes sigmoid(score) a probability
    learning_rate: float | None = None  # None: 3e-5, of a late join's upper layers 1e-4
    epochs: int = 2  # how often each list is read
    steps: int | None = None  # at most so many, whatever `epochs` says
    batch_tokens: int = 8192  # tokens a step
    max_tokens: int | None = None  # longest row; None: what the start model reads at once
    seed: int = 0
    validation: str | None = None  # a file of lists to measure on; None: a share of the data
    validation_share: float = 0.1  # of the queries, chosen by the hash of their texts
    check_every: int | None = None  # steps from one measure and checkpoint to the next
    patience: int = 5  # measures without a better one until the run ends; 0: it never ends early
    precision: str = "auto"  # 'bf16', 'fp32', or 'auto': bf16 on a GPU or CPU that has it
    device: str = "auto"  # 'cpu', or 'auto': a GPU where there is one
    most_cost: float = 0.005  # nDCG@10 that int8 may cost
    licence: str | None = None  # of the new model, for its card
    language: tuple[str, ...] = ()  # of the new model, for its card: en, zh

    def __post_init__(self) -> None:
        for name, good, expected in CHECKS:
            value = getattr(self, name)
            if value is not None and not good(value):
                raise InvalidInput(
                    f"{key_of(name)}={value!r} cannot be trained by; expected {expected}"
                )
        for name, known in (("loss", LOSSES), ("precision", PRECISIONS), ("device", DEVICES)):
            if getattr(self, name) not in known:
                raise UnknownName(name, getattr(self, name), known)
        if self.teacher_share and len(self.teacher_share) != len(self.teacher):
            raise InvalidInput(
                f"{len(self.teacher_share)} shares are given for {len(self.teacher)} teachers; "
                "expected one each; leave them out and all count the same"
            )

    @classmethod
    def read(cls, given: Mapping[str, Any], file: Path | None = None) -> Recipe:
        """The recipe of a TOML file, None for none, with `given` in the place of what it says.

        Of `given` a value that is None was not given. Raises UnknownName for a key that is none,
        and InvalidInput for a value of the wrong type, naming where it came from.
        """
        names = {key_of(field.name): field.name for field in fields(cls)}
        values: dict[str, Any] = {}
        for key, value in _table(file).items():
            if key not in names:
                raise UnknownName(f"key in '{file}'", key, names)
            values[names[key]] = _typed(names[key], value, f"'{file}'")
        for name, value in given.items():
            if value is not None:
                values[name] = _typed(name, value, "the options")
        return cls(**values)

    def complete(self) -> Recipe:
        """The recipe itself, where it names data and a place for the model; InvalidInput where not."""
        if not self.data:
            raise InvalidInput(
                "no training data is named; expected files of lists, as `secondpass mine` writes "
                'them; pass --data FILE, or write data = ["FILE"] into the recipe'
            )
        if not self.out:
            raise InvalidInput(
                "no place for the model is named; expected a new folder; pass --out FOLDER, or "
                'write out = "FOLDER" into the recipe'
            )
        return self

    def rate(self, *, join_layer: int) -> float:
        """The learning rate; `join_layer` is 0 where the whole model learns."""
        if self.learning_rate is not None:
            return self.learning_rate
        return UPPER_RATE if join_layer else WHOLE_RATE

    def to_toml(self) -> str:
        """A file that `read` understands as this recipe; what is None is left out."""
        known = {key_of(name): value for name, value in asdict(self).items() if value is not None}
        return "".join(f"{key} = {_toml(value)}\n" for key, value in known.items())

    def difference(self, other: Recipe) -> str | None:
        """The first key that would make another model, with both values; None where none would."""
        for field in fields(self):
            mine, others = getattr(self, field.name), getattr(other, field.name)
            if mine != others and field.name not in OF_DELIVERY:
                return f"{key_of(field.name)}={others!r} and not {mine!r}"
        return None


def key_of(name: str) -> str:
    """The word for a field in a file and on the command line."""
    return RENAMED.get(name, name)


def _positive(value: float) -> bool:
    return math.isfinite(value) and value > 0


def _weight(value: float) -> bool:
    return math.isfinite(value) and value >= 0


Check = tuple[str, Callable[[Any], bool], str]
CHECKS: list[Check] = [
    ("layers", lambda value: value >= 1, "1 or more"),
    ("teacher_share", lambda value: all(map(_positive, value)), "numbers above 0"),
    ("teacher_weight", _weight, "a number from 0"),
    ("temperature", _positive, "a number above 0"),
    ("pointwise", _weight, "a number from 0"),
    ("learning_rate", _positive, "a number above 0, such as 3e-5"),
    ("epochs", lambda value: value >= 1, "1 or more"),
    ("steps", lambda value: value >= 1, "1 or more"),
    ("batch_tokens", lambda value: value >= 32, "32 or more: at least one row"),
    ("max_tokens", lambda value: value >= 32, "32 or more: room for a query and a text"),
    ("seed", lambda value: 0 <= value < 2**32, "a whole number from 0 to 4294967295"),
    ("validation_share", lambda value: 0 < value < 1, "a share between 0 and 1, such as 0.1"),
    ("check_every", lambda value: value >= 1, "1 or more"),
    ("patience", lambda value: value >= 0, "0, or how many measures to wait for a better one"),
    ("most_cost", _weight, "a difference of nDCG@10 from 0, such as 0.005"),
]


def _table(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(
            f"'{file}' cannot be read: {error.strerror}; expected a recipe, a TOML file"
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(
            f"'{file}' cannot be read as a recipe: {error}; expected TOML like `epochs = 2`"
        ) from error


def _typed(name: str, value: object, source: str) -> object:
    """`value` as the type of the field `name`; a single text or number may stand for a list."""
    hint = get_type_hints(Recipe)[name]
    if get_origin(hint) is tuple:
        kind = get_args(hint)[0]
        given = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        return tuple(_single(name, one, kind, source) for one in given)
    kind = next(part for part in (get_args(hint) or (hint,)) if part is not type(None))
    return _single(name, value, kind, source)


def _single(name: str, value: object, kind: type, source: str) -> object:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, kind) and not isinstance(value, bool):
        return value
    words = {str: "a text", int: "a whole number", float: "a number"}
    raise InvalidInput(
        f"{key_of(name)}={value!r} in {source} is no {words[kind].partition(' ')[2]}; expected "
        f"{words[kind]}; correct it there"
    )


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    # a TOML text has JSON's quotes and escapes; DEL alone must be escaped there and not in JSON
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
