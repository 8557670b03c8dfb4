"""The services of deploy/compose.yaml, all but Grafana, as plain processes that are connected as in the file."""

import json
import re
import time
from contextlib import contextmanager

import grpc
import pytest
import yaml
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc

import compose
import processes
from dashboard import DASHBOARD, make_traffic, panels, queries
from observers import DEPLOY, Queries
from processes import eventually
from python_client import EMBED, PATIENCE, embed, failure

PROVISIONED = DEPLOY / "grafana" / "provisioning"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01")

# Seconds: waits for a scrape or an evaluation, at the file's intervals.
LONG = 300


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    with started(tmp_path_factory.mktemp("compose")) as running:
        yield running


@pytest.fixture
def own(tmp_path):
    """Services that the test stops."""
    with started(tmp_path) as running:
        yield running


@contextmanager
def started(folder, *names, **variables):
    running = compose.Services(folder, *names, **variables)
    try:
        eventually(lambda: running.healthy("gateway"), "a healthy gateway")
        yield running
    finally:
        running.close()


@pytest.fixture(scope="module")
def prometheus(services):
    eventually(lambda: services.ask("prometheus", 9090, "/-/ready"), "a Prometheus that is ready")
    return Queries(services.address("prometheus", 9090))


def channel(services, name="gateway", port=50051):
    # The tester's proxy has nothing to do with these addresses.
    return grpc.insecure_channel(services.address(name, port), options=[("grpc.enable_http_proxy", 0)])


def trace(services, trace_id):
    """Returns the spans of a trace that are in Jaeger."""
    answer = services.ask("jaeger", 16686, f"/api/traces/{trace_id}")
    return json.loads(answer)["data"][0]["spans"] if answer else []


def arrives(services, trace_id, name):
    """Waits for a span of a trace; Jaeger stores what it gets a moment later."""
    eventually(lambda: name in {span["operationName"] for span in trace(services, trace_id)}, f"{name} in Jaeger")


# ---- the comment at the top of the file


def test_the_call_in_the_comment_works(services):
    [(_, [_, *words])] = compose.commands("grpcurl")
    words = [re.sub(r"^localhost:(\d+)$", lambda found: services.published(found[1]), word) for word in words]
    done = processes.run(processes.GRPCURL, *words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["embeddings"]


def test_the_pages_in_the_comment_exist(services):
    pages = re.findall(r"http://localhost:(\d+)", compose.FILE.read_text().partition("\nname:")[0])
    assert len(pages) == 4
    grafana, *others = pages
    assert services.published(grafana) == services.address("grafana", 3000)
    for port in others:
        host, target = services.published(port).split(":")
        [name] = [name for name in services.running() if services.address(name, target) == f"{host}:{target}"]
        # It is built without its pages here.
        path = "/api/v1/alerts" if name == "prometheus" else "/"
        eventually(lambda name=name, target=target, path=path: services.ask(name, target, path), f"a page of {name}")


# ---- traces


def test_a_trace_arrives_with_the_batch_it_waited_for(services):
    with channel(services) as calls:
        embed(calls, "a trace", metadata=[TRACEPARENT])
    arrives(services, TRACE, EMBED[1:])

    def linked():
        return {link["traceID"] for span in trace(services, TRACE) for link in span["references"]} - {TRACE}

    [batch] = eventually(linked, "a link to the batch")
    arrives(services, batch, "embeddings voyage-4")


def test_jaeger_answers_the_queries_of_grafana(services):
    """The queries of its data source: services, operations and traces. One trace is queried above."""
    with channel(services) as calls:
        embed(calls, "listed")

    def data(path, **query):
        return json.loads(services.ask("jaeger", 16686, path, **query) or '{"data": null}')["data"] or []

    eventually(lambda: "voyage-gateway" in data("/api/services"), "the gateway among the services")
    eventually(lambda: EMBED[1:] in data("/api/services/voyage-gateway/operations"), "the operations of the gateway")
    eventually(lambda: data("/api/traces", service="voyage-gateway", operation=EMBED[1:], limit=20), "its traces")


# ---- metrics


def test_prometheus_scrapes_every_job(services, prometheus):
    config = yaml.safe_load((DEPLOY / "compose" / "prometheus.yaml").read_text())
    jobs = {job["job_name"] for job in config["scrape_configs"]}
    assert jobs == {"voyage-gateway", "otel-collector"}

    def up():
        return {sample["metric"]["job"] for sample in prometheus.query("up == 1")} == jobs

    eventually(up, "all that is scraped", LONG)


def test_every_rule_is_evaluated_and_none_fires(prometheus):
    loaded = yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text())
    count = sum(len(group["rules"]) for group in loaded["groups"])

    def quiet():
        rules = prometheus.rules()
        assert len(rules) == count
        assert not [rule for rule in rules if rule["health"] == "err" or rule.get("state") == "firing"]
        # At the first evaluation nothing may have been scraped yet, which is pending then.
        return all(rule["health"] == "ok" and rule.get("state", "inactive") == "inactive" for rule in rules)

    eventually(quiet, "rules that are all evaluated and quiet", LONG)


