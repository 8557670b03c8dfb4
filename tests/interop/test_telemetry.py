"""The effects of OTEL_ variables, seen from outside the process."""

import fcntl
import gzip
import http.server
import os
import struct
import termios
import threading

import deployment
import processes
from processes import eventually, gateway
from python_client import embed


def demo(**variables):
    done = gateway("demo", "--once", **variables)
    assert done.returncode == 0, done.stderr
    return done


def test_console_shows_metrics():
    assert "Name         : voyage_gateway.rpcs\n" in demo(OTEL_METRICS_EXPORTER="console").stdout


def test_console_shows_the_spans_that_the_sampler_records():
    sampled = demo(OTEL_TRACES_EXPORTER="console", OTEL_TRACES_SAMPLER="always_on").stdout
    assert "Name         : voyage.gateway.v1.EmbeddingService/Embed\n" in sampled
    assert "Name         : embeddings voyage-4\n" in sampled
    ratio = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}
    for variables in ({"OTEL_TRACES_SAMPLER": "always_off"}, ratio):
        assert "TraceId" not in demo(OTEL_TRACES_EXPORTER="console", **variables).stdout


def test_a_closed_standard_output_fails_no_call():
    # The only reader of the pipe exits at once.
    closed = ("bash", "-c", 'exec "$@" > >(:)', "bash", processes.BINARY)
    variables = {"OTEL_TRACES_EXPORTER": "console", "OTEL_TRACES_SAMPLER": "always_on", "OTEL_BSP_SCHEDULE_DELAY": "1"}
    voyage = processes.simulate()
    server = processes.serve(deployment.base_url(voyage), command=closed, VOYAGE_API_KEY="test-key", **variables)
    running = deployment.Deployment(server, voyage)
    try:

        def is_noticed():
            embed(running.channel, "text")
            return any("standard output is closed" in line for line in server.log)

        processes.eventually(is_noticed, "a log line")
        embed(running.channel, "text")
        assert running.counted("voyage_gateway_telemetry_spans_total", result="failed") > 0
    finally:
        running.close()


def test_a_standard_output_that_is_closed_in_the_middle_of_a_span_is_no_panic():
    reader, writer = os.pipe()
    # Smaller than a few spans. A line that does not fit waits.
    size = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    # Only the gateway has the pipe's other end.
    inherited = ("bash", "-c", 'exec "$@" >/proc/$PPID/fd/$PIPE', "bash", processes.BINARY)
    variables = {"OTEL_TRACES_EXPORTER": "console", "OTEL_TRACES_SAMPLER": "always_on", "OTEL_BSP_SCHEDULE_DELAY": "1"}
    voyage = processes.simulate()
    server = processes.serve(
        deployment.base_url(voyage), command=inherited, VOYAGE_API_KEY="test-key", PIPE=str(writer), **variables
    )
    os.close(writer)
    running = deployment.Deployment(server, voyage)
    try:

        def is_full():
            embed(running.channel, "text")
            (waiting,) = struct.unpack("i", fcntl.ioctl(reader, termios.FIONREAD, b"0000"))
            return waiting > size - 512

        processes.eventually(is_full, "a full pipe")
        os.close(reader)
        server.logged("standard output is closed")
        assert not any("panicked" in line for line in server.log)
    finally:
        running.close()


def test_disabled_shows_nothing():
    done = demo(OTEL_METRICS_EXPORTER="console", OTEL_TRACES_EXPORTER="console", OTEL_SDK_DISABLED="true")
    assert "voyage_gateway.rpcs" not in done.stdout
    assert "TraceId" not in done.stdout


def test_a_bad_variable_is_named_and_not_quoted():
    done = demo(OTEL_TRACES_SAMPLER="canary")
    assert done.stderr.count("OTEL_TRACES_SAMPLER") == 1
    assert "canary" not in done.stderr


def test_metrics_reach_an_http_server_in_python():
    posts = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            posts.append((self.path, self.headers, body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def received():
        """A busy machine may not finish an export within the time that the demo gives it at its end."""
        demo(
            OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"http://127.0.0.1:{server.server_port}/v1/metrics",
            OTEL_EXPORTER_OTLP_HEADERS="x-team=search%20team",
            OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
        )
        return posts

    eventually(received, "an export")
    server.shutdown()
    path, headers, body = posts[-1]
    assert (path, headers["content-type"]) == ("/v1/metrics", "application/x-protobuf")
    assert (headers["x-team"], headers["content-encoding"]) == ("search team", "gzip")
    assert b"voyage_gateway.rpcs" in gzip.decompress(body)


def test_an_unreachable_collector_does_not_fail_the_demo():
    demo(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1", HTTPS_PROXY="http://127.0.0.1:1")
