"""The image that `make image` has built: what is in it, and who runs it. Not among the tests of `make test`."""

import json
import re
import tarfile

import pytest

import processes

IMAGE = processes.TARGET / "image"
BINARY = IMAGE / "root" / "voyage-gateway"
MOST_BYTES = 40_000_000


@pytest.fixture(scope="module")
def archive():
    with tarfile.open(IMAGE / "voyage-gateway.tar") as opened:
        yield opened


def blob(archive, descriptor):
    return archive.extractfile("blobs/" + descriptor["digest"].replace(":", "/"))


@pytest.fixture(scope="module")
def manifest(archive):
    [descriptor] = json.load(archive.extractfile("index.json"))["manifests"]
    return json.load(blob(archive, descriptor))


@pytest.fixture(scope="module")
def config(archive, manifest):
    return json.load(blob(archive, manifest["config"]))["config"]


def test_who_runs_what(config):
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["/voyage-gateway"] and config["Cmd"] == ["serve"]
    assert set(config["ExposedPorts"]) == {"50051/tcp", "9090/tcp"}
    labels = config["Labels"]
    assert re.fullmatch("[0-9a-f]{40}", labels["org.opencontainers.image.revision"])
    assert labels["org.opencontainers.image.version"] in processes.run(BINARY, "--version").stdout


def test_there_is_the_binary_its_roots_and_papers_and_nothing_else(archive, manifest):
    entries = {}
    for layer in manifest["layers"]:
        with tarfile.open(fileobj=blob(archive, layer)) as files:
            entries |= {entry.name.strip("/"): entry for entry in files if not entry.isdir()}
    assert sorted(entries) == [
        "etc/ssl/certs/ca-certificates.crt",
        "usr/share/voyage-gateway/LICENSE",
        "usr/share/voyage-gateway/sbom.cdx.json",
        "voyage-gateway",
    ]
    # Nobody can change any of it, and only one can be run.
    assert {(entry.uid, entry.gid) for entry in entries.values()} == {(0, 0)}
    assert [name for name, entry in entries.items() if entry.mode & 0o111] == ["voyage-gateway"]
    assert not [name for name, entry in entries.items() if entry.mode & 0o7222]
    size = entries["voyage-gateway"].size + entries["etc/ssl/certs/ca-certificates.crt"].size
    print(f"\nbinary {entries['voyage-gateway'].size / 1e6:.1f} MB, with roots {size / 1e6:.1f} MB")
    assert size <= MOST_BYTES


def test_the_binary_is_static(config):
    assert "NEEDED" not in processes.run("readelf", "--dynamic", BINARY).stdout
    assert "INTERP" not in processes.run("readelf", "--program-headers", "--wide", BINARY).stdout


def test_what_it_is_made_of_can_be_told():
    sbom = json.loads((IMAGE / "root" / "usr/share/voyage-gateway/sbom.cdx.json").read_text())
    assert sbom["bomFormat"] == "CycloneDX" and sbom["metadata"]["component"]["name"] == "voyage-gateway"
    assert str(processes.ROOT) not in json.dumps(sbom)
    names = {component["name"] for component in sbom["components"]}
    assert {"tonic", "rustls", "aws-lc-sys", "mimalloc"} <= names
    # Neither what compiles nor what tests.
    assert not {"protox", "proptest"} & names
    # What scanners read when they have only the binary (cargo auditable).
    assert ".dep-v0" in processes.run("readelf", "--sections", "--wide", BINARY).stdout
