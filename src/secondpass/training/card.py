"""What should a person know of a model before using it? Its README.md, in the form that the hub reads.

Data with sizes and digests, how it was trained, what was measured on held-out queries, licences.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from secondpass.training.checkpoints import Checkpoint
from secondpass.training.delivery import SMALL, Quality
from secondpass.training.lists import TrainingList
from secondpass.training.progress import spoken
from secondpass.training.recipe import Recipe
from secondpass.training.start import Start

MOST_ERROR = 0.05  # of sigmoid(score): beyond it the card warns
HAN, KANA = re.compile("[\u4e00-\u9fff]"), re.compile("[\u3040-\u30ff]")
TAGS = ("cross-encoder", "reranker", "secondpass")


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of lists that a model was trained on."""

    name: str
    lists: int
    texts: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Measures:
    """nDCG@10 on the validation lists; None where there was nothing to measure.

    `scores` is the order by the scores in the lists, those of a teacher or of the first stage.
    """

    lists: int
    scores: float | None
    start: float | None
    quality: Quality


@dataclass(frozen=True, slots=True, eq=False)
class Provenance:
    """Everything that the card tells, but the recipe."""

    name: str
    start: Start
    files: Sequence[DataFile]
    lists: Sequence[TrainingList]
    checkpoint: Checkpoint
    max_tokens: int
    machine: str
    measures: Measures


def write_card(made: Provenance, recipe: Recipe) -> str:
    """The card's text, front matter first."""
    sections = [
        _front_matter(made, recipe),
        f"# {made.name}\n",
        _summary(made),
        "## Use\n",
        _use(made),
        "## How good it is\n",
        *_measures(made),
        "## What it was trained on\n",
        *_data(made),
        "## How it was trained\n",
        *_training(made, recipe),
        "## Licence\n",
        _licences(made, recipe),
        "## Recipe\n",
        f"```toml\n{recipe.to_toml()}```\n",
    ]
    return "\n".join(sections)


USE = """\
```python
from secondpass import CrossEncoder

model = CrossEncoder.load("{name}")  # "{name}/{small}": a quarter of the space
for ranked in model.rerank("a question", ["a text", "another text"]):
    print(ranked.index, ranked.probability)
```

{others}
"""
OTHERS = 'It loads in sentence-transformers too: `CrossEncoder("{name}")`.'
ONLY_OURS = (
    "It is a late join, which reads query and text apart in its lower layers: transformers and "
    "sentence-transformers do not know that kind of model."
)


def _use(made: Provenance) -> str:
    others = ONLY_OURS if made.start.spec.join_layer else OTHERS.format(name=made.name)
    return USE.format(name=made.name, small=SMALL, others=others)


def _front_matter(made: Provenance, recipe: Recipe) -> str:
    lines: list[str] = []
    if recipe.licence:
        lines.append(f"license: {_text(recipe.licence)}")
    if recipe.language:
        lines += ["language:", *(f"- {_text(one)}" for one in recipe.language)]
    if made.start.hub_name:
        lines.append(f"base_model: {_text(made.start.hub_name)}")
    library = "secondpass" if made.start.spec.join_layer else "sentence-transformers"
    lines += [f"library_name: {library}", "pipeline_tag: text-ranking", "tags:"]
    lines += [f"- {tag}" for tag in TAGS]
    lines += ["model-index:", f"- name: {_text(made.name)}", "  results:"]
    lines += ["  - task:", "      type: text-ranking", "      name: Reranking", "    dataset:"]
    lines += ["      type: held-out", "      name: Held-out training queries", "    metrics:"]
    quality = made.measures.quality
    for name, value in (("float32", quality.fp32), ("int8", quality.int8)):
        lines += [
            "    - type: ndcg_at_10",
            f"      value: {value:.4f}",
            f"      name: nDCG@10 ({name})",
        ]
    return "\n".join(["---", *lines, "---", ""])


