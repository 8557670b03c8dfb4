"""Health and reflection through grpcio's own clients."""

import signal

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from google.protobuf.descriptor_pool import DescriptorPool

import processes
from python_client import PATIENCE, embed, failure

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
NAMES = ["EmbeddingService", "RerankService", "TokenService", "ModelService"]
SERVICES = ["", *(f"voyage.gateway.v1.{name}" for name in NAMES)]


def check(channel, service):
    request = health_pb2.HealthCheckRequest(service=service)
    return health_pb2_grpc.HealthStub(channel).Check(request, timeout=PATIENCE).status


def test_check(deployment):
    assert [check(deployment.channel, service) for service in SERVICES] == [SERVING] * 5
    error = failure(check, deployment.channel, "no.such.Service")
    assert error.code() == grpc.StatusCode.NOT_FOUND


def test_check_on_the_admin_port(deployment):
    with grpc.insecure_channel(deployment.admin) as channel:
        assert [check(channel, service) for service in [*SERVICES, "liveness", "readiness"]] == [SERVING] * 7


def test_watch_reports_the_drain(deploy):
    leaving = deploy(settings=["drain.delay=1h"])
    with grpc.insecure_channel(leaving.admin) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        readiness = stub.Watch(health_pb2.HealthCheckRequest(service="readiness"), timeout=PATIENCE)
        assert next(readiness).status == SERVING
        leaving.server.signal(signal.SIGTERM)
        assert next(readiness).status == NOT_SERVING
        assert check(channel, "liveness") == SERVING
    # Not ready, but it still serves: clients need time to notice.
    assert embed(leaving.channel, "one last thing").embeddings


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_of_either_version(deployment, version):
    # Both versions have the same messages.
    call = deployment.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    [reply] = call(iter([request]), timeout=PATIENCE)
    services = {service.name for service in reply.list_services_response.service}
    assert {*SERVICES[1:], "grpc.health.v1.Health"} <= services


def test_reflection_gives_the_whole_schema(deployment):
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(deployment.channel))
    method = pool.FindServiceByName("voyage.gateway.v1.EmbeddingService").FindMethodByName("Embed")
    assert [field.name for field in method.input_type.fields][:2] == ["inputs", "model"]
    # The details of errors can be shown as well.
    assert pool.FindMessageTypeByName("google.rpc.ErrorInfo")


def test_reflection_can_be_turned_off(deploy):
    closed = deploy(settings=["server.reflection=false"])
    done = processes.run(processes.GRPCURL, "-plaintext", closed.address, "list")
    assert done.returncode != 0
    assert "does not support the reflection API" in done.stderr
