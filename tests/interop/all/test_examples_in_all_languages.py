"""The example clients in Go, Node and Rust, and the script for certificates and quotas."""

import subprocess

import pytest

import processes
from test_examples import *  # the tests, which take `language` from here
from test_examples import resolves_a_name


@pytest.fixture(params=["go", "node", "rust"])
def language(request):
    return request.param


# The Rust example takes names, but no scheme.
@pytest.mark.parametrize(
    ("language", "scheme"), [("go", ""), ("go", "dns:///"), ("node", ""), ("node", "dns:///"), ("rust", "")]
)
def test_an_example_resolves_a_name(deploy, language, scheme):
    resolves_a_name(deploy, language, scheme)


def test_certificates_quotas_and_a_rotation_under_load():
    done = subprocess.run(
        [processes.ROOT / "examples" / "mtls.sh"],
        capture_output=True,
        encoding="utf-8",
        env=processes.environment(GATEWAY=str(processes.BINARY), GRPCURL=str(processes.GRPCURL)),
        timeout=5 * processes.PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    for word in ("CACHE_STATUS_MISS", "CACHE_STATUS_HIT", "tokens_per_minute = 40", "PermissionDenied", " 0 failed"):
        assert word in said, said
    assert 'reloads_total{outcome="changed",what="tls"} 1' in said, said
    assert said.endswith("== done\n")