def _summary(made: Provenance) -> str:
    spec = made.start.spec
    begun = (
        f"It began as the encoder `{made.start.name}` with a fresh ranking head"
        if made.start.fresh_head
        else f"It began as `{made.start.name}`"
    )
    fewer = (
        f", with {len(made.start.layers)} of its {made.start.of_layers} layers"
        if len(made.start.layers) < made.start.of_layers
        else ""
    )
    return (
        "A cross-encoder: it reads a query and a text together and returns one logit, higher for a "
        f"better answer, whose sigmoid is a probability. {begun}{fewer}.\n\n"
        f"{spec.family}, {spec.layers} layers of {spec.hidden}, {spec.heads} heads; reads up to "
        f"{made.max_tokens} tokens at once, and longer texts by windows.\n"
    )


def _measures(made: Provenance) -> Iterator[str]:
    measures, line = made.measures, made.measures.quality.calibrated
    yield (
        f"nDCG@10 on {measures.lists} held-out lists, queries that were not trained on. The best "
        "checkpoint was chosen by them, so that new data will do a little worse.\n"
    )
    rows = [
        ("order of the lists' own scores", measures.scores),
        (f"{made.start.name}, before training", measures.start),
        ("this model, float32", measures.quality.fp32),
        ("this model, int8", measures.quality.int8),
    ]
    yield _table(("order by", "nDCG@10"), ((n, f"{v:.4f}") for n, v in rows if v is not None))
    yield (
        f"int8 costs {measures.quality.cost:.4f}, give or take {measures.quality.doubt:.4f} (the "
        "standard error over these lists).\n"
    )
    warning = (
        f" That is more than {MOST_ERROR:g}: do not trust the probabilities."
        if line.error_after > MOST_ERROR
        else ""
    )
    yield (
        f"Calibration: the logit is {line.a:.4g} times the trained one {line.b:+.4g}, fitted on every "
        "second held-out list. On the others the expected calibration error of sigmoid(score) is "
        f"{line.error_after:.4f}, without the line {line.error_before:.4f}.{warning} It holds for "
        f"candidates like those of the lists, {_share_right(made.lists)} of which are right.\n"
    )


def _data(made: Provenance) -> Iterator[str]:
    rows = ((one.name, str(one.lists), str(one.texts), one.sha256) for one in made.files)
    yield _table(("file", "lists", "texts", "SHA-256"), rows)
    chinese = sum(bool(HAN.search(one.query)) and not KANA.search(one.query) for one in made.lists)
    yield f"{chinese / max(1, len(made.lists)):.0%} of the queries are written in Chinese characters.\n"


def _training(made: Provenance, recipe: Recipe) -> Iterator[str]:
    point = made.checkpoint
    told = any(one.scores for one in made.lists)
    teacher = ", ".join(recipe.teacher) or "the scores in the lists"
    yield _table(
        ("", ""),
        [
            ("steps", f"{point.step} of {point.steps}, the best after {point.best_step}"),
            ("a step", f"up to {recipe.batch_tokens} tokens"),
            ("ranking loss", recipe.loss),
            ("pointwise loss", f"weight {recipe.pointwise:g}"),
            ("teacher", f"{teacher}, weight {recipe.teacher_weight:g}" if told else "none"),
            ("learning rate", f"{recipe.rate(join_layer=made.start.spec.join_layer):g}"),
            ("time", spoken(point.seconds)),
            ("machine", made.machine),
        ],
    )
    yield _table(
        ("step", "loss", "nDCG@10"),
        (
            (str(one.step), "" if one.loss is None else f"{one.loss:.4f}", f"{one.ndcg:.4f}")
            for one in point.history
        ),
    )


def _licences(made: Provenance, recipe: Recipe) -> str:
    own = (
        f"This model: {recipe.licence}."
        if recipe.licence
        else "No licence was stated for this model: settle it before you pass the model on."
    )
    start = (
        f"`{made.start.name}`, which it began as: {made.start.licence}."
        if made.start.licence
        else f"`{made.start.name}`, which it began as, states no licence in the head of its card."
    )
    return f"{own} {start} The data above has licences of its own.\n"


def _share_right(lists: Sequence[TrainingList]) -> str:
    labels = [label for one in lists for label in one.labels]
    return f"{sum(labels) / len(labels):.0%}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(one.replace('|', '/') for one in line)} |\n" for line in lines)


def _text(value: str) -> str:
    """A text as YAML reads it back, whatever is in it: JSON's texts are YAML's too."""
    return json.dumps(value, ensure_ascii=False)
