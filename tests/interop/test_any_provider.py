"""`serve` in front of an HTTP server with Voyage's API that shares no code with the simulator."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

import processes
from deployment import Deployment
from python_client import embed


class Provider(BaseHTTPRequestHandler):
    """Answers lists of numbers in any requested encoding. The last two are the text's length and its index."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.seen.append((self.path, self.headers["authorization"], request))
        data = [
            {"object": "embedding", "embedding": [0.5] * 1022 + [float(len(text)), index], "index": index}
            for index, text in enumerate(request["input"])
        ]
        reply = {"object": "list", "data": data, "model": request["model"], "usage": {"total_tokens": 5}}
        body = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Logs nothing."""


@pytest.fixture
def provider():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    server.seen = []
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_serve_works_with_any_voyage(provider):
    server = processes.serve(f"http://127.0.0.1:{provider.server_port}/somewhere/v1", VOYAGE_API_KEY="a-real-key")
    gateway = Deployment(server)
    try:
        reply = embed(gateway.channel, "a", "four", model="voyage-3.5", input_type=2)
        assert [list(each.values)[-2:] for each in reply.embeddings] == [[1, 0], [4, 1]]
        assert reply.usage.total_tokens == 5
        assert embed(gateway.channel, "four", model="voyage-3.5", input_type=2).cache.hits == 1
    finally:
        gateway.close()

    [(path, authorization, request)] = provider.seen
    assert path == "/somewhere/v1/embeddings"
    assert authorization == "Bearer a-real-key"
    assert request == {
        "input": ["a", "four"],
        "model": "voyage-3.5",
        "input_type": "document",
        "truncation": True,
        "encoding_format": "base64",
    }
