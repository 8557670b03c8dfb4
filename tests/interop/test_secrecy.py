"""Texts, vectors, keys and tokens appear in no log line, page, metric or error, at any log level."""

import base64
import json
import signal

import grpc
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

import certificates
from processes import eventually
from python_client import embed, failure, reason

TEXT = "a very private text"
KEY = "test-key"

# The pages of the admin port.
PAGES = ["/metrics", "/livez", "/readyz", "/", "/status"]

TRACE = "telemetry.log_filter=trace,h2=trace"


def parsed(line):
    """Parses a line as an object without duplicate fields."""

    def once(pairs):
        fields = dict(pairs)
        assert len(fields) == len(pairs), line
        return fields

    event = json.loads(line, object_pairs_hook=once)
    assert isinstance(event, dict), line
    return event


def pages(watched):
    """Returns the pages of the admin port by name."""
    return {page: watched.get(page)[1] for page in PAGES}


def scan(watched, secrets, *, pages, errors=(), exported=()):
    """Ends the gateway with SIGTERM, and searches its log and other output for secrets.

    `pages`: by name; `exported`: texts that other programs received. Returns the log's events.
    """
    watched.server.signal(signal.SIGTERM)
    assert watched.server.wait() == 0
    reported = {f"log, line {number}": line for number, line in enumerate(watched.server.log, 1)}
    reported |= pages
    reported |= {f"error {n}": f"{error} {error.trailing_metadata()}" for n, error in enumerate(errors, 1)}
    reported |= {f"export {number}": text for number, text in enumerate(exported, 1)}
    # Lines of libraries may have no message.
    events = [{"message": "", **parsed(line)} for line in watched.server.log]
    assert any(event["level"] == "TRACE" for event in events), "the log is at the level TRACE"
    for name, secret in secrets.items():
        assert len(secret) >= 6, name
        for where, what in reported.items():
            assert secret not in what, f"{name} is in {where}"
    return events


def numbers(reply):
    """Returns a number of each vector, formatted."""
    return {f"vector {e.index}": f"{max(e.values):.6}" for e in reply.embeddings}


def reloaded(watched, what, count):
    """Waits until that many changed files of a setting are loaded."""
    series = "voyage_gateway_reloads_total"
    eventually(lambda: watched.metric(series, what=what, outcome="changed") >= count, f"{count} reloads of {what}")


@pytest.mark.parametrize("fault", ["400", "bad-json", "too-long", "hang"])
def test_texts_and_keys_are_in_no_log_and_no_error(deploy, fault):
    settings = [TRACE, "retry.max_attempts=1", "server.default_deadline=2s"]
    watched = deploy(simulator=["--fault", f"{fault}@2"], settings=settings)
    [embedding] = embed(watched.channel, TEXT).embeddings
    # Without a deadline of its own, a call that hangs ends by the gateway's clock.
    error = failure(embed, watched.channel, f"{TEXT} too", timeout=None)
    failure(embed, watched.channel, TEXT, "")

    watched.server.logged("rpc failed", 2)
    watched.server.kill()
    reported = "\n".join([*watched.server.log, str(error.details()), str(error.trailing_metadata())])
    for secret in (TEXT, KEY, f"{max(embedding.values):.6}"):
        assert secret not in reported


