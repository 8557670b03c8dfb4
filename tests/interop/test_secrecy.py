"""Texts, vectors and keys stay where they belong, whatever the log level."""

import pytest

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


def test_metrics_name_neither_text_nor_model_of_a_caller(deployment):
    failure(embed, deployment.channel, TEXT, model="a-model-of-my-own")
    status, metrics = deployment.get("/metrics")
    assert status == 200
    assert TEXT not in metrics and "a-model-of-my-own" not in metrics
