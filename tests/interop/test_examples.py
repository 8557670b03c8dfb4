"""The runnable examples run."""

import subprocess

import processes


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
