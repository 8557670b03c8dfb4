"""Traces and metrics of the real process in a real OpenTelemetry Collector with the configuration that is shipped."""

from concurrent.futures import ThreadPoolExecutor

import pytest

import deployment as deployments
import observers
import processes
import provider
from observers import named
from processes import eventually
from python_client import EMBED, embed

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
SERVER, CLIENT = 2, 3


@pytest.fixture
def collector(tmp_path):
    running = observers.Collector(tmp_path)
    yield running
    running.close()


@pytest.fixture
def voyage():
    with provider.running() as server:
        yield server


@pytest.fixture(params=["grpc", "http/protobuf"])
def traced(request, collector, voyage):
    """A gateway that exports to the Collector every 100 ms, in front of `voyage`."""
    address = collector.grpc if request.param == "grpc" else collector.http
    server = processes.serve(
        voyage.base_url,
        # While one call is in flight, other inputs wait for the next.
        "batch.max_in_flight=1",
        VOYAGE_API_KEY="test-key",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{address}",
        OTEL_EXPORTER_OTLP_PROTOCOL=request.param,
        OTEL_TRACES_SAMPLER="always_on",
        OTEL_BSP_SCHEDULE_DELAY="100",
        OTEL_METRIC_EXPORT_INTERVAL="1000",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
    )
    running = deployments.Deployment(server)
    yield running
    running.close()


def servers(collector, count):
    """Returns that many server spans of Embed, once they are there."""

    def found():
        spans = [span for span in collector.spans() if span["kind"] == SERVER and span["name"] == EMBED[1:]]
        return spans if len(spans) >= count else None

    return eventually(found, f"{count} server spans")


def of_trace(collector, trace_id):
    return [span for span in collector.spans() if span["traceId"] == trace_id]


def links(span):
    """Returns the links of a span, as pairs of trace and span."""
    return {(link["traceId"], link["spanId"]) for link in span.get("links", [])}


def batch_of(collector, server):
    """Waits for the batch of an RPC, and returns it: each links to the other."""

    def found():
        own = of_trace(collector, server["traceId"])
        waiting = {(span["traceId"], span["spanId"]) for span in own}
        for span in collector.spans():
            if links(span) & waiting and any((span["traceId"], span["spanId"]) in links(each) for each in own):
                return span
        return None

    return eventually(found, "a batch that the RPC and a link lead to")


def test_a_callers_span_is_the_parent(collector, traced):
    embed(traced.channel, "one", metadata=[("traceparent", f"00-{TRACE}-{PARENT}-01")])
    [server] = servers(collector, 1)
    assert (server["traceId"], server["parentSpanId"]) == (TRACE, PARENT)
    attributes = named(server["attributes"])
    assert attributes["rpc.system.name"] == "grpc"
    assert attributes["rpc.method"] == EMBED[1:]
    assert attributes["rpc.response.status_code"] == "OK"
    assert server["resource"]["service.name"] == "voyage-gateway"
    assert server["resource"]["deployment.environment.name"] == "test"


def test_a_batch_links_to_all_its_waiters(collector, traced, voyage):
    # The first text is sent alone; the others share a batch after its reply.
    voyage.released.clear()
    with ThreadPoolExecutor(4) as callers:
        waiting = [callers.submit(embed, traced.channel, "one")]
        traced.counted("voyage_gateway_batches_in_flight")
        waiting += [callers.submit(embed, traced.channel, text) for text in ("two", "three", "four")]
        eventually(lambda: traced.metric("voyage_gateway_in_flight_requests") == 4, "four requests in flight")
        voyage.released.set()
        assert all(call.result() for call in waiting)
    waiters = servers(collector, 4)
    assert len({server["traceId"] for server in waiters}) == 4
    for server in waiters:
        batch = batch_of(collector, server)
        assert (batch["kind"], batch["name"]) == (CLIENT, "embeddings voyage-4")
        assert batch["traceId"] not in {each["traceId"] for each in waiters}, "a batch has a trace of its own"
        calls = [span for span in of_trace(collector, batch["traceId"]) if span["spanId"] != batch["spanId"]]
        [call] = [span for span in calls if span["parentSpanId"] == batch["spanId"]]
        assert named(call["attributes"])["http.response.status_code"] == "200"
    # Several share a batch.
    assert any(len(links(span)) >= 2 for span in collector.spans() if span["kind"] == CLIENT)


def test_a_hit_waits_for_no_batch(collector, traced):
    embed(traced.channel, "one")
    [first] = servers(collector, 1)
    embed(traced.channel, "one")
    [second] = [server for server in servers(collector, 2) if server != first]
    batch_of(collector, first)
    assert not any(links(span) or span["kind"] == CLIENT for span in of_trace(collector, second["traceId"]))


def test_metrics_arrive_too(collector, traced):
    embed(traced.channel, "one")
    eventually(lambda: {"voyage_gateway.rpcs", "rpc.server.call.duration"} <= collector.metrics(), "metrics of RPCs")
