"""Code of a Python user of the gateway: a stub, and the details of an error."""

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from voyage.gateway.v1 import embedding_service_pb2, embedding_service_pb2_grpc

EMBED = "/voyage.gateway.v1.EmbeddingService/Embed"

# Seconds. It only ends a call that hangs.
PATIENCE = 120


def embed(channel, *inputs, timeout=PATIENCE, metadata=None, compression=None, **fields):
    stub = embedding_service_pb2_grpc.EmbeddingServiceStub(channel)
    request = embedding_service_pb2.EmbedRequest(inputs=inputs, **fields)
    return stub.Embed(request, timeout=timeout, metadata=metadata, compression=compression)


def failure(call, *arguments, **more):
    """Makes a call that must fail and returns its error."""
    try:
        call(*arguments, **more)
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call succeeded")


def details(error):
    """Returns the decoded details of an error, by type; each type comes at most once."""
    status = rpc_status.from_call(error)
    assert status is not None, f"no details: {error}"
    assert status.message == error.details()
    assert len(status.SerializeToString()) <= 4096
    decoded = {}
    for detail in status.details:
        name = detail.TypeName().rpartition(".")[2]
        assert name not in decoded
        decoded[name] = getattr(error_details_pb2, name)()
        assert detail.Unpack(decoded[name])
    return decoded


def fields(error):
    """Returns the fields named in an INVALID_ARGUMENT."""
    return [violation.field for violation in details(error)["BadRequest"].field_violations]


def reason(error):
    """Returns the domain and the reason of an error."""
    info = details(error)["ErrorInfo"]
    return info.domain, info.reason
