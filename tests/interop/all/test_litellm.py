"""LiteLLM against the simulator: its requests have no Content-Type, and are answered as Voyage answers them."""

import json
import math
import os
from http.client import HTTPConnection

import pytest

import deployment
import processes

TEXTS = ["a loaf of bread", "the last train", "a loaf of bread and butter"]


@pytest.fixture(scope="module")
def litellm():
    # Its price list ships with the package, and an update is not needed here.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    return __import__("litellm")


@pytest.fixture
def voyage():
    simulator = processes.simulate("--api-key", "pa-litellm")
    yield simulator
    simulator.kill()


def embed(litellm, voyage, **options):
    return litellm.embedding(
        model="voyage/voyage-4",
        api_base=deployment.base_url(voyage),
        api_key="pa-litellm",
        **options,
    )


def vectors(reply):
    return [each["embedding"] for each in reply.data]


def plain(voyage, text):
    """The vector of a text as a client without a library gets it."""
    connection = HTTPConnection(voyage.addresses["simulator"], timeout=processes.PATIENCE)
    body = json.dumps({"model": "voyage-4", "input": text})
    headers = {"Authorization": "Bearer pa-litellm", "Content-Type": "application/json"}
    connection.request("POST", "/v1/embeddings", body, headers)
    [item] = json.load(connection.getresponse())["data"]
    connection.close()
    return item["embedding"]


def test_every_text_gets_its_own_vector(litellm, voyage):
    reply = embed(litellm, voyage, input=TEXTS)
    assert [each["index"] for each in reply.data] == [0, 1, 2]
    assert vectors(reply) == [plain(voyage, text) for text in TEXTS]
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
