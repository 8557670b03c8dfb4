"""deploy/compose.yaml: checked as compose checks it, and its names and ports against each other; test_wires.py runs it."""

import json
import re
import shutil
from pathlib import Path

import pytest

import observers
import processes
from compose import FILE, load

DEPLOY = processes.ROOT / "deploy"
# What the images of others listen on, with the settings of the file.
PORTS = {"collector": {4317, 4318, 8888}, "jaeger": {4317, 16686}, "prometheus": {9090}, "grafana": {3000}}


@pytest.fixture(scope="module")
def services():
    done = load()
    assert done.returncode == 0, done.stderr
    # It warns of what is unset, for one.
    assert done.stderr == ""
    return json.loads(done.stdout)["services"]


@pytest.fixture(scope="module")
def ports(services):
    """What each service listens on: ours by what they are told."""
    gateway = services["gateway"]["environment"]
    ours = {
        "gateway": {port(gateway[f"VOYAGE_GATEWAY__{section}__LISTEN"]) for section in ("SERVER", "ADMIN")},
        "simulator": {port(after(services["simulator"]["command"], "--listen"))},
    }
    assert set(services) == {*ours, *PORTS}
    return {**ours, **PORTS}


def port(address):
    return int(address.rpartition(":")[2])


def after(words, word):
    return words[words.index(word) + 1]


def test_the_check_has_teeth(tmp_path):
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(FILE.read_text().replace("    read_only: ", "    readonly: "))
    done = load(wrong)
    assert done.returncode == 1 and "readonly" in done.stderr


def test_a_file_that_is_mounted_is_there(services):
    mounts = [Path(volume["source"]) for service in services.values() for volume in service.get("volumes", [])]
    assert len(mounts) >= 5
    assert [str(mount) for mount in mounts if not mount.exists()] == []


def test_prometheus_takes_what_is_mounted(services, tmp_path):
    for volume in services["prometheus"]["volumes"]:
        shutil.copy(volume["source"], tmp_path / Path(volume["target"]).name)
    done = processes.run(observers.PROMTOOL, "check", "config", tmp_path / "prometheus.yaml")
    assert done.returncode == 0 and "1 rule files found" in done.stdout, done.stdout + done.stderr


def test_what_is_run_here_is_what_the_images_hold(services):
    versions = {name: service["image"].rpartition(":")[2].removeprefix("v") for name, service in services.items()}
    collector = (processes.ROOT / "tests" / "interop" / "all" / "collector" / "go.mod").read_text()
    assert f"go.opentelemetry.io/collector/otelcol v{versions['collector']}\n" in collector
    # As a Go module, Prometheus 3.16.0 is 0.316.0.
    major, minor, patch = versions["prometheus"].split(".")
    setup = (processes.ROOT / "tests" / "interop" / "setup.sh").read_text()
    assert f"github.com/prometheus/prometheus@v0.{major}{minor:0>2}.{patch}\n" in setup


def test_every_name_leads_to_who_listens_there(services, ports):
    said = [FILE.read_text(), (DEPLOY / "compose" / "prometheus.yaml").read_text()]
    said += [file.read_text() for file in sorted((DEPLOY / "grafana" / "provisioning").rglob("*.yaml"))]
    names = "|".join(services)
    found = {
        (name, int(number))
        for text in said
        # Comments and images name hosts as well.
        for line in text.splitlines()
        if "image:" not in line and not line.lstrip().startswith("#")
        for name, number in re.findall(rf"(?<![\w.-])({names}):(\d+)", line)
    }
    assert {name for name, _ in found} == {"simulator", "collector", "jaeger", "prometheus", "gateway"}
    assert [(name, number) for name, number in sorted(found) if number not in ports[name]] == []


def test_what_is_published_is_listened_on_and_on_loopback_only(services, ports):
    published = [(name, each) for name, service in services.items() for each in service.get("ports", [])]
    assert {name for name, _ in published} == {"gateway", "jaeger", "prometheus", "grafana"}
    assert [name for name, each in published if each["target"] not in ports[name]] == []
    assert {each["host_ip"] for _, each in published} == {"127.0.0.1"}
    assert len({each["published"] for _, each in published}) == len(published)


def test_our_image_is_built_once(services):
    """By whoever starts with the gateway; two builds of one tag collide where Docker makes them side by side."""
    assert services["gateway"]["image"] == services["simulator"]["image"]
    assert [name for name, service in services.items() if "build" in service] == ["gateway"]
    assert "simulator" in services["gateway"]["depends_on"]


def test_ours_run_as_restricted_as_in_a_cluster(services):
    for name in ("gateway", "simulator"):
        service = services[name]
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        # The image says who they are.
        assert "user" not in service


def test_the_gateway_is_not_killed_while_it_ends(services):
    gateway = services["gateway"]
    assert gateway["environment"]["VOYAGE_GATEWAY__DRAIN__DELAY"] == "0s" and "OTEL_EXPORTER_OTLP_ENDPOINT" in gateway["environment"]
    example = (processes.ROOT / "config.example.toml").read_text()
    [grace] = re.findall(r'^grace = "(\d+)s"$', example, re.MULTILINE)
    [flush] = re.findall(r"`terminationGracePeriodSeconds`, or (\d+)s where telemetry is exported", example)
    assert int(gateway["stop_grace_period"].removesuffix("s")) >= int(grace) + int(flush)


def test_a_real_key_and_the_real_voyage_can_be_had():
    done = load(VOYAGE_API_KEY_FILE="/home/me/key", VOYAGE_BASE_URL="https://api.voyageai.com/v1")
    project = json.loads(done.stdout)
    assert project["secrets"]["voyage-api-key"]["file"] == "/home/me/key"
    gateway = project["services"]["gateway"]["environment"]
    assert gateway["VOYAGE_GATEWAY__UPSTREAM__BASE_URL"] == "https://api.voyageai.com/v1"
