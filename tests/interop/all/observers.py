"""Prometheus and the OpenTelemetry Collector as processes, with the configuration that is shipped."""

import json
import re
import socket
import subprocess
import threading

import processes
from dashboard import DEPLOY
from processes import eventually, get

RULES = DEPLOY / "prometheus" / "rules.yaml"
PROMETHEUS = processes.TOOLS / "prometheus" / "bin" / "prometheus"
PROMTOOL = PROMETHEUS.with_name("promtool")
COLLECTOR = processes.TOOLS / "collector" / "collector"


class Observer:
    """A process that logs its addresses: the pattern `heard` finds them."""

    def __init__(self, command, heard, count, **variables):
        self.log = []
        self.addresses = []
        self._heard = re.compile(heard)
        self._listening = threading.Event()
        self._process = subprocess.Popen(
            [str(word) for word in command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env=processes.environment(**variables),
        )
        self._reader = threading.Thread(target=self._read, args=(count,), daemon=True)
        self._reader.start()
        self._listening.wait(processes.PATIENCE)
        if len(self.addresses) < count:
            self.close()
            raise AssertionError(f"{command[0]} does not listen:\n" + "\n".join(self.log))

    def _read(self, count):
        for line in self._process.stderr:
            self.log.append(line.rstrip())
            if said := self._heard.search(line):
                self.addresses.append(said[1])
                if len(self.addresses) == count:
                    self._listening.set()
        self._listening.set()

    def stop(self):
        """Ends it with SIGTERM, upon which it writes the data it holds."""
        self._process.terminate()
        try:
            status = self._process.wait(processes.PATIENCE)
        except subprocess.TimeoutExpired:
            status = "still running"
        assert status == 0, "\n".join(self.log)
        self._reader.join(processes.PATIENCE)

    def close(self):
        self._process.kill()
        self._process.wait(processes.PATIENCE)
        self._reader.join(processes.PATIENCE)
        self._process.stderr.close()


class Queries:
    """Returns the answer of the Prometheus at an address."""

    def __init__(self, address):
        self.address = address

    def api(self, path, **query):
        """Returns the data of an answer, which must be one."""
        status, text = get(self.address, f"/api/v1/{path}", **query)
        answer = json.loads(text)
        assert status == 200 and answer["status"] == "success", f"{query}: {answer}"
        return answer["data"]

    def query(self, expression):
        """Returns the samples of an expression at this moment."""
        return self.api("query", query=expression)["result"]

    def rules(self):
        return [rule for group in self.api("rules")["groups"] for rule in group["rules"]]


class Prometheus(Queries, Observer):
    """Prometheus with the shipped configuration, but for the target and the intervals."""

    def __init__(self, folder, admin):
        config = (DEPLOY / "prometheus" / "prometheus.yaml").read_text()
        for shipped, here in [
            ('"127.0.0.1:9090"', f'"{admin}"'),
            ("scrape_interval: 15s", "scrape_interval: 1s"),
            ("evaluation_interval: 30s", "evaluation_interval: 1s"),
        ]:
            assert shipped in config, f"prometheus.yaml no longer says {shipped}"
            config = config.replace(shipped, here)
        (folder / "prometheus.yaml").write_text(config)
        (folder / "rules.yaml").write_text(RULES.read_text())
        command = [
            PROMETHEUS,
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            "--web.listen-address=127.0.0.1:0",
        ]
        Observer.__init__(self, command, r'"Listening on" address=(\S+)', 1)
        Queries.__init__(self, self.addresses[0])
        eventually(lambda: get(self.address, "/-/ready")[0] == 200, "Prometheus is ready")


class Collector(Observer):
    """The Collector with the shipped configuration, and an overlay that writes received data to files."""

    def __init__(self, folder):
        self.files = {signal: folder / f"{signal}.json" for signal in ("traces", "metrics")}
        self.health = free_address()
        overlay = {
            "exporters": {
                f"file/{signal}": {"path": str(path), "flush_interval": "100ms"} for signal, path in self.files.items()
            },
            "service": {
                "pipelines": {signal: {"exporters": [f"file/{signal}"]} for signal in self.files},
            },
        }
        # JSON is YAML.
        (folder / "overlay.yaml").write_text(json.dumps(overlay))
        command = [COLLECTOR]
        for file in (DEPLOY / "otel-collector" / "config.yaml", folder / "overlay.yaml"):
            command += ["--config", file]
        super().__init__(
            command,
            r'Starting (?:GRPC|HTTP) server.*"endpoint": "([^"]+)"',
            2,
            HEALTH_ENDPOINT=self.health,
            OTLP_GRPC_ENDPOINT="127.0.0.1:0",
            OTLP_HTTP_ENDPOINT="127.0.0.1:0",
            SELF_METRICS_HOST="127.0.0.1",
            SELF_METRICS_PORT=free_address().rpartition(":")[2],
        )
        self.grpc, self.http = self.addresses
        eventually(lambda: get(self.health, "/")[0] == 200, "the Collector is healthy")

    def spans(self):
        """Returns every span that has arrived, with the attributes of its resource under `resource`."""
        found = []
        for each in self._lines("traces"):
            for resource in each.get("resourceSpans", []):
                attributes = named(resource["resource"].get("attributes", []))
                for scope in resource["scopeSpans"]:
                    found += [{**span, "resource": attributes} for span in scope["spans"]]
        return found

    def metrics(self):
        """Returns the names of all metrics that have arrived."""
        return {
            metric["name"]
            for each in self._lines("metrics")
            for resource in each.get("resourceMetrics", [])
            for scope in resource["scopeMetrics"]
            for metric in scope["metrics"]
        }

    def _lines(self, signal):
        """The last line may be half written."""
        text = self.files[signal].read_text() if self.files[signal].exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def named(attributes):
    """Returns attributes as a dictionary."""
    return {each["key"]: next(iter(each["value"].values())) for each in attributes}


def free_address():
    """Returns a free address, for programs that do not log the port they choose."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"
