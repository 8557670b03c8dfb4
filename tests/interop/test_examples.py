"""The runnable examples run, and docs/clients.md shows their own lines."""

import re
import subprocess

import pytest

import processes
from test_restarts import CLIENTS, STUBS, program


def test_certificates_quotas_and_a_rotation_under_load():
    done = subprocess.run(
        [processes.ROOT / "examples" / "mtls.sh"],
        capture_output=True,
        encoding="utf-8",
        env=processes.environment(GATEWAY=str(processes.BINARY), GRPCURL=str(processes.GRPCURL)),
        timeout=10 * processes.PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    for word in ("CACHE_STATUS_MISS", "CACHE_STATUS_HIT", "tokens_per_minute = 40", "PermissionDenied", " 0 failed"):
        assert word in said, said
    assert 'reloads_total{outcome="changed",what="tls"} 1' in said, said
    assert said.endswith("== done\n")


TOKEN = "n3q0Wm1bKcVw0s3a8pJ2yH5uTgXe9LrZfD4oQi7BvYk="
EXAMPLES = processes.ROOT / "examples"
PROGRAMS = {
    "go": EXAMPLES / "go/main.go",
    "python": EXAMPLES / "python/embed.py",
    "js": EXAMPLES / "node/embed.mjs",
    "java": EXAMPLES / "java/src/main/java/example/Embed.java",
    "rust": EXAMPLES / "rust/src/main.rs",
}


@pytest.fixture
def guarded(deploy, tmp_path):
    """A gateway that asks for tokens, and the file of one."""
    made = processes.gateway("hash-token", "--caller", "search", stdin=TOKEN)
    (tmp_path / "tokens").write_text(made.stdout)
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    deployment = deploy(settings=["auth.mode=tokens", f"auth.tokens_file={tmp_path / 'tokens'}"])
    return deployment, tmp_path / "token"


@pytest.mark.parametrize("language", sorted(CLIENTS))
def test_an_example_sends_its_credential(guarded, language):
    deployment, token = guarded
    command = [*program(language), f"{'-' if language == 'go' else '--'}gateway", deployment.address]
    variables = {"PYTHONPATH": str(STUBS), "no_proxy": "127.0.0.1"}

    done = processes.run(*command, "one text", "another", VOYAGE_GATEWAY_TOKEN_FILE=str(token), **variables)
    assert done.returncode == 0, done.stderr
    assert [line.split("\t")[:2] for line in done.stdout.splitlines()] == [
        ["one text", "1024 numbers"],
        ["another", "1024 numbers"],
    ]
    done = processes.run(*command, "one text", **variables)
    assert done.returncode == 1 and "authentication required" in done.stderr, done.stderr


@pytest.mark.parametrize("scheme", ["", "dns:///"])
@pytest.mark.parametrize("language", sorted(set(CLIENTS) - {"rust"}))
def test_an_example_finds_the_gateway_by_name(deploy, language, scheme):
    address = scheme + deploy().address.replace("127.0.0.1", "localhost")
    command = [*program(language), f"{'-' if language == 'go' else '--'}gateway", address, "one text"]
    done = processes.run(*command, PYTHONPATH=str(STUBS))
    assert done.returncode == 0 and "1024 numbers" in done.stdout, done.stdout + done.stderr


def test_the_page_shows_lines_of_the_examples():
    page = (processes.ROOT / "docs" / "clients.md").read_text()
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert {language for language, _ in blocks} == set(PROGRAMS)
    for language, block in blocks:
        assert block in PROGRAMS[language].read_text(), block
