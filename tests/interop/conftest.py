"""Fixtures, and the Python stubs of `proto/`."""

import os
import sys
from importlib import resources

import pytest
from grpc_tools import protoc

import deployment as deployments
import processes

# A proxy between a test and its own machine would only break it.
os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1"

STUBS = processes.TARGET / "interop" / "stubs"


def pytest_configure():
    """Generates the stubs as a user would, before any test imports them."""
    STUBS.mkdir(parents=True, exist_ok=True)
    proto = processes.ROOT / "proto"
    google = resources.files("grpc_tools") / "_proto"
    files = sorted(str(file) for file in proto.rglob("*.proto"))
    outputs = [f"--python_out={STUBS}", f"--grpc_python_out={STUBS}"]
    if protoc.main(["protoc", f"-I{proto}", f"-I{google}", *outputs, *files]):
        raise pytest.UsageError("protoc refuses proto/")
    sys.path.insert(0, str(STUBS))


@pytest.fixture(scope="session")
def deployment():
    """One gateway for all tests that ask nothing special of it."""
    running = deployments.start()
    yield running
    running.close()


@pytest.fixture
def deploy():
    """Starts one of its own: `deploy(simulator=["--latency", "5s"], settings=["cache.ttl=1h"])`."""
    running = []

    def deploy(**options):
        running.append(deployments.start(**options))
        return running[-1]

    yield deploy
    for each in running:
        each.close()
