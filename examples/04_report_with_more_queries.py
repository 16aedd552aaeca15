"""A report in Chroma, asked in several wordings; what they find together is ranked by the first.

python examples/04_report_with_more_queries.py report.pdf chroma/ "the question" "a rewording" ...
"""

from __future__ import annotations

import sys

from secondpass import CrossEncoder, Index, Pipeline, load, split
from secondpass.expansion import ExpandedRetriever, GivenQueries

LONG_TAIL = 10  # what each wording may contribute


def main(report: str, folder: str, query: str, *rewordings: str) -> None:
    with Index.open(folder, store="chroma") as index, CrossEncoder.load() as reranker:
        index.add(split(load([report])))
        expanded = ExpandedRetriever(
            index.retriever(), GivenQueries(rewordings), query_depth=LONG_TAIL
        )
        depth = LONG_TAIL * (1 + len(rewordings))

        answer = Pipeline(expanded, reranker, depth=depth).explain(query, top_k=5)
        print(f"{1 + len(rewordings)} queries found {answer.candidates} passages")
        for hit in answer.hits:
            asked = len(hit.first_stage.queries)
            print(f"{hit.rank}. p. {hit.passage.page}, {hit.probability:.2f}, found by {asked}:")
            print(f"   {' '.join(hit.text.split())[:100]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
