"""Errors through grpcio: code, domain, reason and details."""

import json

import grpc
import pytest
from voyage.gateway.v1 import common_pb2 as common

from python_client import EMBED, PATIENCE, details, embed, failure, fields, reason

GATEWAY, VOYAGE = "voyage-gateway", "voyageai.com"


def raw(channel, message, **more):
    """Sends bytes that no generated client sends."""
    return channel.unary_unary(EMBED)(message, timeout=PATIENCE, **more)


def logged(deployment):
    """Returns the log, when it has the failed RPC."""
    deployment.server.logged("rpc failed")
    return [json.loads(line) for line in deployment.server.log]


def test_all_wrong_fields_at_once(deployment):
    error = failure(
        embed,
        deployment.channel,
        "fine",
        "",
        "",
        input_type=9,
        output_dimension=7,
        output_dtype=99,
        vector_encoding=-1,
        options=common.RequestOptions(cache_mode=77),
        metadata=[("x-request-id", "all-wrong")],
    )
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason(error) == (GATEWAY, "INVALID_REQUEST")
    assert fields(error) == [
        "input_type", "output_dimension", "output_dtype", "vector_encoding", "options.cache_mode",
        "inputs[1]", "inputs[2]",
    ]  # fmt: skip
    assert all(v.description and v.reason for v in details(error)["BadRequest"].field_violations)
    assert details(error)["RequestInfo"].request_id == "all-wrong"
    assert dict(error.initial_metadata() or error.trailing_metadata())["x-request-id"] == "all-wrong"


def test_no_input(deployment):
    assert fields(failure(embed, deployment.channel)) == ["inputs"]


def test_one_bad_input_alone_with_allow_partial(deployment):
    options = common.RequestOptions(allow_partial=True)
    reply = embed(deployment.channel, "good", "", "good too", options=options)
    assert [embedding.index for embedding in reply.embeddings] == [0, 2]
    [error] = reply.errors
    assert (error.index, error.code, error.reason) == (1, 3, "INVALID_REQUEST")
    assert error.message and not error.HasField("retry_delay")


# Field 1, length 2, and then the mistake.
@pytest.mark.parametrize(
    "message",
    [b"\x0a\x02\xff\xfe", b"\x0a\x02h", b"\x0a", b"\x0b", b"\xff" * 11],
    ids=["invalid UTF-8", "cut string", "no length", "open group", "endless tag"],
)
def test_an_undecodable_message(deployment, message):
    error = failure(raw, deployment.channel, message)
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason(error) == (GATEWAY, "INVALID_REQUEST")
    assert fields(error)


def test_unknown_fields_are_ignored(deployment):
    # A newer client may know field 2000.
    assert raw(deployment.channel, b"\x0a\x02hi" + b"\x80\x7d\x01")


def test_a_request_over_the_limit(deploy):
    small = deploy(settings=["server.max_request_bytes=64KiB"])
    for compression in (None, grpc.Compression.Gzip):
        error = failure(embed, small.channel, "x" * 70_000, compression=compression)
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert reason(error) == (GATEWAY, "REQUEST_TOO_LARGE")
        assert details(error)["ErrorInfo"].metadata["maxRequestBytes"] == "65536"
    assert embed(small.channel, "the connection is fine").embeddings


def test_a_reply_over_the_limit_is_refused_before_it_costs(deployment):
    texts = [f"large {number}" for number in range(1100)]
    error = failure(embed, deployment.channel, *texts)
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason(error) == (GATEWAY, "RESPONSE_TOO_LARGE")
    fitting = int(details(error)["ErrorInfo"].metadata["maxInputs"])
    reply = embed(deployment.channel, *texts[:fitting])
    assert len(reply.embeddings) == fitting
    assert reply.cache.misses == fitting, "the refused request has caused upstream calls"
    assert reply.ByteSize() <= 4 * 1024 * 1024


def test_a_cache_miss(deployment):
    options = common.RequestOptions(cache_mode=common.CACHE_MODE_ONLY_IF_CACHED)
    error = failure(embed, deployment.channel, "never seen", "nor this", options=options)
    assert error.code() == grpc.StatusCode.NOT_FOUND
    assert reason(error) == (GATEWAY, "CACHE_MISS")
    assert details(error)["ErrorInfo"].metadata["misses"] == "2"


def test_an_unknown_method(deployment):
    call = deployment.channel.unary_unary("/voyage.gateway.v1.EmbeddingService/Embark")
    error = failure(call, b"", timeout=PATIENCE)
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED


def test_an_unknown_model_is_refused_by_voyage(deployment):
    error = failure(embed, deployment.channel, "hi", model="voyage-9000")
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason(error) == (VOYAGE, "MODEL_NOT_SUPPORTED")
    assert fields(error) == ["model"]
    assert details(error)["ErrorInfo"].metadata["httpStatus"] == "400"


