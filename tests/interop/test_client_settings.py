"""Each part of deploy/client/service_config.json has its effect in Python (C-core). `make test-all` adds Go."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from voyage.gateway.v1 import embedding_service_pb2, embedding_service_pb2_grpc

from callers import Caller
from processes import eventually

SERVICE = "voyage.gateway.v1.EmbeddingService"
UNAVAILABLE, OK = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.OK
# As in the file: attempts of one call, and failures before the client stops all retries.
ATTEMPTS, TOKENS_TO_LOSE = 4, 50


class Replica(embedding_service_pb2_grpc.EmbeddingServiceServicer):
    """Answers a list of codes, and repeats the last one."""

    def __init__(self, *codes, pushback=None):
        self.attempts = []
        self._codes = list(codes) or [OK]
        self._pushback = pushback
        self.health = health.HealthServicer()
        self.tell(health_pb2.HealthCheckResponse.SERVING)
        self._server = grpc.server(ThreadPoolExecutor(64))
        embedding_service_pb2_grpc.add_EmbeddingServiceServicer_to_server(self, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def tell(self, status):
        """Sets its health."""
        self.health.set(SERVICE, status)

    def Embed(self, request, context):
        self.attempts.append(time.monotonic())
        code = self._codes.pop(0) if len(self._codes) > 1 else self._codes[0]
        if code is not OK:
            if self._pushback is not None:
                context.set_trailing_metadata([("grpc-retry-pushback-ms", self._pushback)])
            context.abort(code, "no")
        return embedding_service_pb2.EmbedResponse()

    def close(self):
        self._server.stop(None)


@pytest.fixture
def replica():
    """Starts replicas: `replica(UNAVAILABLE, OK)`."""
    running = []

    def replica(*codes, **options):
        running.append(Replica(*codes, **options))
        return running[-1]

    yield replica
    for each in running:
        each.close()


@pytest.fixture(params=["python"])
def language(request):
    return request.param


@pytest.fixture
def call(language):
    """Starts a client of replicas: `call(one, another)`."""
    running = []

    def call(*replicas):
        running.append(Caller(language, "ipv4:" + ",".join(replica.address for replica in replicas)))
        return running[-1]

    yield call
    for each in running:
        each.kill()


def code(ended):
    """Returns the one status of all calls, in capitals: Python and Go spell codes differently."""
    [ending] = ended
    return ending.partition(":")[0].upper().replace("_", "")


def test_unavailable_is_retried(replica, call):
    flaky = replica(UNAVAILABLE, UNAVAILABLE, OK)
    assert call(flaky).calls(1) == {"OK": 1}
    assert len(flaky.attempts) == 3


def test_retries_end_after_four_attempts(replica, call):
    broken = replica(UNAVAILABLE)
    assert code(call(broken).calls(1)) == "UNAVAILABLE"
    assert len(broken.attempts) == ATTEMPTS


@pytest.mark.parametrize("other", [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL])
def test_no_other_failure_is_retried(replica, call, other):
    refusing = replica(other, OK)
    assert code(call(refusing).calls(1)) == other.name.replace("_", "")
    assert len(refusing.attempts) == 1


def test_a_pushback_delays_the_retry(replica, call):
    # Without a pushback the client would wait at most 120 ms.
    busy = replica(UNAVAILABLE, OK, pushback="700")
    assert call(busy).calls(1) == {"OK": 1}
    first, second = busy.attempts
    assert second - first >= 0.7


def test_a_negative_pushback_forbids_the_retry(replica, call):
    busy = replica(UNAVAILABLE, OK, pushback="-1")
    assert code(call(busy).calls(1)) == "UNAVAILABLE"
    assert len(busy.attempts) == 1


def test_many_failures_stop_all_retries(replica, call):
    broken = replica(UNAVAILABLE)
    ended = call(broken).calls(200)
    assert code(ended) == "UNAVAILABLE" and sum(ended.values()) == 200
    assert 200 < len(broken.attempts) < 200 + TOKENS_TO_LOSE


def test_calls_go_to_all_replicas_in_turn(replica, call):
    replicas = [replica() for _ in range(3)]
    caller = call(*replicas)

    def all_connected():
        assert caller.calls(3) == {"OK": 3}
        return all(each.attempts for each in replicas)

    eventually(all_connected, "a call at each replica")
    before = [len(each.attempts) for each in replicas]
    assert caller.calls(60) == {"OK": 60}
    assert [len(each.attempts) - earlier for each, earlier in zip(replicas, before)] == [20, 20, 20]


def test_a_replica_that_does_not_serve_gets_no_calls(replica, call):
    leaving, staying = replica(), replica()
    caller = call(leaving, staying)

    def both_connected():
        caller.calls(2)
        return leaving.attempts and staying.attempts

    eventually(both_connected, "a call at both replicas")
    leaving.tell(health_pb2.HealthCheckResponse.NOT_SERVING)
    # It would answer: only its health keeps calls away.
    left = left_alone(caller, lambda: len(leaving.attempts))

    leaving.tell(health_pb2.HealthCheckResponse.SERVING)

    def returned():
        assert caller.calls(2) == {"OK": 2}
        return len(leaving.attempts) > left

    eventually(returned, "a call at the replica that serves again")


def left_alone(caller, attempts):
    """Calls until a replica gets no more calls, and returns the number it had."""

    def unchanged():
        before = attempts()
        assert caller.calls(60) == {"OK": 60}
        return attempts() == before

    eventually(unchanged, "no more calls at the replica")
    return attempts()


def test_calls_refused_by_a_full_gateway_go_to_another(deploy, call):
    full = deploy(simulator=["--latency", "1h"], settings=["admission.max_in_flight=1"])
    free = deploy()
    held = embedding_service_pb2_grpc.EmbeddingServiceStub(full.channel).Embed.future(
        embedding_service_pb2.EmbedRequest(inputs=["long"])
    )
    full.counted("voyage_gateway_in_flight_requests")
    caller = call(full, free)

    def refused():
        assert caller.calls(1) == {"OK": 1}
        return full.metric("voyage_gateway_rpcs_total", rpc_response_status_code="UNAVAILABLE") >= 5

    eventually(refused, "calls that the full gateway refuses")
    assert not held.done()
    held.cancel()


def test_a_draining_gateway_gets_no_calls(deploy, call):
    leaving, staying = (deploy(settings=["drain.delay=1h"]) for _ in range(2))
    caller = call(leaving, staying)

    def answered():
        return leaving.metric("voyage_gateway_rpcs_total", rpc_method=f"{SERVICE}/Embed")

    def connected():
        assert caller.calls(2) == {"OK": 2}
        return answered()

    eventually(connected, "a call at the gateway that will leave")
    leaving.server.signal(signal.SIGTERM)
    eventually(lambda: leaving.get("/readyz")[0] != 200, "a gateway that drains")
    left_alone(caller, answered)
