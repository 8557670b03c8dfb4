"""An HTTP server with Voyage's API that shares no code with the simulator, and can hold its replies back."""

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import processes


class Handler(BaseHTTPRequestHandler):
    """Answers lists of numbers in any requested encoding. The last two are the text's length and its index."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.seen.append((self.path, self.headers["authorization"], request))
        assert self.server.released.wait(processes.PATIENCE)
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


class Provider(ThreadingHTTPServer):
    """`seen` has the path, the authorization and the body of each request. Replies wait while `released` is clear."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen = []
        self.released = Event()
        self.released.set()
        self.base_url = f"http://127.0.0.1:{self.server_port}/v1"


@contextmanager
def running():
    server = Provider()
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
