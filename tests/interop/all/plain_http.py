"""Voyage's API as a client without a library calls it."""

import json
from http.client import HTTPConnection

import processes

KEY = "pa-key"


def post(voyage, endpoint, **body):
    """Returns the reply of a simulated Voyage that accepts `KEY`."""
    connection = HTTPConnection(voyage.addresses["simulator"], timeout=processes.PATIENCE)
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    connection.request("POST", f"/v1/{endpoint}", json.dumps(body), headers)
    reply = connection.getresponse()
    body = json.load(reply)
    connection.close()
    assert reply.status == 200, body
    return body


def vectors(reply):
    return [each["embedding"] for each in reply["data"]]
