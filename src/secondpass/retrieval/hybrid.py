"""The hybrid first stage: several legs asked at once, and their answers fused into one."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from secondpass.errors import InvalidInput
from secondpass.protocols import Retriever
from secondpass.retrieval.fusion import Fusion, fuse
from secondpass.retrieval.lexical import check_query
from secondpass.types import Candidate

# What a leg finds further down hardly changes the fused order above.
LEG_DEPTH = 100


class HybridRetriever:
    """Fuses what its legs find. Each candidate keeps its rank and score in each leg.

    A leg is asked for `leg_depth` candidates, or for more where more are wanted: up to that depth a
    smaller one gives a prefix of a larger one. Legs are asked at once, or one after another where
    they are not `concurrent`.
    """

    def __init__(
        self,
        legs: Mapping[str, Retriever],
        fusion: Fusion,
        *,
        leg_depth: int = LEG_DEPTH,
        concurrent: bool = True,
    ) -> None:
        if not legs or leg_depth < 1:
            raise InvalidInput(
                f"{len(legs)} legs and leg_depth={leg_depth}; expected at least 1 of each; pass "
                "retrievers by name, and 100, say"
            )
        fusion.check_legs(list(legs))
        self._legs = dict(legs)
        self._fusion = fusion
        self._leg_depth = leg_depth
        self._concurrent = concurrent

    def retrieve(self, query: str, depth: int) -> list[Candidate]:
        """At most `depth` candidates, best fused score first.

        Ties go to the better rank in any leg, then to the first leg. A blank query, or a depth
        below 1, is InvalidInput; the error of a leg is the error of the call.
        """
        check_query(query, depth)
        wanted = max(depth, self._leg_depth)
        first, *others = self._legs
        if not self._concurrent:
            each = {leg: retriever.retrieve(query, wanted) for leg, retriever in self._legs.items()}
            return fuse(each, self._fusion)[:depth]
        with ThreadPoolExecutor(max_workers=max(1, len(others))) as pool:
            running = {leg: pool.submit(self._legs[leg].retrieve, query, wanted) for leg in others}
            found = {first: self._legs[first].retrieve(query, wanted)}
            found |= {leg: future.result() for leg, future in running.items()}
        return fuse(found, self._fusion)[:depth]