def test_an_input_too_long_is_named_by_the_callers_index(deploy):
    poisoned = deploy(simulator=["--fault", "poison=bad apple"])
    assert embed(poisoned.channel, "known").embeddings
    # The known text is not sent, so Voyage counts differently.
    error = failure(embed, poisoned.channel, "known", "new", "bad apple")
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason(error) == (VOYAGE, "INPUT_TOO_LONG")
    assert fields(error) == ["inputs[2]"]


def test_the_gateways_key_is_rejected(deploy):
    locked = deploy(simulator=["--api-key", "another-key"])
    error = failure(embed, locked.channel, "hi")
    assert error.code() == grpc.StatusCode.UNAUTHENTICATED
    assert reason(error) == (VOYAGE, "UPSTREAM_UNAUTHENTICATED")
    assert details(error)["ErrorInfo"].metadata["credential"] == "gateway"
    assert details(error)["Help"].links
    seen = str(error) + "\n".join(locked.server.log)
    assert "test-key" not in seen and "another-key" not in seen


def test_voyage_is_down(deploy):
    broken = deploy(simulator=["--fault", "503"])
    error = failure(embed, broken.channel, "hi")
    assert error.code() == grpc.StatusCode.UNAVAILABLE
    assert reason(error) == (VOYAGE, "UPSTREAM_UNAVAILABLE")
    wait = details(error)["RetryInfo"].retry_delay.ToMilliseconds()
    assert wait > 0
    assert dict(error.trailing_metadata())["grpc-retry-pushback-ms"] == str(wait)
    [failed] = [event for event in logged(broken) if event["message"] == "rpc failed"]
    assert failed["http_status"] == 503
    assert failed["upstream_request_id"] == details(error)["ErrorInfo"].metadata["upstreamRequestId"]


def test_voyage_is_gone(deploy):
    alone = deploy()
    assert embed(alone.channel, "known").embeddings
    alone.simulator.kill()
    assert embed(alone.channel, "known").cache.hits == 1
    error = failure(embed, alone.channel, "new")
    assert error.code() == grpc.StatusCode.UNAVAILABLE
    assert reason(error) == (VOYAGE, "UPSTREAM_CONNECT_FAILED")
    assert any("refused" in event.get("cause", "") for event in logged(alone))


def test_a_rate_limit(deploy):
    limited = deploy(simulator=["--rpm", "1"], settings=["retry.max_attempts=1"])
    assert embed(limited.channel, "first").embeddings
    error = failure(embed, limited.channel, "second")
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert reason(error) == (VOYAGE, "UPSTREAM_RATE_LIMITED")
    assert details(error)["RetryInfo"].retry_delay.ToMilliseconds() > 0
    assert details(error)["QuotaFailure"].violations
    # Java and .NET retry on a pushback whatever the code is.
    assert "grpc-retry-pushback-ms" not in dict(error.trailing_metadata())


def test_the_free_tier_is_recognised(deploy):
    free = deploy(simulator=["--rpm", "3", "--tpm", "10000"])
    assert free.metric("voyage_gateway_free_tier") == 0
    for number in range(3):
        assert embed(free.channel, f"text {number}").embeddings
    # Their deadline is before the end of the minute.
    error = failure(embed, free.channel, "one more", timeout=30)
    assert reason(error) == (VOYAGE, "UPSTREAM_RATE_LIMITED")
    assert details(error)["ErrorInfo"].metadata["tier"] == "free"
    assert free.metric("voyage_gateway_free_tier") == 1
    free.server.logged("no payment method")
    # The next call is refused without an upstream call, with the rest of the minute.
    error = failure(embed, free.channel, "and another", timeout=30)
    assert reason(error) == (GATEWAY, "QUEUE_TIMEOUT")
    assert 0 < details(error)["RetryInfo"].retry_delay.ToMilliseconds() <= 60_000
    assert free.metric("voyage_gateway_upstream_calls_total") == 4


def test_clients_retry_what_is_unavailable(deploy):
    """A service config makes grpcio repeat the call when the gateway's pushback says so."""
    hiccup = deploy(simulator=["--fault", "503@1"], settings=["retry.max_attempts=1"])
    retry = {
        "maxAttempts": 3,
        "initialBackoff": "0.01s",
        "maxBackoff": "0.01s",
        "backoffMultiplier": 1,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    config = {"methodConfig": [{"name": [{"service": "voyage.gateway.v1.EmbeddingService"}], "retryPolicy": retry}]}
    options = [("grpc.service_config", json.dumps(config))]
    with grpc.insecure_channel(hiccup.address, options=options) as channel:
        reply = embed(channel, "second time lucky")
    assert reply.embeddings and reply.cache.misses == 1
