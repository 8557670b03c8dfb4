"""The view of a developer with grpcurl."""

import json
import shlex

import pytest

from processes import GRPCURL, run

EMBED = "voyage.gateway.v1.EmbeddingService/Embed"


def grpcurl(address, *arguments, request=None, options=()):
    data = [] if request is None else ["-d", json.dumps(request)]
    return run(GRPCURL, "-plaintext", *options, *data, address, *arguments)


def answer(address, *arguments, **more):
    done = grpcurl(address, *arguments, **more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_list_shows_the_services(deployment):
    services = grpcurl(deployment.address, "list").stdout.split()
    assert {
        "voyage.gateway.v1.EmbeddingService",
        "voyage.gateway.v1.ModelService",
        "voyage.gateway.v1.RerankService",
        "voyage.gateway.v1.TokenService",
        "grpc.health.v1.Health",
    } <= set(services)
    methods = grpcurl(deployment.address, "list", "voyage.gateway.v1.ModelService").stdout.split()
    assert methods == [
        "voyage.gateway.v1.ModelService.GetGatewayInfo",
        "voyage.gateway.v1.ModelService.ListModels",
    ]


def described(deployment, symbol):
    """Returns the description with each line's comment or declaration, blanks apart."""
    done = grpcurl(deployment.address, "describe", symbol)
    assert done.returncode == 0, done.stderr
    return [line.strip() for line in done.stdout.splitlines()]


def comment_above(lines, declaration):
    place = next(i for i, line in enumerate(lines) if line.startswith(declaration))
    return lines[place - 1]


def test_describe_documents_services_and_methods(deployment):
    lines = described(deployment, "voyage.gateway.v1.EmbeddingService")
    assert comment_above(lines, "service EmbeddingService").startswith("// ")
    assert comment_above(lines, "rpc Embed").startswith("// ")
    assert any(line.startswith("// grpcurl -plaintext -d") for line in lines)


def test_the_line_of_each_rpc_works_word_for_word(deployment):
    """The comment of an RPC has a line to copy, with the usual address."""
    services = grpcurl(deployment.address, "list").stdout.split()
    own = [service for service in services if service.startswith("voyage.gateway.")]
    lines = [line for service in own for line in described(deployment, service)]
    commands = [line.removeprefix("// ") for line in lines if line.startswith("// grpcurl ")]
    methods = [line for line in lines if line.startswith("rpc ")]
    assert len(commands) == len(methods)
    for command in commands:
        program, *arguments = shlex.split(command.replace("localhost:50051", deployment.address))
        assert program == "grpcurl"
        done = run(GRPCURL, *arguments)
        assert done.returncode == 0, (command, done.stderr)
        assert json.loads(done.stdout), command


def test_describe_documents_every_field_and_enum_value(deployment):
    message = described(deployment, "voyage.gateway.v1.EmbedRequest")
    fields = [i for i, line in enumerate(message) if line.endswith(";")]
    assert len(fields) >= 8
    assert all(message[i - 1].startswith("// ") for i in fields), message

    enum = described(deployment, "voyage.gateway.v1.ErrorReason")
    values = [i for i, line in enumerate(enum) if line.startswith("ERROR_REASON_")]
    assert len(values) >= 30
    assert all(enum[i - 1].startswith("// ") for i in values), enum


def test_embed_prints_numbers_and_then_a_hit(deployment):
    request = {"input": ["hi, said grpcurl"]}
    first = answer(deployment.address, EMBED, request=request)
    [embedding] = first["embeddings"]
    assert len(embedding["values"]) == first["dimension"] == 1024
    assert embedding["cacheStatus"] == "CACHE_STATUS_MISS"
    assert abs(sum(number * number for number in embedding["values"]) - 1) < 1e-4

    [again] = answer(deployment.address, EMBED, request=request)["embeddings"]
    assert again["cacheStatus"] == "CACHE_STATUS_HIT"
    assert again["values"] == embedding["values"]


def test_inputs_is_understood_as_well(deployment):
    reply = answer(deployment.address, EMBED, request={"inputs": ["one", "two"]})
    assert [each.get("index", 0) for each in reply["embeddings"]] == [0, 1]


def test_verbose_shows_the_reply_metadata(deployment):
    request = {"input": ["seen with -v"]}
    shown = grpcurl(
        deployment.address, EMBED, request=request, options=["-v", "-H", "x-request-id: look-for-me"]
    ).stdout
    assert "x-request-id: look-for-me\n" in shown
    assert "x-cache: hit=0,miss=1,coalesced=0\n" in shown
    assert "x-model: voyage-4\n" in shown
    assert "x-voyage-request-id: " in shown


def test_an_error_names_every_wrong_field(deployment):
    request = {"input": ["fine", ""], "output_dimension": 7}
    done = grpcurl(deployment.address, EMBED, request=request)
    assert done.returncode == 64 + 3
    assert "Code: InvalidArgument" in done.stderr
    assert "google.rpc.ErrorInfo" in done.stderr and '"reason":"INVALID_REQUEST"' in done.stderr
    assert '"field":"output_dimension"' in done.stderr
    assert '"field":"inputs[1]"' in done.stderr


def test_an_unknown_method_is_named(deployment):
    done = grpcurl(deployment.address, "voyage.gateway.v1.EmbeddingService/Embark", request={})
    assert done.returncode != 0
    assert "Embark" in done.stderr


def test_models_and_info(deployment):
    models = answer(deployment.address, "voyage.gateway.v1.ModelService/ListModels")["models"]
    assert [model["name"] for model in models if model.get("isDefault")] == [
        "voyage-4",
        "voyage-context-4",
        "voyage-multimodal-3.5",
        "rerank-3",
    ]
    info = answer(deployment.address, "voyage.gateway.v1.ModelService/GetGatewayInfo")
    assert info["version"] and info["maxInputs"] == 16384


@pytest.mark.parametrize("port", ["address", "admin"])
def test_health_on_both_ports(deployment, port):
    address = getattr(deployment, port)
    for service in ("", "readiness", "liveness"):
        reply = answer(address, "grpc.health.v1.Health/Check", request={"service": service})
        assert reply == {"status": "SERVING"}
