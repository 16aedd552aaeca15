"""The mean of token vectors, against sentence-transformers, by hand, and by both ways of cutting."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from bi_encoders import TEXTS, write_json
from secondpass.engine.encoders import StaticEncoder
from secondpass.engine.encoders.segment import LibrarySegmenter, UnigramSegmenter, segmenter
from secondpass.engine.encoders.static_files import TokenVectors
from secondpass.engine.encoders.sums import NumpySums, summing
from secondpass.engine.locate import locate
from secondpass.errors import InvalidInput, ModelError
from secondpass.testing import check_encoder

DIMENSION = 8
NATIVE = "needs the native extension: built without a C++ compiler"


@pytest.fixture
def folder(checkpoint, tmp_path):
    """A static encoder in model2vec's form with the WordPiece tokenizer of the tiny model."""
    target = tmp_path / "static"
    target.mkdir()
    shutil.copy(checkpoint("bert") / "tokenizer.json", target)
    tokens = Tokenizer.from_file(str(target / "tokenizer.json")).get_vocab_size()
    vectors = np.random.default_rng(3).standard_normal((tokens, DIMENSION)).astype(np.float32)
    save_file({"embeddings": vectors}, target / "model.safetensors")
    write_json(target / "config.json", {"model_type": "model2vec", "normalize": True})
    return target


def rewrite(folder, **tensors):
    save_file({**load_file(folder / "model.safetensors"), **tensors}, folder / "model.safetensors")


@pytest.mark.parametrize("name", ["folder", "static"])
def test_a_static_encoder_keeps_the_contract(name, request):
    check_encoder(StaticEncoder.load(request.getfixturevalue(name) if name == "folder" else name))


def test_a_vector_is_the_normalised_mean_without_unknown_tokens(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    table = load_file(folder / "model.safetensors")["embeddings"]
    ids = tokenizer.encode("giant panda \u0e01", add_special_tokens=False).ids
    unknown = tokenizer.token_to_id("[UNK]")
    assert unknown in ids
    mean = table[[one for one in ids if one != unknown]].mean(axis=0)

    (vector,) = StaticEncoder.load(folder).encode_passages(["giant panda \u0e01"])

    np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-6)
    write_json(folder / "config.json", {"model_type": "model2vec", "normalize": False})
    (plain,) = StaticEncoder.load(folder).encode_queries(["giant panda \u0e01"])
    np.testing.assert_allclose(plain, mean, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_weights_mapping_and_narrow_types_are_read(dtype, folder):
    rng = np.random.default_rng(4)
    tokens = len(load_file(folder / "model.safetensors")["embeddings"])
    rows = (rng.standard_normal((7, DIMENSION)) * 40).astype(dtype)
    mapping = rng.integers(0, 7, tokens)
    weights = rng.random(tokens).astype(np.float32)
    expanded = rows[mapping].astype(np.float32) * weights[:, None]
    rewrite(folder, embeddings=expanded)
    texts = [text for text in TEXTS if text]
    expected = StaticEncoder.load(folder).encode_passages(texts)
    rewrite(folder, embeddings=rows, weights=weights, mapping=mapping)

    np.testing.assert_allclose(
        StaticEncoder.load(folder).encode_passages(texts), expected, atol=1e-6
    )


@pytest.mark.parametrize("normalised", [True, False])
def test_a_model_of_sentence_transformers_gives_the_same_vectors(normalised, folder, tmp_path):
    library = pytest.importorskip("sentence_transformers", reason="needs sentence-transformers")
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    table = load_file(folder / "model.safetensors")["embeddings"]
    modules = [StaticEmbedding(tokenizer, embedding_weights=table)]
    model = library.SentenceTransformer(modules=modules + [Normalize()] * normalised, device="cpu")
    model.save_pretrained(str(tmp_path / "theirs"))
    texts = [text for text in TEXTS if text]

    encoder = StaticEncoder.load(tmp_path / "theirs")

    assert encoder.dimension == DIMENSION
    np.testing.assert_allclose(encoder.encode_queries(texts), model.encode(texts), atol=1e-6)


def test_a_text_without_known_tokens_gets_a_vector_near_to_nothing_and_is_told(folder, caplog):
    encoder = StaticEncoder.load(folder)

    with caplog.at_level("WARNING"):
        vectors = encoder.encode_passages(["panda", "", "\u0e01"])

    assert "2 of 3 texts have no token that the encoder knows, text 1 first" in caplog.text
    np.testing.assert_array_equal(vectors[1], vectors[2])
    assert sorted(vectors[1]) == [0] * (DIMENSION - 1) + [1]
    bundled = StaticEncoder.load("static").encode_passages(["", *TEXTS[:2]])
    assert abs(bundled[1:] @ bundled[0]).max() < 0.2


def test_the_fingerprint_changes_with_vectors_tokenizer_and_normalising(folder):
    marks = [StaticEncoder.load(folder).fingerprint]
    assert StaticEncoder.load(folder).fingerprint == marks[0]
    write_json(folder / "config.json", {"model_type": "model2vec"})
    marks.append(StaticEncoder.load(folder).fingerprint)
    rewrite(folder, weights=np.ones(len(load_file(folder / "model.safetensors")["embeddings"])))
    marks.append(StaticEncoder.load(folder).fingerprint)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    write_json(folder / "tokenizer.json", tokenizer | {"pre_tokenizer": {"type": "Whitespace"}})
    marks.append(StaticEncoder.load(folder).fingerprint)

    assert len(set(marks)) == 4


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"other": np.ones((3, 2), np.float32)}, "no tensor named embeddings or embedding.weight"),
        ({"embeddings": np.ones(3, np.float32)}, r"embeddings as float32\[3\]"),
        ({"embeddings": np.ones((3, 2), np.int64)}, "embeddings as int64"),
        ({"embeddings": np.ones((3, 2), np.float32)}, "embedding table 3 rows"),
        (
            {"embeddings": np.ones((3, 2), np.float32), "weights": np.ones(4, np.float32)},
            "one number a token",
        ),
        (
            {"embeddings": np.ones((3, 2), np.float32), "mapping": np.array([0, 3])},
            "the rows 0 to 3 of 3",
        ),
    ],
)
def test_files_that_do_not_fit_are_named(tensors, message, folder):
    save_file(tensors, folder / "model.safetensors")

    with pytest.raises(ModelError, match=message):
        StaticEncoder.load(folder)


