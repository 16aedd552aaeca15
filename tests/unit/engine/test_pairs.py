"""Pairs put together from ids equal the tokenizer's own pair encoding, whatever its template."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, processors

from checkpoints import build_tokenizer
from secondpass.engine.locate import BUNDLED
from secondpass.engine.pairs import PairTemplate, PairTokenizer, check_texts
from secondpass.errors import InvalidInput, ModelError

TOKENIZERS = {family: build_tokenizer(family) for family in ("bert", "roberta", "xlm-roberta")}
TOKENIZERS |= {
    path.parent.name: Tokenizer.from_file(str(path)) for path in BUNDLED.glob("*/tokenizer.json")
}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    ["", " ", "what is a panda?", "大熊猫是中国特有的", "  two  blanks ", "e\u0301", "👩‍👧", "a\nb"]
)


@pytest.mark.parametrize("family", TOKENIZERS)
@given(query=TEXT, text=TEXT)
def test_a_joined_pair_equals_the_encoded_pair(family, query, text):
    tokenizer = PairTokenizer(TOKENIZERS[family])
    expected = TOKENIZERS[family].encode(query, text)

    query_side, text_side = tokenizer.encode([query, text])
    row = tokenizer.template.join(query_side.ids, text_side.ids, token_types=2)

    assert row.ids.tolist() == expected.ids
    assert row.types.tolist() == expected.type_ids
    assert row.ids.dtype == row.types.dtype == np.int32


@pytest.mark.parametrize("family", TOKENIZERS)
def test_a_model_without_token_types_gets_zeros(family):
    tokenizer = PairTokenizer(TOKENIZERS[family])
    query, text = tokenizer.encode(["a b", "c d e"])

    row = tokenizer.template.join(query.ids, text.ids, token_types=1)

    assert row.types.tolist() == [0] * len(row.ids)


def test_spans_are_characters_of_the_text_as_given():
    text = "大熊猫 is  a　bear"
    (tokens,) = PairTokenizer(TOKENIZERS["xlm-roberta"]).encode([text])

    assert len(tokens.ids) == len(tokens.spans)
    covered = {at for start, end in tokens.spans for at in range(start, end)}
    assert {at for at, character in enumerate(text) if not character.isspace()} <= covered
    assert max(covered) == len(text) - 1


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["fine", None], "text 1 is a NoneType"),
        (["fine", b"bytes"], "text 1 is a bytes"),
        (["a\ud800"], "text 0 holds half of a surrogate pair at character 1"),
    ],
)
def test_what_is_no_text_is_named(texts, message):
    with pytest.raises(InvalidInput, match=message):
        check_texts(texts)


def test_many_texts_are_encoded_like_few():
    tokenizer = PairTokenizer(TOKENIZERS["bert"])
    texts = [f"panda {number}" for number in range(1200)]

    encoded = tokenizer.encode(texts)

    assert len(encoded) == len(texts)
    for at in (0, 511, 512, 1199):
        assert encoded[at].ids.tolist() == tokenizer.encode([texts[at]])[0].ids.tolist()


def test_a_tokenizer_without_a_pair_template_is_refused():
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "x": 1}, unk_token="[UNK]"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A", pair="$B:1 $A", special_tokens=[]
    )

    with pytest.raises(ModelError, match=r"does not fit a cross-encoder"):
        PairTemplate.read(tokenizer)


def test_a_missing_or_foreign_tokenizer_is_named(tmp_path: Path):
    with pytest.raises(ModelError, match=r"no tokenizer\.json"):
        PairTokenizer.load(tmp_path, vocabulary=10)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="no readable tokenizer"):
        PairTokenizer.load(tmp_path, vocabulary=10)
    TOKENIZERS["bert"].save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ModelError, match="do not belong together"):
        PairTokenizer.load(tmp_path, vocabulary=10)
