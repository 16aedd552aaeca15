"""Further queries that a person wrote."""

from __future__ import annotations

from collections.abc import Iterable

from secondpass.errors import InvalidInput
from secondpass.types import Expansion


class GivenQueries:
    """The same further queries for whatever is asked. InvalidInput for a blank one, or for none."""

    def __init__(self, queries: Iterable[str]) -> None:
        if isinstance(queries, str):
            raise InvalidInput(f"queries='{queries:.80}' is a single str; pass ['{queries:.80}']")
        self.queries = tuple(queries)
        if not self.queries:
            raise InvalidInput(
                "no further queries; expected one or more; give some, or no expander"
            )
        for query in self.queries:
            if not isinstance(query, str) or not query.strip():
                raise InvalidInput(
                    f"a further query is {query!r:.80}; expected words; leave it out"
                )

    def expand(self, query: str) -> Expansion:
        """The given queries."""
        return Expansion(self.queries, "given")