def test_a_broken_file_and_a_tokenizer_of_no_model_are_named(folder):
    write_json(folder / "secondpass.json", {"tokenizer_of": "nobody"})
    with pytest.raises(ModelError, match=r"tokenizer of 'nobody'.*mini"):
        StaticEncoder.load(folder)
    (folder / "model.safetensors").write_bytes(b"none")
    with pytest.raises(ModelError, match="no readable safetensors"):
        StaticEncoder.load(folder)


def test_a_vector_that_is_not_finite_and_a_text_that_is_none_are_errors(folder):
    encoder = StaticEncoder.load(folder)
    with pytest.raises(InvalidInput, match="text 1 holds half of a surrogate pair"):
        encoder.encode_passages(["a", "\ud800"])


# The native cutter against the tokenizers library


@pytest.fixture(scope="module")
def both() -> tuple[UnigramSegmenter, LibrarySegmenter]:
    pytest.importorskip("secondpass._native", reason=NATIVE)
    tokenizer = Tokenizer.from_file(str(locate("mini") / "tokenizer.json"))
    native = segmenter(tokenizer, 3)
    assert isinstance(native, UnigramSegmenter)
    return native, LibrarySegmenter(tokenizer, 3)


def assert_same(both, texts):
    (ids, counts), (expected, expected_counts) = (one.ids(texts) for one in both)
    np.testing.assert_array_equal(counts, expected_counts)
    np.testing.assert_array_equal(ids, expected)


ODD = "aé\u0301\u4e2d\u6587，。～ \t\n\x00\x01\x7f\u200b\u2581\ufeff\ufffd\uff5eｓ＜＞<s>/ﬁ①㎏\u0e01👩\u200d👧\u1680Ǆ"


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(st.sampled_from(ODD), max_size=12), max_size=4))
def test_native_ids_are_those_of_the_library_for_odd_characters(both, texts):
    assert_same(both, texts)


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(max_codepoint=0x2FFFF, exclude_categories=["Cs", "Cn"]), max_size=30))
@example("\U00010795")  # Python's Unicode is newer than the library's
@example("\u32ff")
def test_native_ids_are_those_of_the_library_for_any_character(both, text):
    assert_same(both, [text])


