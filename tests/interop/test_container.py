"""The gateway under the restrictions of a pod (Pod Security `restricted`), with its files as Kubernetes mounts them."""

import os
import re
import signal
from pathlib import Path

import grpc
import pytest

import containers
import deployment as deployments
import manifests
import processes
from python_client import embed, failure

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a root file system of its own takes root")

CONFIG = """
[server]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[reload]
interval = "100ms"
[drain]
delay = "0s"
[telemetry]
log_format = "json"
"""
ARGUMENTS = ["serve", "--config", "/etc/voyage-gateway/config.toml"]
KEY_FILE = "/run/secrets/voyage/api-key"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return containers.root(tmp_path_factory.mktemp("container") / "root")


@pytest.fixture
def pod(root, tmp_path):
    """The command that runs the binary with the volumes, and the last Secret's: `pod(CONFIG, api_key="a")`."""

    # The tests' own folder lets nobody else in.
    for folder in [root, *root.parents, *tmp_path.parents, tmp_path]:
        if "pytest" in str(folder):
            folder.chmod(0o755)

    def pod(config, tokens=None, **secret):
        volumes = {
            containers.CONFIG: containers.Volume(tmp_path / "config", config=config),
            containers.SECRET: containers.Volume(tmp_path / "secret", **secret),
        }
        if tokens:
            volumes[containers.TOKENS] = containers.Volume(tmp_path / "tokens", tokens=tokens)
        changing = containers.TOKENS if tokens else containers.SECRET
        return containers.command(root, volumes), volumes[changing]

    return pod


def simulate(key, port=0):
    return processes.Server(["simulator"], "simulate", "--listen", f"127.0.0.1:{port}", "--api-key", key)


def test_it_runs_with_nothing_but_its_files(pod):
    command, secret = pod(CONFIG, api_key="first-key\n")
    voyage = simulate("first-key")
    port = voyage.addresses["simulator"].rpartition(":")[2]
    variables = {
        "VOYAGE_API_KEY_FILE": KEY_FILE,
        "VOYAGE_GATEWAY__UPSTREAM__BASE_URL": deployments.base_url(voyage),
    }
    server = processes.Server(["grpc", "admin"], *ARGUMENTS, command=command, **variables)
    running = deployments.Deployment(server)
    try:
        status = dict(re.findall(r"(\w+):[ \t]*(.*)", Path(f"/proc/{server.pid}/status").read_text()))
        assert status["Uid"].split() == status["Gid"].split() == [str(containers.UID)] * 4
        assert status["Groups"] == ""
        assert {status[f"Cap{kind}"].strip("0") for kind in ("Inh", "Prm", "Eff", "Amb")} == {""}
        assert status["NoNewPrivs"] == "1"
        mounts = [line.split() for line in Path(f"/proc/{server.pid}/mountinfo").read_text().splitlines()]
        assert {mount[4] for mount in mounts} == {"/", containers.CONFIG, containers.SECRET}
        assert all("ro" in mount[5].split(",") for mount in mounts)

        assert running.get("/readyz")[0] == 200
        assert embed(running.channel, "with the first key").embeddings

        # The Secret changes, and then Voyage knows the new key only.
        secret.update(api_key="second-key\n")
        voyage.kill()
        voyage = simulate("second-key", port)
        assert embed(running.channel, "with the second key").embeddings

        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    finally:
        running.close()
        voyage.kill()


def hashed(token):
    made = processes.gateway("hash-token", "--caller", "search", stdin=token)
    assert made.returncode == 0, made.stderr
    return made.stdout


def test_callers_tokens_are_followed(pod):
    """The Secret of the component tokens-auth, as the kubelet mounts and changes it."""
    component = manifests.environment(manifests.find(manifests.kustomize("tokens"), "Deployment"))
    first, second = (f"{word}-n3q0Wm1bKcVw0s3a8pJ2yH5uTgXe9LrZ" for word in ("first", "second"))
    command, secret = pod(CONFIG, tokens=hashed(first), api_key="key")
    voyage = simulate("key")
    variables = {key: value for key, value in component.items() if "AUTH" in key} | {
        "VOYAGE_API_KEY_FILE": KEY_FILE,
        "VOYAGE_GATEWAY__UPSTREAM__BASE_URL": deployments.base_url(voyage),
    }
    running = deployments.Deployment(processes.Server(["grpc", "admin"], *ARGUMENTS, command=command, **variables))

    def bearer(token):
        return [("authorization", f"Bearer {token}")]

    try:
        assert failure(embed, running.channel, "a text").code() is grpc.StatusCode.UNAUTHENTICATED
        assert embed(running.channel, "a text", metadata=bearer(first)).embeddings
        refused = failure(embed, running.channel, "a text", metadata=bearer(second))
        assert refused.code() is grpc.StatusCode.UNAUTHENTICATED

        secret.update(tokens=hashed(second))
        while not running.metric("voyage_gateway_reloads_total", what="auth.tokens_file", outcome="changed"):
            pass
        assert embed(running.channel, "a text", metadata=bearer(second)).embeddings
        refused = failure(embed, running.channel, "a text", metadata=bearer(first))
        assert refused.code() is grpc.StatusCode.UNAUTHENTICATED
    finally:
        running.close()
        voyage.kill()


def refused(command, **variables):
    """Runs a start that must fail for what its files say, and returns what it said."""
    done = processes.run(*command, *ARGUMENTS, **variables)
    assert done.returncode == 2, done.stderr
    return done.stderr


def test_a_missing_secret_is_named(pod):
    command, _ = pod(CONFIG)
    said = refused(command, VOYAGE_API_KEY_FILE=KEY_FILE)
    assert KEY_FILE in said.splitlines()[-1]


def test_a_secret_for_others_is_named(pod):
    command, secret = pod(CONFIG, api_key="key")
    for file in secret.path.glob("..2026*/api-key"):
        os.chown(file, 0, 0)
    said = refused(command, VOYAGE_API_KEY_FILE=KEY_FILE)
    assert KEY_FILE in said.splitlines()[-1] and "ermission denied" in said


def test_a_newer_versions_configuration_is_refused_key_by_key(pod):
    newer = CONFIG + '[cache.redis]\nurl = "redis://cache"\n[batch]\nadaptive = true\n[rerank]\nmax_documents = 5\n'
    command, _ = pod(newer, api_key="key")
    said = refused(command, VOYAGE_API_KEY_FILE=KEY_FILE).splitlines()
    for key in ("cache.redis", "batch.adaptive", "rerank"):
        assert any(line.startswith(f"{key}: ") for line in said), said
