"""The dashboard's panels and queries, and calls that produce data for them."""

import json

import grpc
from voyage.gateway.v1 import embedding_service_pb2, embedding_service_pb2_grpc

import processes
from python_client import PATIENCE, embed, failure

DEPLOY = processes.ROOT / "deploy"
DASHBOARD = DEPLOY / "grafana" / "voyage-gateway.json"


def make_traffic(channel):
    """A miss, a hit, a duplicate, an image and an invalid request."""
    embed(channel, "one", "two", "two")
    embed(channel, "one")
    part = embedding_service_pb2.ContentPart(image_url="https://example.com/a.png")
    request = embedding_service_pb2.EmbedMultimodalRequest(inputs=[{"content": [part]}])
    embedding_service_pb2_grpc.EmbeddingServiceStub(channel).EmbedMultimodal(request, timeout=PATIENCE)
    assert failure(embed, channel, "").code() == grpc.StatusCode.INVALID_ARGUMENT


def panels():
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def queries():
    """Yields title and query of each panel, as Grafana sends them with every variable on All."""
    chosen = {"$__rate_interval": "1m", "$__range": "5m"}
    chosen |= {variable: ".*" for variable in ("$job", "$instance", "$model", "$endpoint")}
    for panel in panels():
        for target in panel["targets"]:
            expression = target["expr"]
            for variable, value in chosen.items():
                expression = expression.replace(variable, value)
            assert "$" not in expression, target["expr"]
            yield panel["title"], expression
