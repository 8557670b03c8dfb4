"""The commands of `docs/troubleshooting.md` print the output that the page shows."""

import json
import re
import subprocess
from pathlib import Path

import grpc
import pytest

from processes import BINARY, GRPCURL, PATIENCE, ROOT, environment, gateway
from python_client import embed, failure

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
DEBUG = "telemetry.log_filter=info,voyage_gateway=debug"
TOKEN = "n3q0Wm1bKcVw0s3a8pJ2yH5uTgXe9LrZfD4oQi7BvYk="


def sections():
    """Returns, by heading, the commands that have an output, with it."""
    found = {}
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        heading, _, text = section.partition("\n")
        found[heading] = re.findall(r"^```sh\n(.*?)^```\n\n```text\n(.*?)^```\n", text, re.MULTILINE | re.DOTALL)
    return {heading: pairs for heading, pairs in found.items() if pairs}


# The deployment of each section; `{pki}` is a folder with certificates.
PLAIN = {}
TLS = {"settings": ["tls.cert={pki}/server.pem", "tls.key={pki}/server.key"]}
MTLS = {"settings": [*TLS["settings"], "tls.client_ca={pki}/ca.pem", "auth.mode=mtls"]}
SCENES = {
    "Nothing listens": PLAIN,
    "TLS to a plaintext port": PLAIN,
    "Plaintext to a TLS port": TLS,
    "The certificate is not trusted": TLS,
    "The caller's certificate": MTLS,
    "The wrong port or method": PLAIN,
    "All calls at one replica": PLAIN,
    "UNAUTHENTICATED and PERMISSION_DENIED": {"settings": ["auth.mode=tokens", "auth.tokens_file={pki}/tokens"]},
    "DEADLINE_EXCEEDED": {"simulator": ["--fault", "hang"]},
    "RESOURCE_EXHAUSTED": {"settings": ["limits.rpm=1"]},
    "INVALID_ARGUMENT": PLAIN,
    "UNAVAILABLE": {"simulator": ["--fault", "503"]},
    "Wrong vectors": PLAIN,
    "Cold cache, cost": PLAIN,
    "The pod does not start": PLAIN,
    "Find one call": PLAIN,
}

# The problem in the log, where the page refers to the log.
SAID = {
    "TLS to a plaintext port": "TLS on a plaintext port",
    "Plaintext to a TLS port": "plaintext on a TLS port",
    "The certificate is not trusted": "TLS: received fatal alert: …",
    "The caller's certificate": "TLS: peer sent no certificates",
}

# Scenes with an earlier call, whose client is still connected.
USED = {"All calls at one replica", "RESOURCE_EXHAUSTED"}

# It depends on the machine's resolver.
NOT_RUN = {"The name does not resolve"}


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """An authority, a server's certificate, a caller's, and a file of tokens."""
    folder = tmp_path_factory.mktemp("pki")
    key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    made = [f"openssl req -x509 {key} -days 2 -keyout ca.key -out ca.pem -subj /CN=ca"]
    for name, names in (("server", "DNS:localhost,IP:127.0.0.1"), ("caller", "URI:spiffe://example.internal/search")):
        made += [
            f"openssl req -new {key} -keyout {name}.key -out {name}.csr -subj /CN={name}",
            f"echo subjectAltName={names} > {name}.ext",
            f"openssl x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2"
            f" -extfile {name}.ext -out {name}.pem",
        ]
    done = shell("\n".join(["set -e", *made]), folder)
    assert done.returncode == 0, done.stdout
    (folder / "tokens").write_text(gateway("hash-token", "--caller", "search", stdin=f"{TOKEN}\n").stdout)
    return folder