# ---- the dashboard, with Grafana's provisioning

# Queries of these find nothing: they are about events that do not happen here, or settings that are not set.
QUIET = {
    "voyage_gateway_auth_failures_total",
    "voyage_gateway_budget_limit_tokens",
    "voyage_gateway_budget_used_tokens",
    "voyage_gateway_cache_evictions_total",
    "voyage_gateway_connection_failures_total",
    "voyage_gateway_panics_total",
    "voyage_gateway_quota_refusals_total",
    "voyage_gateway_rate_limited_total",
    "voyage_gateway_reloads_total",
    "voyage_gateway_retries_total",
    "voyage_gateway_shed_total",
    "voyage_gateway_tls_certificate_not_after_seconds",
}


def metrics(expression):
    return set(re.findall(r"(?:voyage_gateway|rpc_server|gen_ai_client|process)_\w+", expression))


def test_every_other_query_of_the_dashboard_finds_something(services, prometheus):
    asked = {expression for _, expression in queries()}
    missing = {expression for expression in asked if not metrics(expression) <= QUIET}
    # Every series without data is one of the dashboard's.
    assert QUIET <= set().union(*map(metrics, asked))
    with channel(services) as calls:

        def nothing_is_missing():
            make_traffic(calls)
            missing.difference_update({expression for expression in missing if prometheus.query(expression)})
            return not missing

        eventually(nothing_is_missing, missing, LONG)


def variables():
    return json.loads(DASHBOARD.read_text())["templating"]["list"]


def test_the_dashboards_variables_have_values(services, prometheus):
    with channel(services) as calls:
        make_traffic(calls)
    asked = [variable["query"]["query"] for variable in variables() if variable["type"] == "query"]
    assert len(asked) == 4
    for query in asked:
        selector, label = re.fullmatch(r"label_values\((.+), (\w+)\)", query).groups()
        selector = re.sub(r"\$\w+", ".*", selector)
        path, only = f"label/{label}/values", {"match[]": selector}
        values = eventually(lambda path=path, only=only: prometheus.api(path, **only), query, LONG)
        assert label in ("model", "endpoint") or len(values) == 1, f"{label}: {values}"


