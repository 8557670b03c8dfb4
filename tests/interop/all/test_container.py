"""The gateway under the restrictions of a pod (Pod Security `restricted`), with the volumes of the manifests."""

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
from python_client import embed, failure, reason

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="left out: a root file system of its own requires root")

OVERLAYS = ["overlays/dev", "overlays/production"]
KEY_FOLDER = "/run/secrets/voyage"
TOKENS_FOLDER = "/run/secrets/callers"
KEY_FILE = f"{KEY_FOLDER}/api-key"
CONFIG_FOLDER = "/etc/voyage-gateway"

# The test's own settings: free ports, no cluster, no load balancer to wait for.
OWN = [
    *["--set", "server.listen=127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0"],
    *["--set", "reload.interval=100ms", "--set", "drain.delay=0s"],
]
NOWHERE = {
    "VOYAGE_GATEWAY__AUTH__JWT__JWKS_URL": "https://127.0.0.1:1/jwks",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
}


@pytest.fixture(scope="module")
def authority():
    """A root certificate. Any will do: the API server is not called."""
    bundle = Path("/etc/ssl/certs/ca-certificates.crt").read_text()
    return re.search("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", bundle, re.DOTALL)[0]


@pytest.fixture
def pod_of(tmp_path, authority):
    """The pod of an overlay or of components, as rendered: `pod_of("overlays/dev")`."""
    # Pytest's folders are closed to other users.
    for folder in [tmp_path, *tmp_path.parents]:
        if "pytest" in str(folder):
            folder.chmod(0o755)

    def made(overlay, tokens=""):
        cluster = {"kube-root-ca.crt": {"ca.crt": authority}, "token": "a-token"}
        cluster["voyage-api-key"] = cluster["voyage-gateway-simulator"] = {"api-key": "somebodys-key\n"}
        cluster["voyage-gateway-tokens"] = {"tokens": tokens}
        pod = containers.Pod(manifests.kustomize(overlay), tmp_path / "volumes", cluster)
        pod.variables |= {name: value for name, value in NOWHERE.items() if name in pod.variables}
        return pod

    return made


@pytest.fixture
def root(tmp_path):
    """Lays out the root of a pod."""
    return lambda pod: containers.root(tmp_path / "root", pod.volumes)


def simulate(key, port=0):
    return processes.Server(["simulator"], "simulate", "--listen", f"127.0.0.1:{port}", "--api-key", key)


def mounted_key(pod):
    return pod.volumes[KEY_FOLDER].file("api-key").read_text().strip()


def start(pod, root, voyage):
    variables = pod.variables | {"VOYAGE_GATEWAY__UPSTREAM__BASE_URL": deployments.base_url(voyage)}
    command = pod.command(root(pod))
    return processes.Server(["grpc", "admin"], *pod.arguments, *OWN, command=command, **variables)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_it_runs_with_its_volumes_alone(pod_of, root, overlay):
    pod = pod_of(overlay)
    voyage = simulate(mounted_key(pod))
    try:
        server = start(pod, root, voyage)
        running = deployments.Deployment(server, voyage)
        status = dict(re.findall(r"(\w+):[ \t]*(.*)", Path(f"/proc/{server.pid}/status").read_text()))
        assert status["Uid"].split() == status["Gid"].split() == [str(pod.user)] * 4 == ["65532"] * 4
        assert status["Groups"] == ""
        assert {status[f"Cap{kind}"].strip("0") for kind in ("Inh", "Prm", "Eff", "Amb")} == {""}
        assert status["NoNewPrivs"] == "1"
        mounts = [line.split() for line in Path(f"/proc/{server.pid}/mountinfo").read_text().splitlines()]
        assert {mount[4] for mount in mounts} == {"/", *pod.volumes}
        assert {CONFIG_FOLDER, KEY_FOLDER} <= set(pod.volumes)
        assert all("ro" in mount[5].split(",") for mount in mounts)

        assert running.get("/readyz")[0] == 200
        if overlay == "overlays/production":
            # Authentication is required.
            refusal = failure(embed, running.channel, "without a token")
            assert reason(refusal) == ("voyage-gateway", "CREDENTIALS_MISSING")
        else:
            assert embed(running.channel, "with the mounted key").embeddings
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        running.close()
    finally:
        voyage.kill()


