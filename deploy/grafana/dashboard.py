#!/usr/bin/env python3
"""Writes voyage-gateway.json. The order of the panels here determines their positions.

`deploy/grafana/dashboard.py` writes the file, `deploy/grafana/dashboard.py -` prints it. For Grafana 10 and later.
"""

import json
import sys
from pathlib import Path

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
GREEN, YELLOW, ORANGE, RED, BLUE, PURPLE, GREY = (
    "green", "yellow", "orange", "red", "blue", "purple", "#808080",
)  # fmt: skip

# The selected replicas, and models for metrics with a model.
OF = 'job=~"$job",instance=~"$instance"'
OF_MODEL = f'{OF},model=~"$model"'
OF_CALL = f'{OF_MODEL},endpoint=~"$endpoint"'
RPCS = f'voyage_gateway_rpcs_total{{{OF},rpc_method=~"voyage[.].+"}}'
BAD = f'voyage_gateway_rpcs_total{{{OF},rpc_method=~"voyage[.].+",outcome=~"upstream|gateway|shed|panicked"}}'
LOOKUPS = f'voyage_gateway_cache_lookups_total{{{OF},result=~"hit|miss|coalesced"}}'
HITS = f'voyage_gateway_cache_lookups_total{{{OF},result="hit"}}'
NOT_PAID = f'voyage_gateway_cache_lookups_total{{{OF},result=~"hit|coalesced"}}'
SAVED = f'voyage_gateway_cost_usd_total{{{OF_MODEL},kind="saved"}}'
SPENT = f'voyage_gateway_cost_usd_total{{{OF_MODEL},kind="spent"}}'
TOKENS = f'voyage_gateway_model_tokens_total{{{OF_MODEL},kind=~"billed|saved"}}'


def metric(name, of=OF):
    return f"{name}{{{of}}}"


def rate(series, by="", window="$__rate_interval"):
    """Returns the rate per second, over all replicas."""
    return f"sum by ({by}) (rate({series}[{window}]))" if by else f"sum(rate({series}[{window}]))"


