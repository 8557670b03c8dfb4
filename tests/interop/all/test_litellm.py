"""LiteLLM against the simulator: its requests have no Content-Type, and are answered as Voyage answers them."""

import math
import os

import pytest

import deployment
import plain_http
import processes

TEXTS = ["a loaf of bread", "the last train", "a loaf of bread and butter"]


@pytest.fixture(scope="module")
def litellm():
    # Its price list ships with the package, and an update is not needed here.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    return __import__("litellm")


@pytest.fixture
def voyage():
    simulator = processes.simulate("--api-key", plain_http.KEY)
    yield simulator
    simulator.kill()


def embed(litellm, voyage, **options):
    return litellm.embedding(
        model="voyage/voyage-4",
        api_base=deployment.base_url(voyage),
        api_key=plain_http.KEY,
        **options,
    )


def vectors(reply):
    return [each["embedding"] for each in reply.data]


def test_every_text_gets_its_own_vector(litellm, voyage):
    reply = embed(litellm, voyage, input=TEXTS)
    assert [each["index"] for each in reply.data] == [0, 1, 2]
    plain = plain_http.post(voyage, "embeddings", input=TEXTS, model="voyage-4")
    assert vectors(reply) == plain_http.vectors(plain)
    for vector in vectors(reply):
        assert len(vector) == 1024
        assert math.hypot(*vector) == pytest.approx(1, abs=1e-4)
    assert reply.model == "voyage-4"
    assert reply.usage.total_tokens > len(TEXTS)


def test_dimensions_and_input_type_reach_voyage(litellm, voyage):
    query = embed(litellm, voyage, input=TEXTS[:1], dimensions=256, input_type="query")
    document = embed(litellm, voyage, input=TEXTS[:1], dimensions=256, input_type="document")
    assert [len(vector) for vector in vectors(query) + vectors(document)] == [256, 256]
    assert vectors(query) != vectors(document)


def test_a_wrong_key_is_an_authentication_error(litellm, voyage):
    with pytest.raises(litellm.AuthenticationError, match="Provided API key is invalid"):
        litellm.embedding(
            model="voyage/voyage-4",
            input=TEXTS,
            api_base=deployment.base_url(voyage),
            api_key="pa-other",
        )


def test_every_text_is_a_document_of_a_context_model(litellm, voyage):
    reply = litellm.embedding(
        model="voyage/voyage-context-4",
        input=TEXTS,
        api_base=deployment.base_url(voyage),
        api_key=plain_http.KEY,
    )
    plain = plain_http.post(
        voyage,
        "contextualizedembeddings",
        inputs=[[text] for text in TEXTS],
        model="voyage-context-4",
        input_type="document",
    )
    # LiteLLM returns Voyage's list of documents as it is.
    assert [plain_http.vectors(document) for document in reply.data] == [
        plain_http.vectors(document) for document in plain["data"]
    ]
    assert reply.usage.total_tokens == plain["usage"]["total_tokens"]


def test_reranking(litellm, voyage):
    reply = litellm.rerank(
        model="voyage/rerank-3",
        query="bread and butter",
        documents=TEXTS,
        top_n=2,
        api_base=deployment.base_url(voyage),
        api_key=plain_http.KEY,
    )
    plain = plain_http.post(voyage, "rerank", query="bread and butter", documents=TEXTS, model="rerank-3")
    assert [(each["index"], each["document"]["text"]) for each in reply.results] == [(2, TEXTS[2]), (0, TEXTS[0])]
    assert [each["relevance_score"] for each in reply.results] == [
        each["relevance_score"] for each in plain["data"][:2]
    ]
    assert reply.meta["billed_units"]["total_tokens"] == plain["usage"]["total_tokens"]
