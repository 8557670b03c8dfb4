"""The admin port, as probes and scrapers see it."""

import grpc
import pytest

from python_client import PATIENCE, embed, failure


def test_probes(deployment):
    assert deployment.get("/livez") == (200, "ok\n")
    assert deployment.get("/readyz") == (200, "ok\n")
    assert deployment.get("/livez", method="HEAD") == (200, "")


def test_it_only_reads(deployment):
    assert deployment.get("/metrics", method="POST")[0] == 405
    assert deployment.get("/nothing")[0] == 404


def test_metrics_count_calls(deploy):
    # The first call is answered, and the second fails in all its attempts.
    own = deploy(simulator=["--fault", "503@2", "--fault", "503@3", "--fault", "503@4"])
    tokens = embed(own.channel, "one", "two", "two").usage.total_tokens
    embed(own.channel, "one")
    assert failure(embed, own.channel, "new").code() == grpc.StatusCode.UNAVAILABLE
    assert failure(embed, own.channel, "").code() == grpc.StatusCode.INVALID_ARGUMENT

    def rpcs(code):
        return own.metric(
            "voyage_gateway_rpcs_total",
            rpc_method="voyage.gateway.v1.EmbeddingService/Embed",
            rpc_response_status_code=code,
        )

    assert (rpcs("OK"), rpcs("UNAVAILABLE"), rpcs("INVALID_ARGUMENT")) == (2, 1, 1)
    assert own.metric("voyage_gateway_cache_lookups_total", result="hit") == 1
    assert own.metric("voyage_gateway_cache_lookups_total", result="coalesced") == 1
    assert own.metric("voyage_gateway_upstream_calls_total", status="200") == 1
    assert own.metric("voyage_gateway_upstream_calls_total", status="503") == 3
    assert own.metric("voyage_gateway_retries_total") == 2
    assert own.counted("voyage_gateway_tokens_total", billed_to="anonymous") == tokens


@pytest.mark.parametrize("path", ["/no.such.Service/Method", "/voyage.gateway.v1.EmbeddingService/Nope"])
def test_callers_make_no_series(deployment, path):
    failure(deployment.channel.unary_unary(path), b"", timeout=PATIENCE)
    assert path.rpartition("/")[2] not in deployment.get("/metrics")[1]
