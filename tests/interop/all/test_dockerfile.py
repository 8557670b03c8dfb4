"""deploy/Dockerfile without a builder: hadolint, and whether the build context is complete. `make image` builds it."""

import re
import shutil
import sys
from pathlib import Path

import pytest

import processes

DOCKERFILE = processes.ROOT / "deploy" / "Dockerfile"


def test_hadolint_finds_nothing():
    hadolint = Path(sys.executable).with_name("hadolint")
    done = processes.run(hadolint, "--failure-threshold", "style", DOCKERFILE)
    assert (done.returncode, done.stdout) == (0, "")


def test_hadolint_finds_a_mistake(tmp_path):
    wrong = tmp_path / "Dockerfile"
    wrong.write_text(DOCKERFILE.read_text() + "RUN cd /tmp && sudo true\n")
    done = processes.run(Path(sys.executable).with_name("hadolint"), wrong)
    assert done.returncode == 1 and "DL3004" in done.stdout


@pytest.mark.parametrize(
    ("image", "revision", "taken"),
    [
        ("docker.io/library/rust:1.95-alpine", "unknown", True),
        ("docker.io/library/rust:1.95-alpine", "0123abcd", False),
        ("docker.io/library/rust:1.95-alpine@sha256:" + 64 * "a", "0123abcd", True),
    ],
)
def test_a_release_is_compiled_by_a_digest(image, revision, taken):
    [check] = re.findall(r"^RUN (case .*?esac)$", DOCKERFILE.read_text(), re.MULTILINE | re.DOTALL)
    done = processes.run("sh", "-c", check.replace("\\\n", ""), RUST_IMAGE=image, REVISION=revision)
    assert (done.returncode == 0) is taken
    assert taken or (image in done.stderr and "digest" in done.stderr)


def test_the_pages_build_releases_by_digest():
    [image] = re.findall(r"^ARG RUST_IMAGE=(.+)$", DOCKERFILE.read_text(), re.MULTILINE)
    pages = [DOCKERFILE, processes.ROOT / "README.md", *(processes.ROOT / "docs").glob("*.md")]
    commands = re.findall(
        r"docker(?: buildx)? build (?:.*\\\n)*.*", "\n".join(page.read_text() for page in pages)
    )
    releases = [command for command in commands if "REVISION=" in command]
    assert len(releases) == 2
    assert [command for command in releases if f"RUST_IMAGE={image}@sha256:" not in command] == []


def test_the_build_context_is_complete(tmp_path):
    let_in = [line[1:] for line in (processes.ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert "src" in let_in
    for name in let_in:
        source, copy = processes.ROOT / name, tmp_path / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy)
        elif not name.startswith("target"):
            shutil.copy(source, copy)
    # It reads the manifest, and looks for every target that is named there.
    done = processes.run("cargo", "metadata", "--no-deps", "--offline", "--format-version=1", "--manifest-path", tmp_path / "Cargo.toml")
    assert done.returncode == 0, done.stderr
    # Other files that the code includes.
    for file in [*(tmp_path / "src").rglob("*.rs"), tmp_path / "build.rs"]:
        if "tests" in file.parts or file.name == "tests.rs":
            continue
        for path in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', file.read_text()):
            assert (file.parent / path).exists(), f"{file}: {path}"


def test_its_versions_are_those_of_the_project():
    text = DOCKERFILE.read_text()
    [version] = re.findall(r'^version = "(.+)"', (processes.ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    assert f"ARG VERSION={version}\n" in text
    assert f"voyage-gateway:{version}\n" in (processes.ROOT / "deploy" / "compose.yaml").read_text()
    setup = (processes.ROOT / "tests" / "interop" / "setup.sh").read_text()
    for tool in ("AUDITABLE", "CYCLONEDX"):
        [pinned] = re.findall(rf"^ARG CARGO_{tool}=(.+)$", text, re.MULTILINE)
        assert f"cargo-{tool.lower()}@{pinned}" in setup
    # Its Rust is new enough.
    [rust] = re.findall(r"^ARG RUST_IMAGE=\S+/rust:(\d+\.\d+)", text, re.MULTILINE)
    [needed] = re.findall(r'^rust-version = "(.+)"', (processes.ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    assert [int(part) for part in rust.split(".")] >= [int(part) for part in needed.split(".")]
