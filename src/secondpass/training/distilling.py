"""What would a stronger model say? Lists with the scores of a teacher, or of a mixture of several.

lists -> each teacher's logits -> one: as they are; several: z-scores within the list, weighed, added

Scores are kept as they come, so that a run that was killed goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import InvalidInput
from secondpass.training.lists import TrainingList, write_lists
from secondpass.training.progress import Watch
from secondpass.training.scoring import Logits, Score, load_score, parts, score_readable

ENDINGS = (".jsonl", ".jsonl.gz")
DIGITS = 5  # of a score: float32 logits have no more that mean anything
Scores = tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class Mixture:
    """Teachers by their names, and how much each counts; the shares are all the same where ()."""

    teachers: tuple[str, ...]
    shares: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.teachers:
            raise InvalidInput(
                "no teacher is named; expected a cross-encoder: a bundled model, a folder or a hub "
                "name; pass --teacher NAME"
            )
        if self.shares and len(self.shares) != len(self.teachers):
            raise InvalidInput(
                f"{len(self.shares)} shares are given for {len(self.teachers)} teachers; expected "
                "one each; leave them out and all count the same"
            )
        if not all(np.isfinite(share) and share > 0 for share in self.shares):
            raise InvalidInput(
                f"shares={list(self.shares)}; expected numbers above 0; leave a teacher out that "
                "should not count"
            )

    def scores(self, logits: Sequence[Logits]) -> NDArray[np.float64]:
        """What the teachers say together of one list, from the logits of each."""
        if len(logits) == 1:
            return logits[0].astype(np.float64)
        shares = np.array(self.shares or [1.0] * len(self.teachers))
        return np.average([standard(one) for one in logits], axis=0, weights=shares)


@dataclass(frozen=True, slots=True)
class Distilled:
    """What a teacher was asked: lists and texts that it scored, lists that it could not read."""

    lists: int
    texts: int
    left_out: int


def standard(scores: Logits) -> NDArray[np.float64]:
    """The scores in standard deviations from their mean; zeros where all are equal."""
    centred = scores.astype(np.float64) - scores.mean(dtype=np.float64)
    spread = centred.std()
    return centred / spread if spread > 1e-9 else np.zeros_like(centred)


def check_out(out: Path) -> None:
    """Raise InvalidInput where lists cannot be written to `out`."""
    if not out.name.endswith(ENDINGS):
        raise InvalidInput(
            f"'{out}' ends in neither {' nor '.join(ENDINGS)}; expected the file that the scored lists "
            "go to; `secondpass train --data` it then makes a model"
        )
    if out.exists():
        raise InvalidInput(f"'{out}' exists; expected the name of a new file; choose another")


def distil(
    lists: Sequence[TrainingList],
    out: Path,
    mixture: Mixture,
    *,
    offline: bool = False,
    watch: Watch | None = None,
) -> Distilled:
    """Write the lists with the teachers' scores to `out`; a run that was killed goes on.

    What was scored so far is in `OUT.part`, with the names of the teachers and a digest of the
    lists: InvalidInput where these are others. Lists whose query fills a teacher are left out.
    """
    check_out(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    watch = watch or Watch()
    part = out.with_name(f"{out.name}.part")
    known = _known(part, mixture, lists)
    if known:
        watch.say(f"{len(known)} of {len(lists)} lists are scored already, in '{part}'")
    if len(known) < len(lists):
        asked = [load_score(name, offline=offline) for name in mixture.teachers]
        with part.open("a", encoding="utf-8") as file:
            _score_rest(lists, known, file, (mixture, asked), watch)
    scored = [
        replace(one, scores=scores)
        for one, scores in zip(lists, known, strict=True)
        if scores is not None
    ]
    if not scored:
        raise InvalidInput(
            f"none of {len(lists)} lists has a query that leaves the teacher room for a text; "
            "expected shorter queries; choose a teacher that reads more"
        )
    write_lists(out, scored)
    part.unlink()
    texts = sum(len(one.texts) for one in scored)
    return Distilled(len(scored), texts, len(lists) - len(scored))


def _score_rest(
    lists: Sequence[TrainingList],
    known: list[Scores],
    file: TextIO,
    by: tuple[Mixture, Sequence[Score]],
    watch: Watch,
) -> None:
    mixture, teachers = by
    for some in parts(lists[len(known) :]):
        asked = [score_readable(score, some) for score in teachers]
        for logits in zip(*asked, strict=True):
            read = [one for one in logits if one is not None]
            found = mixture.scores(read) if len(read) == len(logits) else None
            known.append(None if found is None else tuple(round(float(x), DIGITS) for x in found))
            file.write(json.dumps(known[-1]) + "\n")
        file.flush()
        watch.at("scoring", len(known), len(lists))


def _known(part: Path, mixture: Mixture, lists: Sequence[TrainingList]) -> list[Scores]:
    """The scores in the file of a run that was killed, less a line that was cut short; makes it."""
    asked = {"teachers": mixture.teachers, "shares": mixture.shares, "lists": digest(lists)}
    header = json.dumps(asked)
    lines = part.read_text(encoding="utf-8").split("\n")[:-1] if part.is_file() else []
    if len(lines) > 1 and lines[0] != header:
        raise InvalidInput(
            f"'{part}' has the scores of another run ({lines[0]:.200}); expected those of this one; "
            "remove it to begin anew"
        )
    whole = lines if lines and lines[0] == header else [header]
    part.write_text("".join(f"{line}\n" for line in whole), encoding="utf-8")
    return [None if found is None else tuple(found) for found in map(json.loads, whole[1:])]


def digest(lists: Sequence[TrainingList]) -> str:
    """The SHA-256 of the lists' queries, texts and labels, in their order."""
    total = hashlib.sha256()
    for one in lists:
        total.update(json.dumps([one.query, one.texts, one.labels]).encode())
    return total.hexdigest()
