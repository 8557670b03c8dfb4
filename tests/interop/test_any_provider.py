"""`serve` in front of an HTTP server with Voyage's API that shares no code with the simulator."""

import processes
import provider
from deployment import Deployment
from python_client import embed


def test_serve_works_with_any_voyage():
    with provider.running() as voyage:
        serve_with(voyage)

    [(path, authorization, request)] = voyage.seen
    assert path == "/somewhere/v1/embeddings"
    assert authorization == "Bearer a-real-key"
    assert request == {
        "input": ["a", "four"],
        "model": "voyage-3.5",
        "input_type": "document",
        "truncation": True,
        "encoding_format": "base64",
    }


def serve_with(voyage):
    server = processes.serve(f"http://127.0.0.1:{voyage.server_port}/somewhere/v1", VOYAGE_API_KEY="a-real-key")
    gateway = Deployment(server)
    try:
        reply = embed(gateway.channel, "a", "four", model="voyage-3.5", input_type=2)
        assert [list(each.values)[-2:] for each in reply.embeddings] == [[1, 0], [4, 1]]
        assert reply.usage.total_tokens == 5
        assert embed(gateway.channel, "four", model="voyage-3.5", input_type=2).cache.hits == 1
    finally:
        gateway.close()
