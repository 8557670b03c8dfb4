"""Fixtures, the Python stubs of `proto/`, and the rule on skipped tests.

Three tiers: the files here are part of `make test` and need nothing beyond Python's packages; `all/` is `make test-all`;
`prove/` is `make prove`.
"""

import os
import sys
from importlib import resources

import pytest
from grpc_tools import protoc

import deployment as deployments
import processes

# The tests call this machine only, never through a proxy.
os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1"

STUBS = processes.TARGET / "interop" / "stubs"


def pytest_configure():
    """Generates the stubs as a user would, before a test imports them."""
    STUBS.mkdir(parents=True, exist_ok=True)
    proto = processes.ROOT / "proto"
    google = resources.files("grpc_tools") / "_proto"
    files = sorted(str(file) for file in proto.rglob("*.proto"))
    outputs = [f"--python_out={STUBS}", f"--grpc_python_out={STUBS}"]
    if protoc.main(["protoc", f"-I{proto}", f"-I{google}", *outputs, *files]):
        raise pytest.UsageError("protoc rejects proto/")
    sys.path.insert(0, str(STUBS))


def pytest_sessionfinish(session):
    """A skipped test fails the run, unless its reason begins with "left out: "."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = [report.longrepr[2] for report in reporter.stats.get("skipped", [])]
    if any("left out: " not in reason for reason in skipped) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def deployment():
    """One gateway for all tests that need no settings of their own."""
    running = deployments.start()
    yield running
    running.close()


@pytest.fixture
def deploy():
    """Starts a gateway for one test: `deploy(simulator=["--latency", "5s"], settings=["cache.ttl=1h"])`."""
    running = []

    def deploy(**options):
        running.append(deployments.start(**options))
        return running[-1]

    yield deploy
    for each in running:
        each.close()