def test_keys_of_a_pool_appear_nowhere(deploy, tmp_path):
    keys = {"good": "pa-canary-good", "bad": "pa-canary-bad", "next": "pa-canary-next"}
    files = {alias: tmp_path / alias for alias in ("good", "bad")}
    for alias, file in files.items():
        file.write_text(keys[alias])
    pool = ", ".join(f'{{alias="{alias}", file="{file}"}}' for alias, file in files.items())
    settings = [f"upstream.keys=[{pool}]", "reload.interval=100ms", TRACE]
    accepted = ["--api-key", keys["good"], "--api-key", keys["next"]]
    watched = deploy(simulator=[*accepted, "--fault", "400@4"], settings=settings)

    # One key is rejected and the other serves, before and after its file has changed.
    embed(watched.channel, TEXT)
    embed(watched.channel, TEXT, "more")
    files["good"].write_text(keys["next"] + "\n")
    reloaded(watched, "upstream.keys", 1)
    error = failure(embed, watched.channel, "other words")
    embed(watched.channel, "other words")
    assert watched.metric("voyage_gateway_upstream_key_rejected", key="bad") == 1
    assert watched.metric("voyage_gateway_upstream_key_rejected", key="good") == 0
    metrics = watched.get("/metrics")[1]

    watched.server.logged("Voyage rejects the API key")
    watched.server.kill()
    reported = "\n".join([*watched.server.log, str(error.details()), str(error.trailing_metadata()), metrics])
    assert "canary" not in reported


