"""The example client in Python. `make test-all` runs the same tests with the other languages."""

import pytest

import examples
import processes

TOKEN = "n3q0Wm1bKcVw0s3a8pJ2yH5uTgXe9LrZfD4oQi7BvYk="
TWO_VECTORS = [["one text", "1024 numbers"], ["another", "1024 numbers"]]


@pytest.fixture(params=["python"])
def language(request):
    return request.param


@pytest.fixture
def guarded(deploy, tmp_path):
    """A gateway that requires a token, and the file of one."""
    made = processes.gateway("hash-token", "--caller", "search", stdin=TOKEN)
    (tmp_path / "tokens").write_text(made.stdout)
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    deployment = deploy(settings=["auth.mode=tokens", f"auth.tokens_file={tmp_path / 'tokens'}"])
    return deployment, tmp_path / "token"


def printed(done):
    """Returns the text and the length of the vector of each line."""
    assert done.returncode == 0, done.stderr
    return [line.split("\t")[:2] for line in done.stdout.splitlines()]


def test_an_example_embeds(deployment, language):
    assert printed(examples.embed(language, deployment.address, "one text", "another")) == TWO_VECTORS


def test_an_example_prints_an_error(deployment, language):
    done = examples.embed(language, deployment.address, "")
    assert done.returncode == 1 and "inputs[0]" in done.stderr, done.stderr


def test_an_example_sends_its_credential(guarded, language):
    deployment, token = guarded
    done = examples.embed(language, deployment.address, "one text", "another", VOYAGE_GATEWAY_TOKEN_FILE=str(token))
    assert printed(done) == TWO_VECTORS
    done = examples.embed(language, deployment.address, "one text")
    assert done.returncode == 1 and "authentication required" in done.stderr, done.stderr


@pytest.mark.parametrize("scheme", ["", "dns:///"])
def test_an_example_resolves_a_name(deploy, language, scheme):
    resolves_a_name(deploy, language, scheme)


def resolves_a_name(deploy, language, scheme):
    address = scheme + deploy().address.replace("127.0.0.1", "localhost")
    assert printed(examples.embed(language, address, "one text", "another")) == TWO_VECTORS
