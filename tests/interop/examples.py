"""The programs of examples/ as processes: run once, or as load while gateways restart under them."""

import json
import os
import signal
import subprocess
import sys
from functools import cache

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
            timeout=30 * processes.PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    return CLIENTS[language]


def flag(language, name):
    return f"-{name}" if language == "go" else f"--{name}"


def embed(language, address, *texts, **variables):
    """Runs an example to its end."""
    command = [*program(language), flag(language, "gateway"), address, *texts]
    return processes.run(*command, PYTHONPATH=str(STUBS), no_proxy="127.0.0.1", **variables)


class Load:
    """An example client that calls until `stop`."""

    def __init__(self, language, addresses):
        command = [*program(language), flag(language, "gateway"), ",".join(addresses)]
        self._process = subprocess.Popen(
            [str(word) for word in [*command, flag(language, "until-eof"), WORKERS]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=processes.environment(PYTHONPATH=str(STUBS), no_proxy="127.0.0.1"),
        )
        # Printed after the first reply.
        assert self._process.stdout.readline() == "answered\n"

    def stop(self):
        """Ends the load. Returns the number of answered calls, and the failed ones by reason."""
        output, _ = self._process.communicate(timeout=processes.PATIENCE)
        report = json.loads(output.splitlines()[-1])
        return report["answered"], report["failed"]

    def kill(self):
        self._process.kill()


def answered(server):
    """Returns the number of calls that a gateway has answered so far."""
    return deployments.Deployment(server).metric("voyage_gateway_rpcs_total", rpc_response_status_code="OK")


def lose_no_call(language, restarts):
    """Restarts two gateways in turn under load, and checks that every call is answered."""
    settings = ["drain.delay=100ms", "drain.grace=60s"]
    voyage = processes.simulate("--latency", "20ms")
    servers, load = [], None
    try:
        base_url = deployments.base_url(voyage)
        servers += [processes.serve(base_url, *settings) for _ in range(2)]
        addresses = [server.addresses["grpc"] for server in servers]
        load = Load(language, addresses)
        for restart in range(restarts):
            leaving, staying = restart % 2, 1 - restart % 2
            # The client must know the other gateway before this one stops, as in a rollout.
            enough = answered(servers[staying]) + WORKERS
            processes.eventually(lambda: answered(servers[staying]) >= enough, "calls at the other gateway")
            servers[leaving].signal(signal.SIGTERM)
            assert servers[leaving].wait() == 0
            servers[leaving] = processes.serve(base_url, *settings, f"server.listen={addresses[leaving]}")
        calls, failed = load.stop()
        assert failed == {}
        assert calls >= restarts * WORKERS
    finally:
        if load:
            load.kill()
        for server in [*servers, voyage]:
            server.kill()
