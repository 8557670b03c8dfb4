"""Texts, vectors and keys stay where they belong, whatever the log level."""

import time

import pytest

import processes
from python_client import embed, failure

TEXT = "a very private text"
KEY = "test-key"


@pytest.mark.parametrize("fault", ["400", "bad-json", "too-long", "hang"])
def test_neither_log_nor_metrics_nor_errors_tell(deploy, fault):
    settings = ["telemetry.log_filter=trace", "retry.max_attempts=1"]
    watched = deploy(simulator=["--fault", f"{fault}@2"], settings=settings)
    [embedding] = embed(watched.channel, TEXT).embeddings
    error = failure(embed, watched.channel, f"{TEXT} too", timeout=1)
    failure(embed, watched.channel, TEXT, "", timeout=1)

    watched.server.kill()
    told = "\n".join([*watched.server.log, str(error.details()), str(error.trailing_metadata())])
    assert "rpc failed" in told
    for secret in (TEXT, KEY, f"{max(embedding.values):.6}"):
        assert secret not in told


def test_keys_of_a_pool_are_nowhere_to_be_seen(deploy, tmp_path):
    keys = {"good": "pa-canary-good", "bad": "pa-canary-bad", "next": "pa-canary-next"}
    files = {alias: tmp_path / alias for alias in ("good", "bad")}
    for alias, file in files.items():
        file.write_text(keys[alias])
    pool = ", ".join(f'{{alias="{alias}", file="{file}"}}' for alias, file in files.items())
    settings = [f"upstream.keys=[{pool}]", "reload.interval=100ms", "telemetry.log_filter=trace"]
    accepted = ["--api-key", keys["good"], "--api-key", keys["next"]]
    watched = deploy(simulator=[*accepted, "--fault", "400@4"], settings=settings)

    # One key is rejected and the other serves, before and after its file has changed.
    embed(watched.channel, TEXT)
    embed(watched.channel, TEXT, "more")
    reload = {"what": "upstream.keys", "outcome": "changed"}
    files["good"].write_text(keys["next"] + "\n")
    deadline = time.monotonic() + processes.PATIENCE
    while watched.metric("voyage_gateway_reloads_total", **reload) == 0:
        assert time.monotonic() < deadline
    error = failure(embed, watched.channel, "other words")
    embed(watched.channel, "other words")
    assert watched.metric("voyage_gateway_upstream_key_rejected", key="bad") == 1
    assert watched.metric("voyage_gateway_upstream_key_rejected", key="good") == 0
    metrics = watched.get("/metrics")[1]

    watched.server.kill()
    told = "\n".join([*watched.server.log, str(error.details()), str(error.trailing_metadata()), metrics])
    assert "Voyage rejects the API key" in told
    assert "canary" not in told


def test_metrics_name_neither_text_nor_model_of_a_caller(deployment):
    failure(embed, deployment.channel, TEXT, model="a-model-of-my-own")
    status, metrics = deployment.get("/metrics")
    assert status == 200
    assert TEXT not in metrics and "a-model-of-my-own" not in metrics
