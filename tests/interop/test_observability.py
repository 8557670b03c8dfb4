"""What is shipped for observability, before the real Prometheus and the real Collector."""

import re
import subprocess
import sys
from urllib.request import Request, urlopen

import grpc
import pytest
import yaml
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

import observers
import processes
from dashboard import DASHBOARD, make_traffic, panels, queries
from observers import DEPLOY, PROMTOOL, RULES, eventually

ALERTS = processes.ROOT / "docs" / "alerts.md"
METRICS = processes.ROOT / "docs" / "metrics.md"

# Names of metrics, wherever they are written; what ends in `_` is the beginning of several.
NAME = re.compile(r"(?<![\w:])(?:voyage_gateway|rpc_server|gen_ai_client|process)_\w+(?<!_)(?!\w)")
# What a histogram's name ends in, where it is asked for.
PART = re.compile(r"_(bucket|sum|count)$")


def promtool(*arguments, stdin=None):
    """Runs promtool to its end; stories of several days take it a while."""
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


def test_the_rules_are_rules():
    agrees(promtool("check", "rules", "--lint=all", "--lint-fatal", RULES))


def test_the_configuration_is_one():
    agrees(promtool("check", "config", DEPLOY / "prometheus" / "prometheus.yaml"))


@pytest.mark.parametrize("story", sorted((DEPLOY / "prometheus" / "tests").glob("*.yaml")), ids=lambda file: file.stem)
def test_alerts_fire_and_resolve(story):
    agrees(promtool("test", "rules", story))


def test_every_alert_has_a_story():
    stories = "".join(file.read_text() for file in (DEPLOY / "prometheus" / "tests").glob("*.yaml"))
    for rule in alerts():
        assert f'alertname="{rule["alert"]}"' in stories, rule["alert"]


def test_every_alert_says_what_to_do():
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", ALERTS.read_text(), re.MULTILINE | re.DOTALL))
    for rule in alerts():
        name, said = rule["alert"], rule["annotations"]
        assert rule["labels"]["severity"] in ("page", "ticket"), name
        assert said["summary"] and said["description"], name
        assert said["runbook_url"] == f"docs/alerts.md#{name.lower()}"
        assert "**What to do.**" in sections.get(name, ""), f"docs/alerts.md does not say what to do about {name}"
        assert "```sh" in sections[name], f"docs/alerts.md has no command to confirm {name}"
    assert set(sections) == {rule["alert"] for rule in alerts()}


def test_the_dashboard_is_what_its_program_writes():
    done = processes.run(sys.executable, DEPLOY / "grafana" / "dashboard.py", "-")
    assert done.stdout == DASHBOARD.read_text(), "run deploy/grafana/dashboard.py"


def test_every_panel_says_what_it_shows():
    taken = set()
    for panel in panels():
        assert panel["description"] and panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for row in range(place["y"], place["y"] + place["h"]):
            for column in range(place["x"], place["x"] + place["w"]):
                assert (row, column) not in taken, f"{panel['title']} lies over another panel"
                taken.add((row, column))
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}", panel["title"]
            assert 'job=~"$job"' in target["expr"] and 'instance=~"$instance"' in target["expr"], target["expr"]


def test_every_metric_that_is_named_exists():
    # The page is generated from the catalogue that the gateway makes its metrics of.
    known = {PART.sub("", name) for name in NAME.findall(METRICS.read_text())}
    pages = [*processes.ROOT.glob("*.md"), *processes.ROOT.glob("docs/*.md")]
    shipped = [RULES, DASHBOARD, *DEPLOY.glob("prometheus/tests/*.yaml"), *DEPLOY.glob("*/*.yaml")]
    for file in [*pages, *shipped]:
        named = {PART.sub("", name) for name in NAME.findall(file.read_text())}
        assert named <= known, f"{file.relative_to(processes.ROOT)} names {sorted(named - known)}"


# ---- with a gateway


def test_metrics_follow_the_conventions(deploy):
    own = deploy()
    make_traffic(own.channel)
    done = promtool("check", "metrics", stdin=own.get("/metrics")[1])
    faults = (done.stdout + done.stderr).splitlines()
    # Names of OpenTelemetry's conventions, which Prometheus would have otherwise.
    foreign = ("process_thread_count ", "process_unix_file_descriptor_count ")
    assert [fault for fault in faults if not fault.startswith(foreign)] == []


@pytest.fixture(scope="module")
def scraped(deployment, tmp_path_factory):
    """Prometheus, when it has scraped traffic and evaluated every rule."""
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


def test_nothing_pages_for_a_gateway_that_is_well(scraped):
    assert scraped.query('ALERTS{severity="page"}') == []


def test_every_query_of_the_dashboard_is_understood(scraped):
    for _, expression in queries():
        scraped.query(expression)


# What is about events that do not happen to a gateway that is well, or about settings that are not set here.
QUIET = {
    "Budgets used",
    "Certificate is good for",
    "Entries that went",
    "Files and certificates",
    "Not known who calls",
    "Refused for want of quota",
    "Repeats and refusals",
    "Shed and lost",
    "Spans",
}


def test_panels_show_something_after_traffic(scraped):
    shown = {title for title, expression in queries() if scraped.query(expression)}
    assert {panel["title"] for panel in panels()} - shown <= QUIET


# ---- the Collector


@pytest.fixture
def collector(tmp_path):
    running = observers.Collector(tmp_path)
    yield running
    running.close()


def request(span_id):
    """A request of OTLP's with one span."""
    request = trace_service_pb2.ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name = bytes(range(16)), bytes([span_id] * 8), "a span"
    return request


def test_the_collector_takes_both_kinds_of_otlp(collector):
    with grpc.insecure_channel(collector.grpc) as channel:
        trace_service_pb2_grpc.TraceServiceStub(channel).Export(request(1), timeout=processes.PATIENCE)
    body = request(2).SerializeToString()
    headers = {"content-type": "application/x-protobuf"}
    with urlopen(Request(f"http://{collector.http}/v1/traces", body, headers), timeout=processes.PATIENCE) as reply:
        assert reply.status == 200
    wanted = {"01" * 8, "02" * 8}
    eventually(lambda: {span["spanId"] for span in collector.spans()} == wanted, "both spans")


def test_the_collector_ends_when_it_is_told_to(collector):
    collector.stop()
