"""A caller's deadline ends in DEADLINE_EXCEEDED: never in CANCELLED, which tonic alone would answer."""

from concurrent.futures import ThreadPoolExecutor

import grpc
from voyage.gateway.v1 import embedding_service_pb2, embedding_service_pb2_grpc

from processes import eventually
from python_client import details, embed, failure, reason


def test_short_deadlines(deploy):
    mute = deploy(simulator=["--fault", "hang"])

    def attempt(number):
        return failure(embed, mute.channel, f"text {number}", timeout=0.1 + 0.001 * number)

    with ThreadPoolExecutor(5) as pool:
        errors = list(pool.map(attempt, range(50)))
    assert {error.code() for error in errors} == {grpc.StatusCode.DEADLINE_EXCEEDED}


def test_the_gateway_answers_before_the_deadline(deploy):
    mute = deploy(simulator=["--fault", "hang"])
    timeouts = iter([0.5, 1, 2, 4, 8, 16])

    def explained():
        # The margin grows with the timeout. On a busy machine the client's own clock may be first.
        error = failure(embed, mute.channel, "hi", timeout=next(timeouts))
        return error if "grpc-status-details-bin" in dict(error.trailing_metadata() or ()) else None

    error = eventually(explained, "an answer from the gateway")
    assert reason(error) == ("voyage-gateway", "DEADLINE_EXCEEDED")
    assert details(error)["ErrorInfo"].metadata["phase"] in ("queue", "upstream")


def test_the_gateways_own_limit(deploy):
    hasty = deploy(
        simulator=["--fault", "hang"],
        settings=["server.default_deadline=100ms", "server.max_deadline=150ms"],
    )
    for timeout in (None, 20):
        error = failure(embed, hasty.channel, "hi", timeout=timeout)
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert reason(error) == ("voyage-gateway", "DEADLINE_EXCEEDED")


def test_a_short_deadline_fails_no_other_caller(deploy):
    patient = deploy(simulator=["--latency", "3s"])
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(embed, patient.channel, "shared")
        error = failure(embed, patient.channel, "shared", timeout=0.1)
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert waiting.result().embeddings
    assert embed(patient.channel, "shared").cache.hits == 1


def test_a_result_is_cached_after_its_caller_left(deploy):
    late = deploy(simulator=["--latency", "1s"])
    stub = embedding_service_pb2_grpc.EmbeddingServiceStub(late.channel)
    call = stub.Embed.future(embedding_service_pb2.EmbedRequest(inputs=["left behind"]))
    late.counted("voyage_gateway_batches_in_flight")
    call.cancel()
    # It joins the call in flight, or finds its answer: one upstream call.
    assert embed(late.channel, "left behind").cache.misses == 0
    assert late.metric("voyage_gateway_upstream_calls_total") == 1