def shell(script, folder, **variables):
    """Runs a command of the page. Returns both outputs together."""
    path = ":".join([str(GRPCURL.parent), str(BINARY.parent), environment()["PATH"]])
    return subprocess.run(
        ["bash", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        cwd=folder,
        env=environment(**{**variables, "PATH": path, "NO_PROXY": "*"}),
        timeout=2 * PATIENCE,
        check=False,
    )


def check_says(output, expected):
    """Checks that the lines come one after the other, where `…` stands for anything on a line."""
    place = 0
    for line in expected.splitlines():
        pattern = ".*".join(re.escape(part) for part in line.split("…"))
        found = re.compile(pattern).search(output, place)
        assert found, f"{line!r} is not in:\n{output}"
        place = found.end()


def check_prints(command, expected, folder, **variables):
    """Runs a command. Those with a time limit of their own may need a second try on a busy machine."""
    for _ in range(2):
        try:
            return check_says(shell(command, folder, **variables).stdout, expected)
        except AssertionError:
            pass
    return check_says(shell(command, folder, **variables).stdout, expected)


def problems(log):
    return [event["problem"] for event in map(json.loads, log) if "problem" in event]


def documented():
    """Returns the problems of the page's table."""
    table = PAGE.split("\n## What the gateway saw\n")[1].split("\n## ")[0]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines() if line.startswith("| ")]
    rows.remove("`problem`")
    assert len(rows) > 10
    return rows


def as_documented(problem):
    return next((row for row in documented() if re.fullmatch(".*".join(map(re.escape, row.split("…"))), problem)), None)


def test_every_command_with_output_is_tested():
    assert set(sections()) == set(SCENES) | NOT_RUN
    assert set(SAID) <= set(SCENES)


@pytest.mark.parametrize("heading", SCENES)
def test_commands_print_the_output_of_the_page(deploy, pki, heading):
    scene = SCENES[heading]
    settings = [setting.format(pki=pki) for setting in scene.get("settings", [])]
    watched = deploy(simulator=scene.get("simulator", []), settings=[DEBUG, *settings])
    if heading in USED:
        embed(watched.channel, "all that a minute has room for")
    for command, expected in sections()[heading]:
        check_prints(command, expected, pki, GATEWAY=watched.address, ADMIN=watched.admin)
    if heading in SAID:
        watched.server.logged('"problem"')
    watched.server.kill()
    seen = [as_documented(problem) for problem in problems(watched.server.log) if "RPC" not in problem]
    assert None not in seen, problems(watched.server.log)
    if heading in SAID:
        assert SAID[heading] in seen, watched.server.log


def test_the_page_lists_exactly_the_problems_of_the_log():
    text = Path(ROOT / "src" / "transport" / "connection_error.rs").read_text()
    said = {words.replace("{0}", "…") for words in re.findall(r'#\[error\("([^"]*)"\)\]', text)}
    # The page has the frequent errors of rustls.
    assert {"TLS: …" if row.startswith("TLS: ") else row for row in documented()} == said


def test_messages_of_python(deploy, pki):
    tls = deploy(settings=[setting.format(pki=pki) for setting in TLS["settings"]])
    plain = deploy()
    error = failure(embed, tls.channel, "hi")
    said = [(error, grpc.StatusCode.UNAVAILABLE, "Socket closed")]
    with grpc.secure_channel(tls.address, grpc.ssl_channel_credentials()) as channel:
        said.append((failure(embed, channel, "hi"), grpc.StatusCode.UNAVAILABLE, "CERTIFICATE_VERIFY_FAILED"))
    with grpc.secure_channel(plain.address, grpc.ssl_channel_credentials()) as channel:
        said.append((failure(embed, channel, "hi"), grpc.StatusCode.UNAVAILABLE, "onnection reset by peer"))
    texts = [f"text {number}" for number in range(1100)]
    error = failure(embed, plain.channel, *texts, options={"max_response_bytes": 100_000_000})
    said.append((error, grpc.StatusCode.RESOURCE_EXHAUSTED, "eceived message larger than max"))
    for error, code, words in said:
        assert error.code() == code and words in error.details(), error
        assert words in PAGE
