"""The shipped rules, dashboard and Collector configuration, with a real Prometheus and a real Collector."""

import re
import subprocess
import time
from urllib.request import Request, urlopen

import grpc
import pytest
import yaml
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

import observers
import processes
from dashboard import DEPLOY, make_traffic, panels, queries
from observers import PROMTOOL, RULES
from processes import eventually


def promtool(*arguments, stdin=None):
    """Runs promtool to its end. Stories of several days take long."""
    return subprocess.run(
        [str(PROMTOOL), *[str(argument) for argument in arguments]],
        capture_output=True,
        encoding="utf-8",
        input=stdin,
        timeout=10 * processes.PATIENCE,
        check=False,
    )


def agrees(done):
    assert done.returncode == 0, done.stdout + done.stderr


def alerts():
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


# ---- the files


def test_the_rules_are_valid():
    agrees(promtool("check", "rules", "--lint=all", "--lint-fatal", RULES))


def test_the_configuration_is_valid():
    agrees(promtool("check", "config", DEPLOY / "prometheus" / "prometheus.yaml"))


@pytest.mark.parametrize("story", sorted((DEPLOY / "prometheus" / "tests").glob("*.yaml")), ids=lambda file: file.stem)
def test_alerts_fire_and_resolve(story):
    agrees(promtool("test", "rules", story))


# ---- with a gateway


def test_metrics_follow_the_conventions(deploy):
    own = deploy()
    make_traffic(own.channel)
    done = promtool("check", "metrics", stdin=own.get("/metrics")[1])
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_process_has_the_metrics_that_dashboards_expect(deploy):
    page = deploy().get("/metrics")[1]
    values = dict(re.findall(r"^(process_\w+) (\S+)$", page, re.MULTILINE))
    expected = {"open_fds", "max_fds", "resident_memory_bytes", "virtual_memory_bytes", "cpu_seconds_total", "threads"}
    assert {f"process_{name}" for name in expected | {"start_time_seconds", "uptime_seconds"}} == set(values)
    assert abs(time.time() - float(values["process_start_time_seconds"])) < 600


@pytest.fixture(scope="module")
def scraped(deployment, tmp_path_factory):
    """Prometheus, after it has scraped traffic and evaluated every rule."""
    running = observers.Prometheus(tmp_path_factory.mktemp("prometheus"), deployment.admin)

    def evaluated():
        make_traffic(deployment.channel)
        counted = running.query('sum(rate(voyage_gateway_rpcs_total{outcome="ok"}[1m])) > 0')
        return counted and all(rule["lastEvaluation"] > "0002" for rule in running.rules())

    eventually(evaluated, "traffic in Prometheus")
    yield running
    running.close()


def test_prometheus_scrapes_the_gateway(scraped):
    [sample] = scraped.query('up{job="voyage-gateway"}')
    assert sample["value"][1] == "1"


def test_every_rule_evaluates(scraped):
    rules = scraped.rules()
    assert {rule["name"] for rule in rules if rule["type"] == "alerting"} == {rule["alert"] for rule in alerts()}
    for rule in rules:
        assert rule["health"] == "ok", rule


def test_every_recording_rule_records(scraped):
    recorded = [rule["name"] for rule in scraped.rules() if rule["type"] == "recording"]
    assert recorded
    for name in recorded:
        [sample] = eventually(lambda name=name: scraped.query(name), name)
        assert sample["metric"]["job"] == "voyage-gateway"
        assert 0 <= float(sample["value"][1]) <= 1, sample


def test_no_alert_fires_for_a_healthy_gateway(scraped):
    assert scraped.query('ALERTS{severity="page"}') == []


def test_every_query_of_the_dashboard_is_valid(scraped):
    for _, expression in queries():
        scraped.query(expression)


# Panels about events of an unhealthy gateway, or about settings that are not set here.
QUIET = {
    "Budgets used",
    "Certificate is good for",
    "Entries that went",
    "Files and certificates",
    "Failed authentication",
    "Quota refusals",
    "Repeats and refusals",
    "Shed and lost",
    "Spans",
}


def test_panels_have_data_after_traffic(scraped):
    shown = {title for title, expression in queries() if scraped.query(expression)}
    assert {panel["title"] for panel in panels()} - shown <= QUIET


# ---- the Collector


@pytest.fixture
def collector(tmp_path):
    running = observers.Collector(tmp_path)
    yield running
    running.close()


def request(span_id):
    """An OTLP request with one span."""
    request = trace_service_pb2.ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name = bytes(range(16)), bytes([span_id] * 8), "a span"
    return request


def test_the_collector_accepts_otlp_over_grpc_and_http(collector):
    with grpc.insecure_channel(collector.grpc) as channel:
        trace_service_pb2_grpc.TraceServiceStub(channel).Export(request(1), timeout=processes.PATIENCE)
    body = request(2).SerializeToString()
    headers = {"content-type": "application/x-protobuf"}
    with urlopen(Request(f"http://{collector.http}/v1/traces", body, headers), timeout=processes.PATIENCE) as reply:
        assert reply.status == 200
    wanted = {"01" * 8, "02" * 8}
    eventually(lambda: {span["spanId"] for span in collector.spans()} == wanted, "both spans")


def test_the_collector_ends_on_sigterm_and_keeps_what_it_received(collector):
    with grpc.insecure_channel(collector.grpc) as channel:
        trace_service_pb2_grpc.TraceServiceStub(channel).Export(request(1), timeout=processes.PATIENCE)
    # It handles signals a moment after it reports its health. A span on file proves that it runs.
    eventually(collector.spans, "a span")
    with grpc.insecure_channel(collector.grpc) as channel:
        trace_service_pb2_grpc.TraceServiceStub(channel).Export(request(2), timeout=processes.PATIENCE)
    collector.stop()
    assert {span["spanId"] for span in collector.spans()} == {"01" * 8, "02" * 8}
