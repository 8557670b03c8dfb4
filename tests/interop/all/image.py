"""The image that `make image` has built: its content, its user, its size. Run by `make image` only."""

import json
import platform
import re
import shutil
import tarfile
import zlib

import pytest

import containers
import processes

BINARY = containers.IMAGE / "root" / "voyage-gateway"
MOST_BYTES = 40_000_000


@pytest.fixture(scope="module")
def archive():
    with tarfile.open(containers.IMAGE / "voyage-gateway.tar") as opened:
        yield opened


def blob(archive, descriptor):
    return archive.extractfile("blobs/" + descriptor["digest"].replace(":", "/"))


@pytest.fixture(scope="module")
def manifest(archive):
    [descriptor] = json.load(archive.extractfile("index.json"))["manifests"]
    return json.load(blob(archive, descriptor))


@pytest.fixture(scope="module")
def described(archive, manifest):
    return json.load(blob(archive, manifest["config"]))


@pytest.fixture(scope="module")
def config(described):
    return described["config"]


@pytest.fixture(scope="module")
def sbom():
    return json.loads((containers.IMAGE / "root" / "usr/share/voyage-gateway/sbom.cdx.json").read_text())


def test_it_is_for_the_requested_architecture(described):
    assert (described["os"], described["architecture"]) == ("linux", containers.ARCH)
    [machine] = re.findall(r"Machine:\s+(.*)", processes.run("readelf", "--file-header", BINARY).stdout)
    assert machine == {"amd64": "Advanced Micro Devices X86-64", "arm64": "AArch64"}[containers.ARCH]


def test_it_runs_the_binary_as_an_unprivileged_user(config):
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["/voyage-gateway"] and config["Cmd"] == ["serve"]
    assert set(config["ExposedPorts"]) == {"50051/tcp", "9090/tcp"}
    labels = config["Labels"]
    assert re.fullmatch("[0-9a-f]{40}", labels["org.opencontainers.image.revision"])
    assert labels["org.opencontainers.image.version"] in processes.run(*containers.EMULATOR, BINARY, "--version").stdout


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
    # No file is writable, and only one is executable.
    assert {(entry.uid, entry.gid) for entry in entries.values()} == {(0, 0)}
    assert [name for name, entry in entries.items() if entry.mode & 0o111] == ["voyage-gateway"]
    assert not [name for name, entry in entries.items() if entry.mode & 0o7222]
    size = entries["voyage-gateway"].size + entries["etc/ssl/certs/ca-certificates.crt"].size
    print(f"\nbinary {entries['voyage-gateway'].size / 1e6:.1f} MB, with roots {size / 1e6:.1f} MB")
    assert size <= MOST_BYTES


def test_the_binary_is_static(config):
    assert "NEEDED" not in processes.run("readelf", "--dynamic", BINARY).stdout
    assert "INTERP" not in processes.run("readelf", "--program-headers", "--wide", BINARY).stdout


# A fake compiler.
CARGO = """#!/bin/sh
case $1 in
    auditable) mkdir -p "target/$6/release" && echo binary >"target/$6/release/voyage-gateway" ;;
    cyclonedx) echo "file://$PWD/src" >sbom.cdx.json ;;
esac
"""


def test_busybox_is_enough_to_put_it_together(tmp_path):
    """The Dockerfile compiles on Alpine, which has no other shell and tools."""
    tools, out = tmp_path / "bin", tmp_path / "out"
    tools.mkdir()
    busybox = shutil.which("busybox")
    assert processes.run(busybox, "--install", "-s", tools).returncode == 0
    (tools / "cargo").write_text(CARGO)
    (tools / "cargo").chmod(0o755)
    (tmp_path / "deploy").mkdir()
    script = shutil.copy(processes.ROOT / "deploy" / "image.sh", tmp_path / "deploy")
    shutil.copy(processes.ROOT / "LICENSE", tmp_path)
    target = f"{platform.machine()}-unknown-linux-musl"
    done = processes.run(busybox, "sh", script, "files", target, out, PATH=str(tools))
    assert (done.returncode, done.stderr) == (0, "")
    made = {str(file.relative_to(out)): oct(file.stat().st_mode & 0o7777) for file in out.rglob("*") if file.is_file()}
    assert made == {
        "etc/ssl/certs/ca-certificates.crt": "0o444",
        "usr/share/voyage-gateway/LICENSE": "0o444",
        "usr/share/voyage-gateway/sbom.cdx.json": "0o444",
        "voyage-gateway": "0o555",
    }
    assert (out / "usr/share/voyage-gateway/sbom.cdx.json").read_text() == "file:///src/src\n"


def test_the_sbom_lists_its_content(sbom):
    assert sbom["bomFormat"] == "CycloneDX" and sbom["metadata"]["component"]["name"] == "voyage-gateway"
    assert str(processes.ROOT) not in json.dumps(sbom)
    names = {component["name"] for component in sbom["components"]}
    assert {"tonic", "rustls", "aws-lc-sys", "mimalloc"} <= names
    # No build dependencies and no test dependencies.
    assert not {"protox", "proptest"} & names


def test_scanners_read_the_same_from_the_binary_alone(sbom):
    """The section of cargo auditable: compressed JSON, which `cargo audit bin`, Trivy and others read."""
    sections = processes.run("readelf", "--sections", "--wide", BINARY).stdout
    [(start, size)] = re.findall(r"\.dep-v0 +\w+ +[0-9a-f]+ ([0-9a-f]+) ([0-9a-f]+)", sections)
    with BINARY.open("rb") as file:
        file.seek(int(start, 16))
        packages = json.loads(zlib.decompress(file.read(int(size, 16))))["packages"]
    of_kind = {kind: {named(each) for each in packages if each.get("kind", "runtime") == kind} for kind in ["runtime", "build"]}
    # Dependencies of macros have the kind `build`, and are in the SBOM too.
    reported = {named(each) for each in [sbom["metadata"]["component"], *sbom["components"]]}
    assert of_kind["runtime"] <= reported <= of_kind["runtime"] | of_kind["build"]


def named(package):
    return package["name"], package["version"]
