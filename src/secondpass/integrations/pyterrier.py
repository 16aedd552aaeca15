"""A guest in PyTerrier: a second stage for `>>`."""

from __future__ import annotations

from pathlib import Path

from secondpass.engine.cross_encoder import DEFAULT_MODEL, CrossEncoder
from secondpass.integrations.loading import host, load

with host("PyTerrier", "pyterrier"):
    import pandas as pd
    import pyterrier as pt


class SecondpassReranker(pt.Transformer):  # type: ignore[misc,unused-ignore]
    """Scores the text of each row against the row's query: `bm25 >> get_text >> SecondpassReranker()`.

    `score` becomes the model's logit. A missing text is scored as a blank one. `text_field` names
    the column of the text. Raises what `CrossEncoder.load` raises.
    """

    def __init__(
        self,
        model: str | Path | CrossEncoder = DEFAULT_MODEL,
        *,
        text_field: str = "text",
        max_tokens: int | None = None,
        revision: str | None = None,
        offline: bool = False,
    ) -> None:
        self.model = load(model, max_tokens=max_tokens, revision=revision, offline=offline)
        self.text_field = text_field

    def transform(self, inp: pd.DataFrame) -> pd.DataFrame:
        """A new frame with the rows of each query best first, ranks from 0; ties keep their order.

        Raises pt.validate's InputValidationError where a column is missing, and InvalidInput as
        `CrossEncoder.rerank` does.
        """
        pt.validate.result_frame(inp, extra_columns=["query", self.text_field])
        frame = inp.reset_index(drop=True)
        order: list[int] = []
        scores: list[float] = []
        for rows in frame.groupby("qid", sort=False).indices.values():
            values = frame[self.text_field].iloc[rows]
            texts = ["" if pd.isna(value) else value for value in values]
            for line in self.model.rerank(frame["query"].iloc[rows[0]], texts):
                order.append(int(rows[line.index]))
                scores.append(line.score)
        ranked = frame.iloc[order].reset_index(drop=True)
        ranked["score"] = pd.Series(scores, dtype="float64")
        ranked["rank"] = ranked.groupby("qid", sort=False).cumcount()
        return ranked

    def __repr__(self) -> str:
        return "SecondpassReranker()"