def quantile(share, name, by="", of=OF):
    """Returns a quantile of a histogram."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({name}_bucket{{{of}}}[$__rate_interval])))"


def mean(name, of=OF):
    """Returns the mean of a histogram."""
    return f"{rate(f'{name}_sum{{{of}}}')} / {rate(f'{name}_count{{{of}}}')}"


def quantiles(name, of=OF):
    """Returns the three usual quantiles, as targets."""
    return [(quantile(share, name, of=of), f"p{round(100 * share)}") for share in (0.5, 0.95, 0.99)]


def target(number, expression, legend, instant):
    return {
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": expression,
        "instant": instant,
        "range": not instant,
        "legendFormat": legend,
        "refId": chr(ord("A") + number),
    }


def steps(first, *rest):
    """Returns thresholds: the colour up to the first bound, then (bound, colour)."""
    bounds = [{"color": first, "value": None}, *({"color": color, "value": bound} for bound, color in rest)]
    return {"mode": "absolute", "steps": bounds}


def panel(kind, title, description, unit, targets, *, width, height=8, thresholds=None, **more):
    """Returns a panel; its place is given to it later."""
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "targets": [target(number, *each, kind in ("stat", "bargauge")) for number, each in enumerate(targets)],
        "fieldConfig": {
            "defaults": {
                "unit": unit,
                "min": 0,
                "color": more.get("color", {"mode": "palette-classic"}),
                "thresholds": thresholds or steps(GREEN),
                **more.get("defaults", {}),
            },
            "overrides": [
                {
                    "matcher": {"id": "byName", "options": name},
                    "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}],
                }
                for name, color in more.get("colors", {}).items()
            ],
        },
        "options": more["options"],
        "gridPos": {"w": width, "h": height},
    }


def stat(title, description, unit, expression, thresholds=None, **defaults):
    """Returns one number; without thresholds it is neither good nor bad."""
    options = {
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "value",
    }
    color = {"mode": "thresholds"} if thresholds else {"mode": "fixed", "fixedColor": BLUE}
    return panel(
        "stat", title, description, unit, [(expression, title)], width=4, height=4,
        thresholds=thresholds, options=options, color=color, defaults={"decimals": 2, **defaults},
    )  # fmt: skip


def graph(title, description, unit, *targets, stack=False, colors=(), thresholds=None, width=8, **defaults):
    """Returns lines over time, stacked where their sum says something; thresholds are drawn."""
    custom = {
        "drawStyle": "line",
        "fillOpacity": 35 if stack else 8,
        "lineWidth": 1,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if stack else "none"},
        "thresholdsStyle": {"mode": "dashed" if thresholds else "off"},
    }
    options = {
        "legend": {"calcs": ["mean", "max"], "displayMode": "table", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel(
        "timeseries", title, description, unit, targets, width=width,
        thresholds=thresholds, colors=dict(colors), options=options, defaults={"custom": custom, **defaults},
    )  # fmt: skip


def bars(title, description, unit, expression, legend):
    """Returns a bar a series over the whole range, the longest first."""
    options = {
        "displayMode": "gradient",
        "orientation": "horizontal",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showUnfilled": True,
        "valueMode": "color",
    }
    return panel(
        "bargauge", title, description, unit, [(f"sort_desc({expression})", legend)], width=8, options=options
    )


OUTCOMES = {
    "ok": GREEN, "caller": BLUE, "cancelled": GREY, "shed": YELLOW,
    "upstream": ORANGE, "gateway": RED, "panicked": PURPLE,
}  # fmt: skip

OVERVIEW = [
    stat("Availability", "The ratio of RPCs in the time range that did not fail because of the service; the objective is 99.9 %.",
         "percentunit", f"1 - (sum(increase({BAD}[$__range])) or vector(0)) / sum(increase({RPCS}[$__range]))",
         steps(RED, (0.99, ORANGE), (0.999, GREEN)), decimals=3, max=1),
    stat("RPCs", "RPCs per second over the time range, without health checks and reflection.", "reqps", rate(RPCS, window="$__range")),
    stat("Not paid for", "The ratio of inputs that were in the cache or already in flight.", "percentunit",
         f"(sum(increase({NOT_PAID}[$__range])) or vector(0)) / sum(increase({LOOKUPS}[$__range]))", max=1),
    stat("Saved", "The cost of hits and shared calls without the gateway, over the time range, at the catalogue's prices.", "currencyUSD",
         f"sum(increase({SAVED}[$__range])) or vector(0)"),
    stat("Spent", "The cost of calls to Voyage over the time range, at the catalogue's prices, without free tokens.", "currencyUSD",
         f"sum(increase({SPENT}[$__range])) or vector(0)"),
    stat("Replicas", "Replicas that Prometheus sees.", "short", f"count({metric('voyage_gateway_build_info')}) or vector(0)",
         steps(RED, (1, GREEN)), decimals=0),
    graph("RPCs by outcome", "`caller`: the caller must act. `upstream`: Voyage failed or refused. `gateway`: the gateway failed, or a budget is used up. `shed`: a replica was full.",
          "reqps", (rate(RPCS, "outcome"), "{{outcome}}"), stack=True, colors=OUTCOMES.items()),
    graph("Errors by reason", "The reasons of docs/errors.md, and who must act.", "reqps",
          (f"{rate(metric('voyage_gateway_errors_total'), 'reason, blame')} > 0", "{{reason}} ({{blame}})"), stack=True),
    graph("Time an RPC takes", "From the first byte of the request to the last byte of the reply, all methods of voyage.gateway.", "s",
          *quantiles("rpc_server_call_duration_seconds", of=f'{OF},rpc_method=~"voyage[.].+"')),
    graph("Where time goes", "Means. Overhead: an RPC's time without an upstream call in flight. Queue and limiter: an input's wait for a batch and for the rate limit. Voyage: a batch with all attempts. They do not add up, because hits do not wait.",
          "s", (mean("voyage_gateway_overhead_seconds"), "overhead"),
          (mean("voyage_gateway_queue_wait_seconds", f'{OF_MODEL},stage="queue"'), "queue"),
          (mean("voyage_gateway_queue_wait_seconds", f'{OF_MODEL},stage="limiter"'), "limiter"),
          (mean("gen_ai_client_embeddings_duration_seconds", f'{OF},gen_ai_request_model=~"$model"'), "Voyage")),
    graph("Overhead", "The latency that the gateway adds to an RPC.", "s", *quantiles("voyage_gateway_overhead_seconds")),
    graph("Budgets used", "Used share of limits.daily_tokens and limits.monthly_tokens, of the replica with the highest. At 100 %, calls that need tokens are refused.", "percentunit",
          (f"max by (budget) ({metric('voyage_gateway_budget_used_tokens')} / {metric('voyage_gateway_budget_limit_tokens')})", "{{budget}}"),
          thresholds=steps(GREEN, (0.8, ORANGE), (1, RED)), max=1),
]  # fmt: skip

UPSTREAM = [
    graph("Calls by status", "HTTP requests to Voyage, all attempts; `none`: no answer.", "reqps",
          (rate(metric("voyage_gateway_upstream_calls_total", OF_CALL), "status"), "{{status}}"), stack=True, colors=[("200", GREEN), ("429", ORANGE), ("none", PURPLE)]),
    graph("Time a call takes", "Duration of an HTTP request, until its whole answer is read.", "s",
          *quantiles("voyage_gateway_upstream_duration_seconds", OF_CALL)),
    graph("Calls by endpoint", "HTTP requests to Voyage, by endpoint.", "reqps",
          (rate(metric("voyage_gateway_upstream_calls_total", OF_CALL), "endpoint"), "{{endpoint}}"), stack=True),
    graph("Failed calls by endpoint", "Share of an endpoint's calls with another status than 200, or without an answer.", "percentunit",
          (f"({rate(metric('voyage_gateway_upstream_calls_total', OF_CALL + ',status!=' + chr(34) + '200' + chr(34)), 'endpoint')} or 0 * {rate(metric('voyage_gateway_upstream_calls_total', OF_CALL), 'endpoint')}) / {rate(metric('voyage_gateway_upstream_calls_total', OF_CALL), 'endpoint')}", "{{endpoint}}"),
          thresholds=steps(GREEN, (0.05, ORANGE), (0.5, RED)), max=1),
    graph("Time by endpoint", "p95 of an HTTP request, by endpoint.", "s",
          (quantile(0.95, "voyage_gateway_upstream_duration_seconds", "endpoint", OF_CALL), "{{endpoint}}")),
    graph("Repeats and refusals", "Calls repeated after a failure, and calls that Voyage answered with 429.", "reqps",
          (rate(metric("voyage_gateway_retries_total")), "repeated"), (rate(metric("voyage_gateway_rate_limited_total")), "429")),
    graph("Voyage's limits used", "Used share of the requests and tokens per minute, of the replica with the highest. At 100 %, inputs wait.", "percentunit",
          (f"max by (model, key, unit) ({metric('voyage_gateway_rate_limit_used', OF_MODEL)} / {metric('voyage_gateway_rate_limit_limit', OF_MODEL)})", "{{model}} {{key}} {{unit}}"),
          thresholds=steps(GREEN, (0.9, ORANGE)), max=1),
    graph("Waiting in the queue", "p95 of an input's wait before it is sent: for a batch (queue), and for the rate limit (limiter).", "s",
          (quantile(0.95, "voyage_gateway_queue_wait_seconds", "stage", OF_MODEL), "{{stage}}")),
    graph("Items waiting", "Inputs that wait for Voyage or are in an upstream call, all replicas.", "short",
          (f"sum({metric('voyage_gateway_queue_items')})", "items")),
    graph("Inputs in a batch", "How many inputs share a call.", "short", *quantiles("voyage_gateway_batch_size", OF_MODEL)[:2],
          (mean("voyage_gateway_batch_size", OF_MODEL), "mean")),
    graph("How full batches are", "The largest of the ratios of inputs, tokens and bytes to their limits.", "percentunit",
          (mean("voyage_gateway_batch_fill_ratio", OF_MODEL), "mean"), max=1),
    graph("Calls in flight", "Upstream calls in flight, and their maximum (batch.max_in_flight), all replicas.", "short",
          (f"sum({metric('voyage_gateway_batches_in_flight')})", "in flight"), (f"sum({metric('voyage_gateway_batches_max_in_flight')})", "at most"), colors=[("at most", GREY)]),
    graph("Circuit", "Replicas by the state of their circuit breaker.", "short",
          (f"sum by (state) ({metric('voyage_gateway_breaker_state')})", "{{state}}"), stack=True, colors=[("closed", GREEN), ("half_open", YELLOW), ("open", RED)]),
    graph("Keys set aside", "Replicas that have set a key aside because Voyage rejected it, and replicas on the free tier.", "short",
          (f"sum by (key) ({metric('voyage_gateway_upstream_key_rejected')})", "{{key}}"), (f"sum({metric('voyage_gateway_free_tier')})", "free tier"),
          thresholds=steps(GREEN, (1, RED))),
    graph("Repeats left", "The retry budget of the replica with the lowest. At 0, failures are not retried.", "short",
          (f"min({metric('voyage_gateway_retry_budget_balance')})", "least")),
]  # fmt: skip

CACHE = [
    graph("Inputs by where their answers came from", "`coalesced`: shared the call of an identical input. `bypassed`: not looked up. `refused`: refused before the lookup.", "ops",
          (rate(metric("voyage_gateway_cache_lookups_total"), "result"), "{{result}}"), stack=True,
          colors=[("hit", GREEN), ("coalesced", BLUE), ("miss", ORANGE), ("bypassed", GREY), ("refused", RED)]),
    graph("Hit ratio", "Of the inputs that were looked up.", "percentunit",
          (f"{rate(HITS)} / {rate(LOOKUPS)}", "hits"), (f"{rate(NOT_PAID)} / {rate(LOOKUPS)}", "not paid for"), max=1),
    graph("How full", "Used share of cache.max_bytes, of the replica with the highest.", "percentunit",
          (f"max by (tier) ({metric('voyage_gateway_cache_size_bytes')} / {metric('voyage_gateway_cache_max_size_bytes')})", "{{tier}}"), max=1),
    graph("Entries that went", "`size`: the cache was full, so more memory would raise the hit ratio. `expired`: older than cache.ttl.", "ops",
          (rate(metric("voyage_gateway_cache_evictions_total"), "cause"), "{{cause}}"), stack=True),
    bars("Tokens saved and billed", "Over the time range, by model: tokens that hits and shared calls saved, and tokens that Voyage billed.", "short",
         f"sum by (model, kind) (increase({TOKENS}[$__range]))", "{{model}} {{kind}}"),
    bars("Pixels saved and billed", "Over the time range, by model: pixels of images and videos.", "short",
         f"sum by (model, kind) (increase({metric('voyage_gateway_model_pixels_total', OF_MODEL)}[$__range]))", "{{model}} {{kind}}"),
    bars("Money saved and spent", "Over the time range, by model, at the catalogue's prices.", "currencyUSD",
         f"sum by (model, kind) (increase({metric('voyage_gateway_cost_usd_total', OF_MODEL)}[$__range]))", "{{model}} {{kind}}"),
]  # fmt: skip

CALLERS = [
    graph("RPCs by caller", "The ten with the highest rate. `_other`: callers without a series of their own.", "reqps",
          (f"topk(10, {rate(metric('voyage_gateway_caller_rpcs_total'), 'caller')})", "{{caller}}"), stack=True),
    bars("Tokens by caller", "Billed tokens over the time range, the ten highest. `abandoned`: no caller was left.", "short",
         f"topk(10, sum by (billed_to) (increase({metric('voyage_gateway_tokens_total')}[$__range])))", "{{billed_to}}"),
    graph("Quota refusals", "Requests and inputs by rule: a caller's quota, or a budget of all callers.", "ops",
          (rate(metric("voyage_gateway_quota_refusals_total"), "rule"), "{{rule}}"), stack=True),
    graph("Failed authentication", "Calls refused because of their credential.", "reqps",
          (f"{rate(metric('voyage_gateway_auth_failures_total'), 'mode, why')} > 0", "{{mode}}: {{why}}"), stack=True),
    graph("RPCs by method", "All RPCs on the gRPC port, with health checks and reflection.", "reqps",
          (rate(metric("voyage_gateway_rpcs_total"), "rpc_method"), "{{rpc_method}}"), stack=True),
    graph("Connections", "Open connections, and failed ones per second.", "short",
          (f"sum({metric('voyage_gateway_connections')})", "open"),
          (rate(metric("voyage_gateway_connection_failures_total")), "failed a second")),
]  # fmt: skip

REPLICAS = [
    graph("Requests in flight", "By replica, relative to admission.max_in_flight. At 100 %, calls are shed.", "percentunit",
          (f"{metric('voyage_gateway_in_flight_requests')} / {metric('voyage_gateway_max_in_flight_requests')}", "{{instance}}"),
          thresholds=steps(GREEN, (0.8, ORANGE), (1, RED)), max=1),
    graph("Bytes in flight", "By replica, relative to admission.max_bytes: messages, texts and unread replies.", "percentunit",
          (f"{metric('voyage_gateway_in_flight_size_bytes')} / {metric('voyage_gateway_max_in_flight_size_bytes')}", "{{instance}}"),
          thresholds=steps(GREEN, (0.8, ORANGE), (1, RED)), max=1),
    graph("Shed and lost", "Calls refused because a replica was full, and RPCs that panicked.", "reqps",
          (rate(metric("voyage_gateway_shed_total"), "instance"), "{{instance}} shed"), (rate(metric("voyage_gateway_panics_total"), "instance"), "{{instance}} panicked")),
    graph("Processor", "Cores that a replica uses.", "short", (rate(metric("process_cpu_seconds_total"), "instance"), "{{instance}}")),
    graph("Memory", "Resident memory of a replica, mostly the cache.", "bytes", (metric("process_resident_memory_bytes"), "{{instance}}")),
    graph("Files and certificates", "Changed files by outcome; if `refused`, the old content stays in use.", "ops",
          (rate(metric("voyage_gateway_reloads_total"), "what, outcome"), "{{what}} {{outcome}}")),
    graph("Certificate is good for", "Time until the first certificate expires. Alerts fire at 14 and 2 days.", "s",
          (f"min({metric('voyage_gateway_tls_certificate_not_after_seconds')}) - time()", "left"),
          thresholds=steps(RED, (2 * 86400, ORANGE), (14 * 86400, GREEN))),
    graph("Up for", "A drop is a restart, with an empty cache.", "s", (metric("process_uptime_seconds"), "{{instance}}")),
    graph("Spans", "`failed`: the collector did not accept them. `dropped`: they were recorded faster than exported.", "ops",
          (rate(metric("voyage_gateway_telemetry_spans_total"), "result"), "{{result}}"), colors=[("failed", RED), ("dropped", ORANGE)]),
]  # fmt: skip


def placed(rows):
    """Sets the id and position of each panel, from left to right and row by row."""
    panels, top = [], 0
    for title, members in rows:
        panels.append({"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"w": WIDTH, "h": 1, "x": 0, "y": top}})
        top, left, height = top + 1, 0, 0
        for member in members:
            size = member["gridPos"]
            if left + size["w"] > WIDTH:
                top, left, height = top + height, 0, 0
            member["gridPos"] = {**size, "x": left, "y": top}
            left, height = left + size["w"], max(height, size["h"])
            panels.append(member)
        top += height
    return [{"id": number, **each} for number, each in enumerate(panels, 1)]


def choice(name, label, query):
    """Returns a variable of several values; at first it is all of them."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"qryType": 1, "query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def dashboard():
    rows = [("Overview", OVERVIEW), ("Upstream", UPSTREAM), ("Cache", CACHE), ("Callers", CALLERS), ("Replicas", REPLICAS)]
    source = {
        "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus",
        "current": {}, "multi": False, "includeAll": False,
    }  # fmt: skip
    return {
        "uid": "voyage-gateway",
        "title": "voyage-gateway",
        "description": "Savings, latencies, callers and failures.",
        "tags": ["voyage-gateway"],
        "schemaVersion": 38,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [
                source,
                choice("job", "Job", "label_values(voyage_gateway_build_info, job)"),
                choice("instance", "Instance", 'label_values(voyage_gateway_build_info{job=~"$job"}, instance)'),
                choice("model", "Model", f"label_values(voyage_gateway_upstream_calls_total{{{OF}}}, model)"),
                choice("endpoint", "Endpoint", f"label_values(voyage_gateway_upstream_calls_total{{{OF}}}, endpoint)"),
            ]
        },
        "panels": placed(rows),
    }


if __name__ == "__main__":
    text = json.dumps(dashboard(), indent=2) + "\n"
    if sys.argv[1:] == ["-"]:
        sys.stdout.write(text)
    else:
        Path(__file__).with_name("voyage-gateway.json").write_text(text)
