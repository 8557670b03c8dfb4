"""Tokens made as in `docs/callers.md`, sent by a real client. No output contains one."""

import json

import grpc
import pytest

from processes import gateway
from python_client import embed, failure, reason

TOKEN = "n3q0Wm1bKcVw0s3a8pJ2yH5uTgXe9LrZfD4oQi7BvYk="
WRONG = "q1W2e3R4t5Y6u7I8o9P0a1S2d3F4g5H6j7K8l9Z0x1c="


@pytest.fixture
def tokens(tmp_path):
    made = gateway("hash-token", "--caller", "search", stdin=f"{TOKEN}\n")
    assert (made.returncode, made.stderr) == (0, "")
    file = tmp_path / "tokens"
    file.write_text(f"# callers\n{made.stdout}")
    return file


def test_a_token_authenticates_its_caller_and_appears_nowhere(deploy, tokens):
    settings = ["auth.mode=tokens", f"auth.tokens_file={tokens}", "telemetry.log_filter=trace,h2=trace"]
    watched = deploy(settings=settings)

    def embed_as(*authorizations):
        return embed(watched.channel, "a text", metadata=[("authorization", value) for value in authorizations])

    assert len(embed_as(f"Bearer {TOKEN}").embeddings) == 1
    assert watched.counted("voyage_gateway_tokens_total", billed_to="search") > 0
    errors = [
        failure(embed_as),
        failure(embed_as, f"Bearer {WRONG}"),
        failure(embed_as, f"Basic {WRONG}"),
        failure(embed_as, f"Bearer {TOKEN}", f"Bearer {TOKEN}"),
    ]
    assert {error.code() for error in errors} == {grpc.StatusCode.UNAUTHENTICATED}
    reasons = ["CREDENTIALS_MISSING"] + ["CREDENTIALS_INVALID"] * 3
    assert [reason(error) for error in errors] == [("voyage-gateway", name) for name in reasons]
    metrics = watched.get("/metrics")[1]

    watched.server.logged('"why"', 3)
    log = [json.loads(line) for line in watched.server.log]
    assert [event["why"] for event in log if "why" in event] == ["unknown_token", "malformed", "malformed"]
    reported = "\n".join([*watched.server.log, metrics, *(str(error) for error in errors)])
    assert TOKEN not in reported and WRONG not in reported


def test_an_invalid_token_file_stops_the_start(tokens):
    tokens.write_text("# callers\n\nsearch canary\n")
    settings = ["--set", "auth.mode=tokens", "--set", f"auth.tokens_file={tokens}"]
    done = gateway("serve", *settings, "--set", "server.listen=127.0.0.1:0", VOYAGE_API_KEY="key")
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert f"auth.tokens_file: {tokens}: line 3: " in last and "canary" not in done.stderr
    # Only serving needs the file.
    assert gateway("check-config", *settings).returncode == 0


def test_an_incomplete_mode_is_invalid(tokens):
    for settings, key in (
        (["auth.mode=tokens"], "auth.tokens_file"),
        ([f"auth.tokens_file={tokens}"], "auth.mode"),
        (["auth.mode=jwt", "auth.jwt.issuer=https://issuer.example"], "auth.jwt.audience"),
    ):
        arguments = [word for setting in settings for word in ("--set", setting)]
        done = gateway("check-config", *arguments)
        assert done.returncode == 2
        assert any(line.startswith(f"{key}: ") for line in done.stderr.splitlines()), done.stderr
