"""Embed through grpcio: the reply and its forms."""

import struct

import grpc
import pytest
from google.protobuf import json_format
from voyage.gateway.v1 import common_pb2 as common
from voyage.gateway.v1 import embedding_service_pb2, model_service_pb2, model_service_pb2_grpc

from python_client import EMBED, PATIENCE, embed

FLOAT, INT8, UINT8, BINARY, UBINARY = range(1, 6)

# The dtype, its letter for `struct`, and how many elements 1024 dimensions have.
DTYPES = [(FLOAT, "f", 1024), (INT8, "b", 1024), (UINT8, "B", 1024), (BINARY, "b", 128), (UBINARY, "B", 128)]


def numbers(embedding, letter):
    """Decodes VECTOR_ENCODING_BYTES."""
    return [number for (number,) in struct.iter_unpack(f"<{letter}", embedding.data)]


@pytest.mark.parametrize("dtype, letter, length", DTYPES)
def test_values_and_bytes_are_the_same_vector(deployment, dtype, letter, length):
    texts = ["a text", "another one"]
    plain = embed(deployment.channel, *texts, output_dtype=dtype)
    packed = embed(
        deployment.channel, *texts, output_dtype=dtype, vector_encoding=common.VECTOR_ENCODING_BYTES
    )
    assert plain.dimension == packed.dimension == 1024
    assert plain.output_dtype == packed.output_dtype == dtype
    assert len(plain.embeddings) == len(packed.embeddings) == 2
    for readable, compact in zip(plain.embeddings, packed.embeddings):
        values = list(readable.values or readable.int_values)
        assert len(values) == length
        assert any(values)
        assert numbers(compact, letter) == values
        assert not readable.data and not compact.values and not compact.int_values
    assert plain.embeddings[0] != plain.embeddings[1]


def test_float_vectors_have_unit_length(deployment):
    [embedding] = embed(deployment.channel, "a vector of length one", output_dimension=256).embeddings
    assert len(embedding.values) == 256
    assert sum(number * number for number in embedding.values) == pytest.approx(1, abs=1e-4)


def test_each_vector_stands_at_its_texts_place(deployment):
    texts = [f"place {number}" for number in range(5)]
    alone = {text: embed(deployment.channel, text).embeddings[0].values for text in texts}
    # Known, new, repeated: in one request, and in another order.
    mixed = [texts[3], "a new one", texts[0], texts[3], texts[4]]
    reply = embed(deployment.channel, *mixed)
    assert [embedding.index for embedding in reply.embeddings] == [0, 1, 2, 3, 4]
    for text, embedding in zip(mixed, reply.embeddings):
        if text in alone:
            assert embedding.values == alone[text]
            assert embedding.cache_status == common.CACHE_STATUS_HIT
        else:
            assert embedding.cache_status == common.CACHE_STATUS_MISS
    assert reply.cache == common.CacheSummary(hits=4, misses=1)


def test_cached_texts_cost_nothing(deployment):
    first = embed(deployment.channel, "paid for once").usage
    again = embed(deployment.channel, "paid for once").usage
    assert first.total_tokens > 0 and first.upstream_requests == 1
    assert again.total_tokens == 0 and again.upstream_requests == 0


def test_reply_metadata(deployment):
    call = deployment.channel.unary_unary(
        EMBED,
        request_serializer=embedding_service_pb2.EmbedRequest.SerializeToString,
        response_deserializer=embedding_service_pb2.EmbedResponse.FromString,
    )
    request = embedding_service_pb2.EmbedRequest(inputs=["with metadata"])
    mine = [("x-request-id", "order-66")]
    _, rpc = call.with_call(request, timeout=PATIENCE, metadata=mine)
    metadata = dict(rpc.initial_metadata())
    assert metadata["x-request-id"] == "order-66"
    assert metadata["x-cache"] == "hit=0,miss=1,coalesced=0"
    assert metadata["x-model"] == "voyage-4"
    assert metadata["x-voyage-request-id"]

    _, rpc = call.with_call(request, timeout=PATIENCE)
    metadata = dict(rpc.initial_metadata())
    assert metadata["x-request-id"]
    assert metadata["x-cache"] == "hit=1,miss=0,coalesced=0"
    assert "x-voyage-request-id" not in metadata


def test_gzip_is_accepted(deployment):
    texts = [f"{number} compresses well " * 50 for number in range(20)]
    reply = embed(deployment.channel, *texts, compression=grpc.Compression.Gzip)
    assert len(reply.embeddings) == 20


def test_json_takes_both_spellings():
    for spelling in ("input", "inputs"):
        request = json_format.ParseDict({spelling: ["hi"]}, embedding_service_pb2.EmbedRequest())
        assert list(request.inputs) == ["hi"]


def test_models_and_info(deployment):
    stub = model_service_pb2_grpc.ModelServiceStub(deployment.channel)
    request = model_service_pb2.ListModelsRequest(kind=model_service_pb2.MODEL_KIND_TEXT)
    models = stub.ListModels(request, timeout=PATIENCE).models
    [default] = [model for model in models if model.is_default]
    assert default.name == "voyage-4" and default.default_dimension == 1024
    assert all(model.kind == model_service_pb2.MODEL_KIND_TEXT for model in models)

    info = stub.GetGatewayInfo(model_service_pb2.GetGatewayInfoRequest(), timeout=PATIENCE)
    assert info.version and info.revision
    assert info.max_request_bytes == 32 * 1024 * 1024
