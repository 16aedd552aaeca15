"""What holds of search by vectors for every history: it finds what comparing with all would."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondpass.retrieval.stores import matrix
from secondpass.retrieval.stores.memory import MemoryStore
from secondpass.retrieval.stores.sqlite import SqliteStore
from secondpass.types import EncoderRecord, IndexedDocument, Passage

RECORD = EncoderRecord("e", "f", 3)

# Few different numbers, so that many vectors are equal, opposite or equally near.
numbers = st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0])
vectors = st.tuples(numbers, numbers, numbers).filter(any)
names = st.sampled_from("abcdefgh")


@st.composite
def documents(draw):
    id, rows = draw(names), draw(st.lists(vectors, max_size=4))
    passages = tuple(
        Passage(f"{id}#{n}", "x", id, metadata={"n": draw(st.integers(0, 2))})
        for n in range(len(rows))
    )
    array = np.array(rows, dtype=np.float32).reshape(len(rows), 3)
    return IndexedDocument(id, draw(names), passages, array)


writes = st.tuples(st.just("upsert"), st.lists(documents(), max_size=4)) | st.tuples(
    st.just("delete"), st.lists(names, max_size=3)
)
questions = st.tuples(vectors, st.integers(1, 12), st.none() | st.integers(0, 2))


def cosines(passages, vector, n):
    """The definition: the cosine with each that passes."""
    query = np.array(vector) / np.linalg.norm(vector)
    return {
        id: float(np.dot(row, query) / np.linalg.norm(row))
        for id, (row, metadata) in passages.items()
        if n is None or metadata["n"] == n
    }


@given(st.lists(st.tuples(st.booleans(), writes, st.lists(questions, max_size=3)), max_size=7))
@settings(max_examples=80)
def test_every_store_finds_the_nearest(history):
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        # Blocks of three vectors, so that a history fills and empties several of them.
        stack.enter_context(pytest.MonkeyPatch.context()).setattr(matrix, "BLOCK_ROWS", 3)
        path = Path(folder) / "index.db"
        left, right = (stack.enter_context(closing(SqliteStore.open(path))) for _ in range(2))
        memory = MemoryStore()
        passages: dict[str, tuple[np.ndarray, dict]] = {}
        for store in (memory, left):
            store.record_encoder(RECORD)
        for by_left, (verb, arguments), asked in history:
            for store in (memory, left if by_left else right):
                getattr(store, verb)(arguments)
            for one in arguments:
                id = one if verb == "delete" else one.id
                for gone in [each for each in passages if each.startswith(f"{id}#")]:
                    del passages[gone]
                if verb == "upsert":
                    for passage, row in zip(one.passages, one.vectors, strict=True):
                        passages[passage.id] = (row.astype(np.float64), passage.metadata)
            for vector, depth, n in asked:
                where = None if n is None else {"n": n}
                query = np.array(vector, dtype=np.float32)
                found = memory.search_dense(query, depth, where)
                assert left.search_dense(query, depth, where) == found
                assert right.search_dense(query, depth, where) == found
                check(found, passages, vector, depth, n)


def check(found, passages, vector, depth, n):
    scores = cosines(passages, vector, n)
    assert len(found) == min(depth, len(scores))
    assert [scores[id] for id, _ in found] == pytest.approx([score for _, score in found], abs=1e-6)
    age = list(passages)
    assert found == sorted(found, key=lambda one: (-one[1], age.index(one[0])))
    left_out = [score for id, score in scores.items() if id not in dict(found)]
    assert not left_out or max(left_out) <= found[-1][1] + 1e-6


WRITER = """
import sys
import numpy as np
from secondpass.retrieval.stores.sqlite import SqliteStore
from secondpass.types import IndexedDocument, Passage
store = SqliteStore.open(sys.argv[1])
def document(at):
    row = np.array([[1, at / 100, 0]], dtype=np.float32)
    return IndexedDocument(str(at), "1", (Passage(f"{at}#0", "x", str(at)),), row)
for line in sys.stdin:
    verb, at = line.split()
    store.add([document(int(at))]) if verb == "add" else store.delete([at])
    print("done", flush=True)
store.close()
"""


def test_a_process_sees_what_another_writes(tmp_path):
    query = np.array([1, 0, 0], dtype=np.float32)
    with closing(SqliteStore.open(tmp_path / "index.db")) as store:
        store.record_encoder(RECORD)
        command = [sys.executable, "-c", WRITER, str(tmp_path / "index.db")]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as writer:
            there: list[int] = []
            for verb, at in [("add", 5), ("add", 2), ("delete", 5), ("add", 1), ("add", 9)]:
                writer.stdin.write(f"{verb} {at}\n")
                writer.stdin.flush()
                assert writer.stdout.readline() == "done\n"
                there = [*there, at] if verb == "add" else [one for one in there if one != at]
                found = [passage for passage, _ in store.search_dense(query, 10)]
                assert found == [f"{one}#0" for one in sorted(there)]
            writer.stdin.close()
            assert writer.wait() == 0
