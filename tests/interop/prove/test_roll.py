"""A rolling update loses no call: three gateways behind a headless name are replaced one by one, five times, under
200 calls a second from a client with the shipped settings. Then a fourth joins, and gets its share.

Production's times are cut: a connection's age to 3 s (10 minutes), the client's interval between two look-ups of the
name to half a second (30 s), the drain delay to 300 ms (5 s). The next pod leaves when the client has found the new one,
which `minReadySeconds` ensures in a cluster.
"""

import signal
import time

import pytest

import deployment as deployments
import processes
from callers import PROGRAMS, Caller
from names import NameServer

REPLICAS = 3
ROLLS = 5
RATE = 200
SETTINGS = ["drain.delay=300ms", "drain.grace=20s", "server.connection_age=3s"]
SPREAD = 0.2


class Service:
    """Pods behind a headless service: one address each, one port, and a name that lists the ready ones."""

    def __init__(self, voyage):
        self.names = NameServer()
        self.pods = []
        self.port = 0
        self._voyage = voyage
        self._started = 0

    def start(self):
        """Starts a pod, and lists it when it is ready."""
        self._started += 1
        listen = f"127.0.7.{self._started}:{self.port}"
        server = processes.serve(deployments.base_url(self._voyage), *SETTINGS, f"server.listen={listen}")
        pod = deployments.Deployment(server)
        self.pods.append(pod)
        self.port = int(pod.address.rpartition(":")[2])
        until(lambda: pod.get("/readyz")[0] == 200)
        self._list()

    def stop_oldest(self):
        """Ends a pod as Kubernetes does: removed from the list at the same time."""
        pod = self.pods.pop(0)
        pod.server.signal(signal.SIGTERM)
        self._list()
        assert pod.server.wait() == 0
        pod.close()

    def answered(self):
        """Returns the calls that each pod has answered so far."""
        return [pod.metric("voyage_gateway_rpcs_total", rpc_response_status_code="OK") for pod in self.pods]

    def close(self):
        for pod in self.pods:
            pod.close()
        self.names.close()

    def _list(self):
        self.names.addresses = [pod.address.rpartition(":")[0] for pod in self.pods]


def until(condition):
    processes.eventually(condition, "the state that the roll waits for")


@pytest.fixture
def service():
    voyage = processes.simulate("--latency", "20ms")
    running = Service(voyage)
    try:
        yield running
    finally:
        running.close()
        voyage.kill()


@pytest.mark.parametrize("language", sorted(PROGRAMS))
def test_a_rolling_update_loses_no_call(service, language):
    for _ in range(REPLICAS):
        service.start()
    caller = Caller(language, service.names.target(service.port), resolve_every=500)
    try:
        caller.load(RATE)
        loaded = time.monotonic()
        until(lambda: min(service.answered()) > 0)
        began = time.monotonic()
        for _ in range(ROLLS * REPLICAS):
            service.start()
            service.stop_oldest()
            until(lambda: min(service.answered()) > 0)
        rolled = time.monotonic()

        # No connection breaks now: only its age makes the client resolve the name again.
        service.start()
        until(lambda: min(service.answered()) > 0)
        found = time.monotonic()
        before = service.answered()
        until(lambda: sum(service.answered()) > sum(before) + 2 * RATE)
        shares = [after - earlier for after, earlier in zip(service.answered(), before)]
        ended, stopped = caller.stop(), time.monotonic()
    finally:
        caller.kill()

    mean = sum(shares) / len(shares)
    spread = max(abs(share - mean) for share in shares) / mean
    failed = {ending: number for ending, number in ended.items() if ending != "OK"}
    calls = sum(ended.values())
    print(
        f"\n{language}: {ROLLS} rolls of {REPLICAS} gateways in {rolled - began:.1f} s"
        f" at {calls / (stopped - loaded):.0f} calls/s: {calls} calls, {sum(failed.values())} failed;"
        f" a fourth found in {found - rolled:.1f} s, spread over four ±{spread:.0%}"
    )
    assert failed == {}
    assert spread <= SPREAD
