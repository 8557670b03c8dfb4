"""A deploy loses no call: gateways are restarted one by one under load from the example clients."""

import json
import os
import signal
import subprocess
import sys
from functools import cache

import pytest

import deployment as deployments
import processes

EXAMPLES = processes.ROOT / "examples"
STUBS = processes.TARGET / "interop" / "stubs"

CLIENTS = {
    "go": [processes.TOOLS / "go" / "embed", "-service-config", EXAMPLES / ".." / "deploy/client/service_config.json"],
    "node": ["node", EXAMPLES / "node" / "embed.mjs"],
    "python": [sys.executable, EXAMPLES / "python" / "embed.py"],
    "rust": [processes.TARGET / "examples" / "debug" / "voyage-gateway-example"],
}

RESTARTS = 20
WORKERS = 8


@cache
def program(language):
    """Returns how an example is started. The Rust one is a crate of its own, and compiled here."""
    if language == "rust":
        done = subprocess.run(
            ["cargo", "build", "--quiet", "--locked", "--manifest-path", EXAMPLES / "rust" / "Cargo.toml"],
            capture_output=True,
            encoding="utf-8",
            env=os.environ | {"CARGO_TARGET_DIR": str(processes.TARGET / "examples")},
            timeout=60 * processes.PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    return CLIENTS[language]


class Load:
    """An example client that keeps calling until it is told to stop."""

    def __init__(self, language, addresses):
        flag = "-" if language == "go" else "--"
        self._process = subprocess.Popen(
            [str(word) for word in program(language)]
            + [f"{flag}gateway", ",".join(addresses), f"{flag}until-eof", str(WORKERS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=processes.environment(PYTHONPATH=str(STUBS), no_proxy="127.0.0.1"),
        )
        # It says so when its first call is answered.
        assert self._process.stdout.readline() == "answered\n"

    def stop(self):
        """Ends it, and returns how many calls were answered, and the others by why not."""
        output, _ = self._process.communicate(timeout=processes.PATIENCE)
        report = json.loads(output.splitlines()[-1])
        return report["answered"], report["failed"]

    def kill(self):
        self._process.kill()


def answered(server):
    """The calls a gateway has answered so far."""
    return deployments.Deployment(server).metric("voyage_gateway_rpcs_total", rpc_response_status_code="OK")


@pytest.fixture
def voyage():
    simulator = processes.simulate("--latency", "20ms")
    yield simulator
    simulator.kill()


@pytest.mark.parametrize("language", sorted(CLIENTS))
def test_restarts_lose_no_call(voyage, language):
    settings = ["drain.delay=100ms", "drain.grace=20s"]
    base_url = deployments.base_url(voyage)
    servers = [processes.serve(base_url, *settings) for _ in range(2)]
    load = None
    try:
        addresses = [server.addresses["grpc"] for server in servers]
        load = Load(language, addresses)
        for restart in range(RESTARTS):
            which = restart % 2
            # The other one must be known to serve before this one leaves: that is what a rollout waits for.
            before = answered(servers[1 - which])
            while answered(servers[1 - which]) < before + WORKERS:
                pass
            servers[which].signal(signal.SIGTERM)
            assert servers[which].wait() == 0
            servers[which] = processes.serve(base_url, *settings, f"server.listen={addresses[which]}")
        calls, failed = load.stop()
        load = None
        assert failed == {}
        assert calls >= RESTARTS * WORKERS
    finally:
        if load:
            load.kill()
        for server in servers:
            server.kill()


@pytest.mark.parametrize("language", sorted(CLIENTS))
def test_the_examples_embed(deployment, language):
    flag = "-" if language == "go" else "--"
    done = processes.run(
        *program(language),
        *[f"{flag}gateway", deployment.address, "one text", "another"],
        PYTHONPATH=str(STUBS),
        no_proxy="127.0.0.1",
    )
    assert done.returncode == 0, done.stderr
    assert [line.split("\t")[:2] for line in done.stdout.splitlines()] == [
        ["one text", "1024 numbers"],
        ["another", "1024 numbers"],
    ]
    done = processes.run(
        *program(language),
        *[f"{flag}gateway", deployment.address, ""],
        PYTHONPATH=str(STUBS),
        no_proxy="127.0.0.1",
    )
    assert done.returncode == 1
    assert "inputs[0]" in done.stderr, done.stderr