def test_native_ids_are_those_of_the_library_for_real_texts(both):
    texts = [
        *TEXTS,
        "",
        " ",
        "<mask> a </s> b",
        "a<s>b",
        "＜s＞",
        "naïve ｆｕｌｌ　width",
        "a\u0301 e\x01\u0301",
    ]

    assert_same(both, texts)
    assert_same(both, texts[::-1])
    for text in texts:
        assert_same(both, [text])


@pytest.mark.parametrize("variant", ["bert", "roberta"])
def test_other_tokenizers_are_left_to_the_library(variant, checkpoint):
    tokenizer = Tokenizer.from_file(str(checkpoint(variant) / "tokenizer.json"))

    assert isinstance(segmenter(tokenizer, 0), LibrarySegmenter)


@pytest.mark.parametrize(
    "change",
    [
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"normalizer": None},
        {"normalizer": {"type": "NFKC"}},
        {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Lowercase"}]}},
    ],
    ids=str,
)
def test_a_tokenizer_that_does_something_else_is_left_to_the_library(change):
    pytest.importorskip("secondpass._native", reason=NATIVE)
    facts = json.loads((locate("mini") / "tokenizer.json").read_text(encoding="utf-8"))

    changed = Tokenizer.from_str(json.dumps(facts | change))

    assert isinstance(segmenter(changed, 3), LibrarySegmenter)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3000) | st.integers(0, 3), max_size=6), st.integers(0, 9))
def test_sums_are_those_of_the_tokens_in_native_code_and_in_numpy(counts, seed):
    pytest.importorskip("secondpass._native", reason=NATIVE)
    rng = np.random.default_rng(seed)
    levels = rng.integers(-127, 128, (50, 12)).astype(np.int8)
    vectors = TokenVectors(levels, rng.random(50).astype(np.float32))
    ids = rng.integers(0, 50, sum(counts)).astype(np.int32)
    numbers = np.array(counts, dtype=np.int32)
    native, numpy = summing(vectors), NumpySums(vectors)
    assert not isinstance(native, NumpySums)
    begins = np.cumsum([0, *counts])
    exact = [
        vectors.widened()[ids[begin : begin + count]].sum(axis=0, dtype=np.float64)
        for begin, count in zip(begins, counts, strict=False)
    ]

    for sums in (native, numpy):
        found = sums(ids, numbers)
        assert (found.dtype, found.shape) == (np.float32, (len(counts), 12))
        np.testing.assert_allclose(found, np.reshape(exact, (-1, 12)), rtol=1e-4, atol=0.5)


def test_native_sums_refuse_what_does_not_fit():
    kernels = pytest.importorskip("secondpass._native", reason=NATIVE)
    levels, ones = np.ones((3, 2), np.int8), np.ones(3, np.float32)

    def sums(ids, counts, weights=ones):
        return kernels.sum_rows(
            np.array(ids, np.int32), np.array(counts, np.int32), levels, weights
        )

    for wrong in (([3], [1]), ([-1], [1]), ([0], [2]), ([0], [-1])):
        with pytest.raises(ValueError, match=r"row|counts"):
            sums(*wrong)
    with pytest.raises(ValueError, match=r"weight for each row"):
        sums([0], [1], ones[:2])
    with pytest.raises(ValueError, match="score for each piece"):
        kernels.Unigram(["a"], [], 0, bytes(128))


def test_small_letters_are_read_where_the_folder_says_so(folder):
    shutil.copy(locate("mini") / "tokenizer.json", folder)  # one that keeps capitals
    vectors = np.random.default_rng(3).standard_normal((40_000, DIMENSION)).astype(np.float32)
    save_file({"embeddings": vectors}, folder / "model.safetensors")
    texts = ["AWEL and ÉCOLE", "awel and école"]
    kept = StaticEncoder.load(folder)
    write_json(folder / "secondpass.json", {"lowercase": True})
    lowered = StaticEncoder.load(folder)

    assert not np.allclose(*kept.encode_queries(texts))
    np.testing.assert_array_equal(*lowered.encode_queries(texts))
    np.testing.assert_array_equal(
        lowered.encode_queries(texts[1:]), kept.encode_passages(texts[1:])
    )
    assert kept.fingerprint != lowered.fingerprint


def test_the_bundled_one_knows_no_capitals():
    encoder = StaticEncoder.load("static")

    np.testing.assert_array_equal(*encoder.encode_passages(["What is AWEL?", "what is awel?"]))