def test_metrics_name_neither_text_nor_model_of_a_caller(deployment):
    failure(embed, deployment.channel, TEXT, model="a-model-of-my-own")
    status, metrics = deployment.get("/metrics")
    assert status == 200
    assert TEXT not in metrics and "a-model-of-my-own" not in metrics


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Signs tokens with an RSA key."""

    def __init__(self, kid):
        self.kid, self._key = kid, rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def jwks(self):
        modulus = self._key.public_key().public_numbers().n.to_bytes(256)
        key = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": self.kid, "e": "AQAB"}
        return json.dumps({"keys": [key | {"n": base64url(modulus)}]})

    def token(self, **claims):
        claims = {"iss": "https://issuer.example", "aud": "gateway", "iat": 1, "exp": 4102444800} | claims
        parts = [{"alg": "RS256", "typ": "JWT", "kid": self.kid}, claims]
        signed = ".".join(base64url(json.dumps(part).encode()) for part in parts)
        return f"{signed}.{base64url(self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def test_signed_tokens_appear_nowhere(deploy, tmp_path):
    first, second = (Issuer(kid) for kid in ("first", "second"))
    jwks = tmp_path / "jwks.json"
    jwks.write_text(first.jwks())
    settings = ["auth.mode=jwt", "auth.jwt.issuer=https://issuer.example", "auth.jwt.audience=gateway"]
    watched = deploy(settings=[*settings, f"auth.jwt.jwks_file={jwks}", "reload.interval=30s", TRACE])
    tokens = {
        "good": first.token(sub="search", jti="a-canary-claim"),
        "expired": first.token(sub="search", exp=1_000_000_000),
        "foreign": first.token(sub="search", aud="another"),
        "unknown": second.token(sub="search"),
    }
    tokens["forged"] = tokens["good"][:-20] + tokens["expired"][-20:]

    def embed_as(name, text, scheme="Bearer"):
        return embed(watched.channel, text, metadata=[("authorization", f"{scheme} {tokens[name]}")])

    reply = embed_as("good", TEXT)
    refused = [failure(embed_as, name, TEXT) for name in ("expired", "foreign", "unknown", "forged")]
    refused.append(failure(embed_as, "good", TEXT, "Basic"))
    assert {error.code() for error in refused} == {grpc.StatusCode.UNAUTHENTICATED}
    errors = [*refused, failure(embed_as, "good", "")]
    seen = pages(watched)
    # The keys change, and the gateway reloads its files.
    jwks.write_text(second.jwks())
    watched.server.signal(signal.SIGHUP)
    reloaded(watched, "auth.jwt.jwks_file", 1)
    assert len(embed_as("unknown", TEXT).embeddings) == 1
    errors.append(failure(embed_as, "good", TEXT))
    seen |= {f"later {page}": text for page, text in pages(watched).items()}

    secrets = {"text": TEXT, "key": KEY, "claim": "a-canary-claim", **numbers(reply)}
    for name, token in tokens.items():
        head, claims, signature = token.split(".")
        # No part of a token either. The claims of two tokens may share a prefix, so compare their ends.
        secrets |= {f"{name} claims": claims[-40:], f"{name} signature": signature[:40], f"{name} head": head}
    events = scan(watched, secrets, pages=seen, errors=errors)
    why = [event["why"] for event in events if "why" in event]
    assert len(why) == len(errors) - 1 and {"expired", "wrong_audience", "unknown_key"} <= set(why), why


def test_certificates_and_their_keys_appear_nowhere(deploy, tmp_path):
    authority = certificates.Authority()
    ca, server, client = authority.pem, authority.sign("localhost", "127.0.0.1"), authority.sign("search.example")
    for name, content in (("key", server[0]), ("cert", server[1]), ("ca", ca)):
        (tmp_path / name).write_bytes(content)
    files = [f"tls.{key}={tmp_path / name}" for key, name in (("key", "key"), ("cert", "cert"), ("client_ca", "ca"))]
    watched = deploy(settings=["auth.mode=mtls", *files, "reload.interval=30s", TRACE])

    def embed_with(pair, *texts, **fields):
        credentials = grpc.ssl_channel_credentials(ca, *(pair or (None, None)))
        with grpc.secure_channel(watched.address.replace("127.0.0.1", "localhost"), credentials) as channel:
            return embed(channel, *texts, **fields)

    reply = embed_with(client, TEXT)
    errors = [failure(embed_with, client, TEXT, ""), failure(embed_with, None, TEXT)]
    seen = pages(watched)
    renewed = authority.sign("localhost", "127.0.0.1")
    # First the key alone, which does not match the certificate.
    (tmp_path / "key").write_bytes(renewed[0])
    watched.server.signal(signal.SIGHUP)
    (tmp_path / "cert").write_bytes(renewed[1])

    def loaded():
        watched.server.signal(signal.SIGHUP)
        return watched.metric("voyage_gateway_reloads_total", what="tls", outcome="changed")

    eventually(loaded, "the new certificate")
    assert len(embed_with(client, TEXT).embeddings) == 1
    seen |= {f"later {page}": text for page, text in pages(watched).items()}

    secrets = {"text": TEXT, "key": KEY, **numbers(reply)}
    pems = {"ca": ca, "server key": server[0], "server": server[1], "client key": client[0], "client": client[1]}
    for name, pem in (pems | {"renewed key": renewed[0], "renewed": renewed[1]}).items():
        lines = pem.decode().splitlines()[1:-1]
        secrets |= {f"{name}, line {number}": line for number, line in enumerate(lines) if len(line) > 20}
    events = scan(watched, secrets, pages=seen, errors=errors)
    assert any(event.get("caller") == "search.example" for event in events if event["message"] == "rpc failed")


def test_each_log_line_is_an_object_for_any_input(deploy):
    hostile = ['{"level":"ERROR"}', 'a"b\\c', "a b\tc", "~" * 300, "%0a%0d\\n", "x\\u0000"]
    watched = deploy(settings=[TRACE])
    for value in hostile:
        names = ("x-request-id", "traceparent", "tracestate", "user-agent-too", "authorization")
        metadata = [(name, value.replace("\t", " ")) for name in names] + [("canary-bin", b"\x00\xff\n\x1b{")]
        error = failure(embed, watched.channel, "", metadata=metadata)
        assert reason(error)[0] == "voyage-gateway"
    events = scan(watched, {}, pages={})
    failed = [event for event in events if event["message"] == "rpc failed"]
    assert [(event["level"], event["blame"]) for event in failed] == [("INFO", "caller")] * len(hostile)
    for event in failed:
        assert len(event["trace_id"]) == 32 and len(event["span_id"]) == 16
        int(event["trace_id"] + event["span_id"], 16)
        assert event["request_id"].isascii() and event["request_id"].isprintable()
        assert event["timestamp"].endswith("Z")