def test_it_follows_its_secret(pod_of, root):
    pod = pod_of("overlays/dev")
    voyage = simulate(mounted_key(pod))
    port = voyage.addresses["simulator"].rpartition(":")[2]
    running = deployments.Deployment(start(pod, root, voyage))
    try:
        assert embed(running.channel, "with the first key").embeddings
        # The Secret changes, and then Voyage knows the new key only.
        pod.volumes[KEY_FOLDER].update({"api-key": "second-key\n"})
        voyage.kill()
        voyage = simulate("second-key", port)
        assert embed(running.channel, "with the second key").embeddings
    finally:
        running.close()
        voyage.kill()


def hashed(token):
    made = processes.gateway("hash-token", "--caller", "search", stdin=token)
    assert made.returncode == 0, made.stderr
    return made.stdout


def test_it_follows_its_callers_tokens(pod_of, root):
    first, second = (f"{word}-n3q0Wm1bKcVw0s3a8pJ2yH5uTgXe9LrZ" for word in ("first", "second"))
    pod = pod_of("tokens", hashed(first))
    voyage = simulate(mounted_key(pod))
    running = deployments.Deployment(start(pod, root, voyage))

    def bearer(token):
        return [("authorization", f"Bearer {token}")]

    try:
        assert failure(embed, running.channel, "a text").code() is grpc.StatusCode.UNAUTHENTICATED
        assert embed(running.channel, "a text", metadata=bearer(first)).embeddings
        refusal = failure(embed, running.channel, "a text", metadata=bearer(second))
        assert refusal.code() is grpc.StatusCode.UNAUTHENTICATED

        pod.volumes[TOKENS_FOLDER].update({"tokens": hashed(second)})
        assert running.counted("voyage_gateway_reloads_total", what="auth.tokens_file", outcome="changed")
        assert embed(running.channel, "a text", metadata=bearer(second)).embeddings
        refusal = failure(embed, running.channel, "a text", metadata=bearer(first))
        assert refusal.code() is grpc.StatusCode.UNAUTHENTICATED
    finally:
        running.close()
        voyage.kill()


def refused(pod, root):
    """Runs a start that its files make fail, and returns its error output."""
    done = processes.run(*pod.command(root(pod)), *pod.arguments, **pod.variables)
    assert done.returncode == 2, done.stderr
    return done.stderr


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_missing_secret_is_named(pod_of, root, overlay):
    pod = pod_of(overlay)
    pod.volumes[KEY_FOLDER].update({})
    said = refused(pod, root)
    assert KEY_FILE in said.splitlines()[-1]


def test_an_unreadable_secret_is_named(pod_of, root):
    pod = pod_of("overlays/production")
    os.chown(pod.volumes[KEY_FOLDER].file("api-key"), 0, 0)
    said = refused(pod, root)
    assert KEY_FILE in said.splitlines()[-1] and "ermission denied" in said


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_newer_versions_configuration_is_refused_key_by_key(pod_of, root, overlay):
    pod = pod_of(overlay)
    config = pod.volumes[CONFIG_FOLDER]
    newer = '\n[cache.redis]\nurl = "redis://cache"\n[batch.adaptive]\non = true\n[rerank]\nmax_documents = 5\n'
    config.update({"config.toml": config.file("config.toml").read_text() + newer})
    said = refused(pod, root).splitlines()
    for key in ("cache.redis", "batch.adaptive", "rerank"):
        assert any(line.startswith(f"{key}: ") for line in said), said
