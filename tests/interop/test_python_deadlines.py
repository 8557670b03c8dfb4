"""A caller's deadline ends in DEADLINE_EXCEEDED: never in CANCELLED, which tonic alone would answer."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from voyage.gateway.v1 import embedding_service_pb2, embedding_service_pb2_grpc

import deployment as deployments
import processes
import provider
from processes import eventually
from python_client import PATIENCE, details, embed, failure, reason


def test_short_deadlines(deploy):
    mute = deploy(simulator=["--fault", "hang"])

    def attempt(number):
        return failure(embed, mute.channel, f"text {number}", timeout=0.1 + 0.001 * number)

    with ThreadPoolExecutor(5) as pool:
        errors = list(pool.map(attempt, range(50)))
    assert {error.code() for error in errors} == {grpc.StatusCode.DEADLINE_EXCEEDED}


def test_the_gateway_answers_before_the_deadline(deploy):
    mute = deploy(simulator=["--fault", "hang"])
    timeouts = iter([0.5, 1, 2, 4, 8, 16, 32, 64])

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
    for timeout in (None, PATIENCE):
        error = failure(embed, hasty.channel, "hi", timeout=timeout)
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert reason(error) == ("voyage-gateway", "DEADLINE_EXCEEDED")


@pytest.fixture
def held():
    """A gateway whose calls wait until `held.simulator.released` is set."""
    with provider.running() as voyage:
        voyage.released.clear()
        running = deployments.Deployment(processes.serve(voyage.base_url))
        running.simulator = voyage
        yield running
        running.simulator = None
        running.close()


def test_a_short_deadline_fails_no_other_caller(held):
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(embed, held.channel, "shared")
        held.counted("voyage_gateway_batches_in_flight")
        error = failure(embed, held.channel, "shared", timeout=0.1)
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        held.simulator.released.set()
        assert waiting.result().embeddings
    assert embed(held.channel, "shared").cache.hits == 1


def test_a_result_is_cached_after_its_caller_left(held):
    stub = embedding_service_pb2_grpc.EmbeddingServiceStub(held.channel)
    call = stub.Embed.future(embedding_service_pb2.EmbedRequest(inputs=["left behind"]))
    held.counted("voyage_gateway_batches_in_flight")
    call.cancel()
    held.simulator.released.set()
    # It joins the call in flight, or finds its answer: one upstream call.
    assert embed(held.channel, "left behind").cache.misses == 0
    assert held.metric("voyage_gateway_upstream_calls_total") == 1
