"""deploy/compose.yaml passes compose's own check, and its names and ports agree. test_wires.py runs it."""

import json
import re
import shutil
from pathlib import Path

import pytest

import observers
import processes
from compose import FILE, load

DEPLOY = processes.ROOT / "deploy"
# The ports of the other images, with the settings of the file.
PORTS = {"collector": {4317, 4318, 8888}, "jaeger": {4317, 16686}, "prometheus": {9090}, "grafana": {3000}}


@pytest.fixture(scope="module")
def services():
    done = load()
    assert done.returncode == 0, done.stderr
    # Compose warns of unset variables, for one.
    assert done.stderr == ""
    return json.loads(done.stdout)["services"]


@pytest.fixture(scope="module")
def ports(services):
    """The ports of each service: ours by their settings."""
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


def test_the_check_finds_a_mistake(tmp_path):
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(FILE.read_text().replace("    read_only: ", "    readonly: "))
    done = load(wrong)
    assert done.returncode == 1 and "readonly" in done.stderr


def test_mounted_files_exist(services):
    mounts = [Path(volume["source"]) for service in services.values() for volume in service.get("volumes", [])]
    assert len(mounts) >= 5
    assert [str(mount) for mount in mounts if not mount.exists()] == []


def test_prometheus_accepts_the_mounted_files(services, tmp_path):
    for volume in services["prometheus"]["volumes"]:
        shutil.copy(volume["source"], tmp_path / Path(volume["target"]).name)
    done = processes.run(observers.PROMTOOL, "check", "config", tmp_path / "prometheus.yaml")
    assert done.returncode == 0 and "1 rule files found" in done.stdout, done.stdout + done.stderr


def test_the_tests_run_the_versions_of_the_images(services):
    versions = {name: service["image"].rpartition(":")[2].removeprefix("v") for name, service in services.items()}
    collector = (processes.ROOT / "tests" / "interop" / "all" / "collector" / "go.mod").read_text()
    assert f"go.opentelemetry.io/collector/otelcol v{versions['collector']}\n" in collector
    # As a Go module, Prometheus 3.16.0 is 0.316.0.
    major, minor, patch = versions["prometheus"].split(".")
    setup = (processes.ROOT / "tests" / "interop" / "setup.sh").read_text()
    assert f"github.com/prometheus/prometheus@v0.{major}{minor:0>2}.{patch}\n" in setup


def test_every_address_is_one_of_a_service(services, ports):
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


def test_published_ports_exist_and_are_on_loopback_only(services, ports):
    published = [(name, each) for name, service in services.items() for each in service.get("ports", [])]
    assert {name for name, _ in published} == {"gateway", "jaeger", "prometheus", "grafana"}
    assert [name for name, each in published if each["target"] not in ports[name]] == []
    assert {each["host_ip"] for _, each in published} == {"127.0.0.1"}
    assert len({each["published"] for _, each in published}) == len(published)


def test_our_image_is_built_once(services):
    """By the gateway's service alone: two concurrent builds of one tag collide."""
    assert services["gateway"]["image"] == services["simulator"]["image"]
    assert [name for name, service in services.items() if "build" in service] == ["gateway"]
    assert "simulator" in services["gateway"]["depends_on"]


def test_our_services_are_restricted_as_in_a_cluster(services):
    for name in ("gateway", "simulator"):
        service = services[name]
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        # The image sets the user.
        assert "user" not in service


def test_the_gateway_has_enough_time_to_end(services):
    gateway = services["gateway"]
    assert gateway["environment"]["VOYAGE_GATEWAY__DRAIN__DELAY"] == "0s" and "OTEL_EXPORTER_OTLP_ENDPOINT" in gateway["environment"]
    example = (processes.ROOT / "config.example.toml").read_text()
    [grace] = re.findall(r'^grace = "(\d+)s"$', example, re.MULTILINE)
    [flush] = re.findall(r"`terminationGracePeriodSeconds`, or (\d+)s where telemetry is exported", example)
    assert int(gateway["stop_grace_period"].removesuffix("s")) >= int(grace) + int(flush)


def test_variables_set_the_key_and_the_provider():
    done = load(VOYAGE_API_KEY_FILE="/home/me/key", VOYAGE_BASE_URL="https://api.voyageai.com/v1")
    project = json.loads(done.stdout)
    assert project["secrets"]["voyage-api-key"]["file"] == "/home/me/key"
    gateway = project["services"]["gateway"]["environment"]
    assert gateway["VOYAGE_GATEWAY__UPSTREAM__BASE_URL"] == "https://api.voyageai.com/v1"
