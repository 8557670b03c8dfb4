"""The dashboard's panels and queries, and calls that produce data for them."""

import json

import grpc

import processes
from python_client import embed, failure

DEPLOY = processes.ROOT / "deploy"
DASHBOARD = DEPLOY / "grafana" / "voyage-gateway.json"


def make_traffic(channel):
    """A miss, a hit, a duplicate and an invalid request."""
    embed(channel, "one", "two", "two")
    embed(channel, "one")
    assert failure(embed, channel, "").code() == grpc.StatusCode.INVALID_ARGUMENT


def panels():
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def queries():
    """Yields title and query of each panel, as Grafana sends them with every variable on All."""
    chosen = {"$__rate_interval": "1m", "$__range": "5m", "$job": ".*", "$instance": ".*", "$model": ".*"}
    for panel in panels():
        for target in panel["targets"]:
            expression = target["expr"]
            for variable, value in chosen.items():
                expression = expression.replace(variable, value)
            assert "$" not in expression, target["expr"]
            yield panel["title"], expression