def test_grafana_has_the_data_source_of_the_dashboard(services):
    sources = yaml.safe_load((PROVISIONED / "datasources" / "voyage-gateway.yaml").read_text())["datasources"]
    [choice] = [variable for variable in variables() if variable["type"] == "datasource"]
    [default] = [source for source in sources if source.get("isDefault")]
    assert choice["query"] == default["type"]
    asked = [each["datasource"] for panel in panels() for each in (panel, *panel["targets"]) if "datasource" in each]
    asked += [variable["datasource"] for variable in variables() if "datasource" in variable]
    assert {(each["type"], each["uid"]) for each in asked} == {(default["type"], "${datasource}")}
    assert len({source["uid"] for source in sources}) == len(sources)
    # The dashboard lies where the provider looks, and where the first page is taken from.
    [provider] = yaml.safe_load((PROVISIONED / "dashboards" / "voyage-gateway.yaml").read_text())["providers"]
    mounts = {volume["target"]: volume["source"] for volume in services["grafana"]["volumes"]}
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert mounts[home] == str(DASHBOARD) and home.rpartition("/")[0] == provider["options"]["path"]
    assert mounts["/etc/grafana/provisioning"] == str(PROVISIONED)


# ---- the end


def gauge_of_another():
    """OTLP of a service that Prometheus does not scrape."""
    request = metrics_service_pb2.ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "another"
    metric = resource.scope_metrics.add().metrics.add(name="another.gauge")
    metric.gauge.data_points.add(as_int=1, time_unix_nano=time.time_ns())
    return request


def test_down_ends_all_and_loses_no_trace(own):
    # Compose's order: a service ends before those it depends on.
    assert own.needed_by("collector") == ["gateway"] and own.needed_by("gateway") == []
    scrapes = Queries(own.address("prometheus", 9090))
    eventually(lambda: own.ask("prometheus", 9090, "/-/ready"), "a Prometheus that is ready")
    eventually(lambda: own.ask("jaeger", 16686, "/api/services"), "a Jaeger that is ready")
    with channel(own, "collector", 4317) as otlp:
        metrics = metrics_service_pb2_grpc.MetricsServiceStub(otlp)
        metrics.Export(gauge_of_another(), timeout=PATIENCE, wait_for_ready=True)
    eventually(lambda: scrapes.query('up{job="voyage-gateway"} == 1'), "the gateway in Prometheus", LONG)
    with channel(own) as calls:
        embed(calls, "the last", metadata=[TRACEPARENT])
    # Its span has not left yet: they leave every few seconds, and with the end.
    own.down("gateway")
    own.down("collector")
    # Each sent its data before it ended.
    arrives(own, TRACE, EMBED[1:])
    assert scrapes.query("last_over_time(another_gauge[5m])")
    counted = scrapes.query('count by (job, instance) (last_over_time({__name__=~"(voyage|rpc|gen_ai)_.+"}[5m]))')
    whose = [(sample["metric"]["job"], sample["metric"]["instance"]) for sample in counted]
    assert whose == [("voyage-gateway", own.address("gateway", 9090))], "OTLP also has the scraped metrics"
    for name in ("simulator", "prometheus", "jaeger"):
        own.down(name)


# ---- before the real Voyage


@pytest.fixture(params=["right", "wrong"])
def real(request, tmp_path):
    """A key, and the services as the comment starts them before the real Voyage: one that takes the right key only."""
    [variables] = [variables for variables, _ in compose.commands("docker") if variables]
    assert set(variables) == {"VOYAGE_API_KEY_FILE", "VOYAGE_BASE_URL"}
    path = variables["VOYAGE_BASE_URL"].rpartition("/")[2]
    key = tmp_path / "voyage-key"
    key.write_text(request.param)
    voyage = processes.simulate("--api-key", "right")
    try:
        variables = {
            "VOYAGE_API_KEY_FILE": str(key),
            "VOYAGE_BASE_URL": f"http://{voyage.addresses['simulator']}/{path}",
        }
        with started(tmp_path, "gateway", **variables) as running:
            yield request.param, running
    finally:
        voyage.kill()


def test_the_provider_gets_the_key_of_the_file(real):
    key, running = real
    with channel(running) as calls:
        if key == "right":
            assert embed(calls, "hi").embeddings
        else:
            # The simulator of the file takes any key.
            assert failure(embed, calls, "hi").code() == grpc.StatusCode.UNAUTHENTICATED
