"""LangChain's own standard suites over our retriever, vector store and embeddings, unmodified."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("langchain_tests", reason="could not import langchain_tests")

from langchain_tests.integration_tests import (
    EmbeddingsIntegrationTests,
    RetrieversIntegrationTests,
    VectorStoreIntegrationTests,
)
from langchain_tests.unit_tests import EmbeddingsUnitTests

from hosts.conformance import TEXTS
from secondpass.engine.cross_encoder import CrossEncoder
from secondpass.integrations.langchain import (
    SecondpassEmbeddings,
    SecondpassRetriever,
    SecondpassVectorStore,
)
from secondpass.library import Index
from secondpass.pipeline import Pipeline
from secondpass.types import Passage


@pytest.fixture(scope="module", autouse=True)
def loop():
    """A loop of our own: older suites ask for the current one."""
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    with Index.open(tmp_path_factory.mktemp("index") / "my.index") as index:
        index.add(Passage(f"p{at}", text, f"p{at}") for at, text in enumerate(TEXTS))
        yield index


class TestRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def pipeline(self, index, tiny):
        self.made = Pipeline(index.retriever(first_stage="dense"), CrossEncoder.load(tiny))

    @property
    def retriever_constructor(self):
        return SecondpassRetriever

    @property
    def retriever_constructor_params(self):
        return {"pipeline": self.made}

    @property
    def retriever_query_example(self):
        return "what is a panda?"


class TestVectorStoreOnDisk(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path):
        store = SecondpassVectorStore.open(tmp_path / "my.index", self.get_embeddings())
        yield store
        store.index.close()


class TestVectorStoreInMemory(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self):
        return SecondpassVectorStore.from_texts([], self.get_embeddings())


class TestVectorStoreByVectorsAlone(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path):
        embeddings = self.get_embeddings()
        store = SecondpassVectorStore.open(tmp_path / "i", embeddings, first_stage="dense")
        yield store
        store.index.close()


class TestVectorStoreWithTheBundledEncoder(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path):
        store = SecondpassVectorStore.open(tmp_path / "my.index")
        yield store
        store.index.close()


class TestEmbeddingsOverall(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self):
        return SecondpassEmbeddings


class TestEmbeddingsAlone(EmbeddingsUnitTests):
    @property
    def embeddings_class(self):
        return SecondpassEmbeddings
