"""A caller's deadline ends in DEADLINE_EXCEEDED: never in CANCELLED, which tonic alone would answer."""

from concurrent.futures import ThreadPoolExecutor

import grpc

from python_client import details, embed, failure, reason


def test_short_deadlines(deploy):
    mute = deploy(simulator=["--fault", "hang"])

    def attempt(number):
        return failure(embed, mute.channel, f"text {number}", timeout=0.1 + 0.001 * number)

    with ThreadPoolExecutor(5) as pool:
        errors = list(pool.map(attempt, range(50)))
    assert {error.code() for error in errors} == {grpc.StatusCode.DEADLINE_EXCEEDED}
    # The gateway answers a little early, so most callers hear from it, not from their own clock.
    explained = [error for error in errors if "grpc-status-details-bin" in dict(error.trailing_metadata() or ())]
    assert explained
    assert {reason(error) for error in explained} == {("voyage-gateway", "DEADLINE_EXCEEDED")}
    assert {details(error)["ErrorInfo"].metadata["phase"] for error in explained} <= {"queue", "upstream"}


def test_the_gateways_own_limit(deploy):
    hasty = deploy(
        simulator=["--fault", "hang"],
        settings=["server.default_deadline=100ms", "server.max_deadline=150ms"],
    )
    for timeout in (None, 20):
        error = failure(embed, hasty.channel, "hi", timeout=timeout)
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert reason(error) == ("voyage-gateway", "DEADLINE_EXCEEDED")


def test_one_impatient_caller_hurts_no_other(deploy):
    patient = deploy(simulator=["--latency", "600ms"])
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(embed, patient.channel, "shared")
        error = failure(embed, patient.channel, "shared", timeout=0.1)
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert waiting.result().embeddings
    assert embed(patient.channel, "shared").cache.hits == 1


def test_what_was_sent_is_cached_although_its_caller_left(deploy):
    late = deploy(simulator=["--latency", "1s"])
    failure(embed, late.channel, "left behind", timeout=0.4)
    # It joins the call in flight, or finds its answer: Voyage is asked once.
    assert embed(late.channel, "left behind").cache.misses == 0
    assert late.metric("voyage_gateway_upstream_calls_total") == 1
