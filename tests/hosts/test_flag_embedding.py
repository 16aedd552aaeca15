"""The guest in place of FlagEmbedding's FlagReranker, and against it where it is installed."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from hosts.conformance import GUEST_CHECKS, QUERY, TEXTS, Guest
from secondpass.engine import Compute, CrossEncoder
from secondpass.errors import InvalidInput
from secondpass.integrations.flag_embedding import FlagReranker

PAIRS = [(QUERY, text) for text in TEXTS]


def ranked(scores: list[float]) -> list[tuple[int, float]]:
    """What a program of FlagEmbedding does with its scores."""
    return sorted(enumerate(scores), key=lambda line: -line[1])


@pytest.mark.parametrize("check", GUEST_CHECKS)
@pytest.mark.parametrize("normalize", [False, True])
def test_the_guest_keeps(check, normalize, model):
    guest = FlagReranker(model, normalize=normalize)

    def rerank(query, texts):
        return ranked(guest.compute_score([(query, text) for text in texts]))

    check(Guest(rerank, lambda line: line.probability if normalize else line.score), model)


@pytest.fixture(scope="module")
def exact(tiny) -> FlagReranker:
    return FlagReranker(CrossEncoder.load(tiny, compute=Compute("fp32")))


def test_one_pair_gives_a_list_too(exact):
    (score,) = exact.compute_score(list(PAIRS[0]))

    assert exact.compute_score([PAIRS[0]]) == [score]
    assert type(score) is float
    assert exact.compute_score([]) == []


@pytest.fixture(scope="module")
def theirs(tiny):
    host = pytest.importorskip("FlagEmbedding")
    return host.FlagReranker(str(tiny), devices="cpu", max_length=64)


@pytest.mark.parametrize("options", [{}, {"normalize": True}, {"batch_size": 2}], ids=str)
def test_scores_are_those_of_the_host(theirs, exact, options):
    found, wanted = (one.compute_score(PAIRS, **options) for one in (exact, theirs))

    np.testing.assert_allclose(found, wanted, atol=2e-5)
    one = [each.compute_score(PAIRS[1], **options) for each in (exact, theirs)]
    np.testing.assert_allclose(*one, atol=2e-5)


def test_instructions_stand_where_the_host_puts_them(theirs, tiny, exact):
    said = {
        "query_instruction_for_rerank": "find: ",
        "query_instruction_format": "{}{}",
        "passage_instruction_for_rerank": "text",
        "passage_instruction_format": "{}: {}",
    }
    host = type(theirs)(str(tiny), devices="cpu", max_length=64, **said)
    guest = FlagReranker(exact.model, **said)

    found, wanted = (one.compute_score(PAIRS) for one in (guest, host))

    np.testing.assert_allclose(found, wanted, atol=2e-5)
    assert not np.allclose(found, exact.compute_score(PAIRS))


def test_the_names_of_arguments_are_those_of_the_host(theirs):
    def names(call) -> list[str]:
        return [name for name in inspect.signature(call).parameters if name != "kwargs"]

    assert names(FlagReranker.__init__) == names(type(theirs).__init__)


def test_instructions_go_before_their_side(exact, model):
    guest = FlagReranker(
        exact.model,
        query_instruction_for_rerank="find",
        query_instruction_format="{}: {}",
        passage_instruction_for_rerank="text ",
    )

    assert guest.compute_score([("a", "b")]) == exact.compute_score([("find: a", "text b")])


def test_a_query_is_never_cut_silently(exact):
    with pytest.raises(InvalidInput, match=r"has \d+ tokens, query_max_length is 2; shorten it"):
        exact.compute_score(PAIRS, query_max_length=2)
    assert exact.compute_score(PAIRS, query_max_length=40) == exact.compute_score(PAIRS)


def test_a_smaller_max_length_reads_in_smaller_windows(exact):
    long = [(QUERY, "the office opens at nine. " * 20 + TEXTS[1])]

    assert exact.compute_score(long, max_length=32) != exact.compute_score(long, max_length=64)
    assert exact.compute_score(long, max_length=4096) == exact.compute_score(long)


def test_what_it_cannot_do_is_an_error_that_says_so(model, caplog):
    with pytest.raises(InvalidInput, match="the device is 'cuda:0'; expected 'cpu' or None"):
        FlagReranker(model, devices=["cuda:0"])
    with pytest.raises(InvalidInput, match="is no pair"):
        FlagReranker(model).compute_score([("a", "b", "c")])
    FlagReranker(model, trust_remote_code=True, use_fp16=True, devices="cpu")
    assert "no code of a checkpoint is ever run" in caplog.text
