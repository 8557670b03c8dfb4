"""What is deployed is sound, the same by kustomize and by Helm, and what the process itself takes and does."""

import copy
import ipaddress
import os
import re
import shutil
import tomllib
from pathlib import Path

import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

import lint_manifests
import manifests
import processes

KUSTOMIZE = manifests.DEPLOY / "kustomize"
OVERLAYS = ["overlays/dev", "overlays/production"]
# What can be run: the base alone is not, since it does not say who may call.
DEPLOYED = [*OVERLAYS, *manifests.COMBINATIONS]
CALLER = KUSTOMIZE / "examples" / "caller.yaml"
UNITS = {"Ki": 2**10, "KiB": 2**10, "Mi": 2**20, "MiB": 2**20, "Gi": 2**30, "GiB": 2**30}


def environment(deployment):
    """Returns the variables of the container that are values."""
    return {each["name"]: each["value"] for each in manifests.container(deployment)["env"] if "value" in each}


def config_text(text):
    return manifests.find(text, "ConfigMap", "voyage-gateway-config")["data"]["config.toml"]


def effective(name, tmp_path):
    """Returns the configuration in force in a pod: the binary's own reading of the file and the variables."""
    text = manifests.kustomize(name)
    file = tmp_path / "config.toml"
    file.write_text(config_text(text))
    variables = environment(manifests.find(text, "Deployment"))
    done = processes.gateway("print-config", "--config", file, **variables)
    assert done.returncode == 0, done.stderr
    return tomllib.loads(done.stdout)


def amount(text):
    """Reads bytes as Kubernetes or the gateway writes them."""
    number, unit = re.fullmatch(r"(\d+)([A-Za-z]+)", text).groups()
    return int(number) * UNITS[unit]


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(s|m)", text).groups()
    return int(number) * {"s": 1, "m": 60}[unit]


def port(address):
    return int(address.rpartition(":")[2])


# --- linters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("linter", [*lint_manifests.LINTERS, *lint_manifests.OPTIONAL])
def test_linters_find_nothing(linter):
    if linter not in lint_manifests.present():
        pytest.skip(f"{linter} is not set up here, and not on the PATH")
    assert lint_manifests.present()[linter](manifests.renderings()) == []


def spoilt(change):
    """A rendering whose Deployment somebody spoilt."""
    objects = copy.deepcopy(manifests.objects(manifests.kustomize("overlays/production")))
    change(next(each for each in objects if each["kind"] == "Deployment")["spec"]["template"]["spec"])
    return {"spoilt": "\n---\n".join(yaml.safe_dump(each) for each in objects)}


@pytest.mark.parametrize(
    ("linter", "change"),
    [
        ("schemas", lambda pod: pod.update(terminationGracePeriod=45)),
        ("schemas", lambda pod: pod["containers"][0]["startupProbe"]["grpc"].update(port="9090")),
        ("kube-score", lambda pod: pod["containers"][0]["securityContext"].update(readOnlyRootFilesystem=False)),
    ],
)
def test_linters_find_what_is_wrong(linter, change):
    findings = lint_manifests.LINTERS[linter](spoilt(change))
    assert [each for each in findings if "waiver" not in each]


def test_operators_types_are_strict():
    text = manifests.kustomize("overlays/production").replace("jobLabel:", "jobLabels:")
    assert any("jobLabels" in each for each in lint_manifests.crds({"spoilt": text}))


# --- kustomize and Helm --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("values", "twin"), manifests.TWINS.items())
def test_helm_renders_what_kustomize_does(values, twin):
    ours, theirs = manifests.normal(manifests.helm(values)), manifests.normal(manifests.kustomize(twin))
    assert sorted(ours) == sorted(theirs)
    for name, each in ours.items():
        assert each == theirs[name], name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubectl_renders_what_kustomize_does(overlay):
    if not shutil.which("kubectl"):
        pytest.skip("there is no kubectl on the PATH")
    done = processes.run("kubectl", "kustomize", KUSTOMIZE / overlay)
    assert done.returncode == 0, done.stderr
    assert manifests.objects(done.stdout) == manifests.objects(manifests.kustomize(overlay))


def test_a_changed_configuration_is_a_rolling_update():
    other = manifests.render_helm("--set", "config=[cache]")
    names = {manifests.mounted_config(each) for each in [other, manifests.helm("defaults")]}
    assert len(names) == 2
    for overlay in OVERLAYS:
        name = manifests.mounted_config(manifests.kustomize(overlay))
        assert re.fullmatch(r"voyage-gateway-config-[a-z0-9]{10}", name)


def test_names_follow_the_release():
    text = manifests.render_helm(release="other")
    for each in manifests.objects(text):
        if each["kind"] != "Secret":
            assert each["metadata"]["name"].startswith("other"), each["metadata"]
        assert each["metadata"]["labels"]["app.kubernetes.io/instance"] in ("other", "other-simulator")


def test_what_clusters_ask_for_besides():
    text = manifests.render_helm(
        *manifests.helm_arguments("production"),
        *["--set", "image.pullSecrets={registry,mirror}", "--set", "apiKey.file="],
        *["--set", "monitoring.labels.release=stack", "--set", "nodeSelector.pool=apps"],
        *["--set", "tolerations[0].key=apps", "--set", "tolerations[0].operator=Exists"],
        *["--set", "priorityClassName=interactive", "--set", "image.digest=sha256:" + 64 * "a"],
        *["--set", "tracing.endpoint=http://agent.tracing.svc.cluster.local:4999"],
    )
    deployment = manifests.find(text, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert pod["imagePullSecrets"] == [{"name": "registry"}, {"name": "mirror"}]
    assert "VOYAGE_API_KEY_FILE" not in environment(deployment)
    assert pod["nodeSelector"] == {"pool": "apps"}
    assert pod["tolerations"] == [{"key": "apps", "operator": "Exists"}]
    assert pod["priorityClassName"] == "interactive"
    assert manifests.container(deployment)["image"].endswith("voyage-gateway@sha256:" + 64 * "a")
    for kind in ["PodMonitor", "PrometheusRule"]:
        assert manifests.find(text, kind)["metadata"]["labels"]["release"] == "stack"
    collector = manifests.find(text, "NetworkPolicy", "voyage-gateway-collector")
    assert ports(collector["spec"]["egress"]) == {("TCP", 4999)}
    assert lint_manifests.schemas({"besides": text}) == []


@pytest.mark.parametrize(("values", "how"), [("defaults", "-plaintext -d"), ("production", "Bearer"), ("mtls", "-cert")])
def test_the_notes_say_what_to_run(values, how):
    notes = manifests.helm_notes(values)
    assert "grpcurl" in notes
    assert how in notes
    assert "voyage.gateway.v1.EmbeddingService/Embed" in notes


@pytest.mark.parametrize(
    ("setting", "about"),
    [
        ("replicas=3", "replicas"),
        ("replicaCount=three", "replicaCount"),
        ("image.tags=1", "tags"),
        ("image.tag=latest", "tag"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("auth.mode=tokens", "mode"),
        ("auth.jwt.jwks_url=https://a", "jwks_url"),
        ("auth.jwt.jwksUrl=http://a", "jwksUrl"),
        ("networkPolicy.kind=calico", "kind"),
        ("monitoring.kind=podmonitor", "kind"),
        ("resources.limits.memory=lots", "memory"),
        ("resources.limits.gpu=1", "gpu"),
        ("tolerations[0].kee=a", "kee"),
        ("gatewayApi.gateway.port=1", "port"),
        ("tracing.endpoint=collector", "endpoint"),
        ("simulator.enabled=false", "auth.mode must be set"),
        ("networkPolicy.kind=kubernetes", "networkPolicy.kind must be none"),
    ],
)
def test_wrong_values_are_refused(setting, about):
    with pytest.raises(AssertionError) as refused:
        manifests.render_helm("--set", setting)
    assert about in str(refused.value)


def test_the_schema_leaves_nothing_open():
    def parts(schema):
        yield schema
        for each in [*schema.get("properties", {}).values(), *schema.get("definitions", {}).values()]:
            yield from parts(each)
        if isinstance(schema.get("items"), dict):
            yield from parts(schema["items"])

    schema = yaml.safe_load((manifests.CHART / "values.schema.json").read_text())
    for each in parts(schema):
        assert each.get("type") != "object" or "additionalProperties" in each, each
        # Labels of nodes are a map of texts; nothing else takes names of one's own.
        assert each.get("additionalProperties", False) in (False, {"type": "string"}), each
    values = yaml.safe_load((manifests.CHART / "values.yaml").read_text())
    assert set(values) == set(schema["required"]) == set(schema["properties"]) - {"global"}


def test_the_rules_are_the_shipped_ones():
    rules = yaml.safe_load((manifests.DEPLOY / "prometheus/rules.yaml").read_text())
    dashboard = (manifests.DEPLOY / "grafana/voyage-gateway.json").read_text()
    for text in [manifests.kustomize("overlays/production"), manifests.helm("production")]:
        made = manifests.find(text, "PrometheusRule")["spec"]
        assert made == rules, "run deploy/kustomize/components/monitoring/prometheus-rule.sh"
        config = manifests.find(text, "ConfigMap", "voyage-gateway-dashboard")
        assert config["data"]["voyage-gateway.json"].rstrip() == dashboard.rstrip()
        assert config["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_the_version_is_the_programs():
    package = tomllib.loads((processes.ROOT / "Cargo.toml").read_text())["package"]
    for text in manifests.renderings().values():
        for each in manifests.objects(text):
            assert each["metadata"]["labels"]["app.kubernetes.io/version"] == package["version"], each["metadata"]
        image = manifests.container(manifests.find(text, "Deployment"))["image"]
        assert image.endswith(f"voyage-gateway:{package['version']}")


# --- pods ----------------------------------------------------------------------------------------------------------


def pods():
    """Every pod template that is shipped, by where it is."""
    texts = manifests.renderings() | {"example": CALLER.read_text()}
    for where, text in texts.items():
        for each in manifests.objects(text):
            if each["kind"] == "Deployment":
                yield f"{where}: {each['metadata']['name']}", each["spec"]["template"]["spec"]


def test_pods_are_restricted():
    for where, pod in pods():
        (only,) = pod["containers"]
        inherited = pod["securityContext"] | only["securityContext"]
        assert inherited["runAsNonRoot"], where
        assert (inherited["runAsUser"], inherited["runAsGroup"]) == (65532, 65532), where
        assert inherited["seccompProfile"] == {"type": "RuntimeDefault"}, where
        assert inherited["capabilities"] == {"drop": ["ALL"]}, where
        assert inherited["allowPrivilegeEscalation"] is False, where
        assert inherited["readOnlyRootFilesystem"] is True, where
        assert pod["automountServiceAccountToken"] is False, where
        # What restricted allows of volumes, and nothing of the host's.
        kinds = {kind for volume in pod.get("volumes", []) for kind in volume if kind != "name"}
        assert kinds <= {"configMap", "secret", "projected"}, where
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), where


def test_no_secret_is_in_the_environment():
    for where, pod in pods():
        for each in pod["containers"][0].get("env", []):
            assert "secretKeyRef" not in each.get("valueFrom", {}), where
            assert each["name"] != "VOYAGE_API_KEY", where
        assert "envFrom" not in pod["containers"][0], where


@pytest.mark.parametrize("name", ["base", *DEPLOYED])
def test_replicas_come_and_go_unnoticed(name):
    """What kube-linter would ask, where it cannot be had."""
    text = manifests.kustomize(name)
    spec = manifests.find(text, "Deployment")["spec"]
    pod = spec["template"]["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": "25%", "maxUnavailable": 0}
    assert spec["revisionHistoryLimit"] >= 2
    budget = manifests.find(text, "PodDisruptionBudget")["spec"]
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert budget["maxUnavailable"] == 1
    assert {"name": "ndots", "value": "1"} in pod["dnsConfig"]["options"]
    zones = {each["topologyKey"] for each in pod["topologySpreadConstraints"]}
    assert zones == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    account = manifests.find(text, "ServiceAccount", pod["serviceAccountName"])
    assert account["automountServiceAccountToken"] is False
    # Whatever selects pods selects exactly these.
    wanted = spec["selector"]["matchLabels"]
    assert wanted.items() <= spec["template"]["metadata"]["labels"].items()
    selectors = [budget["selector"]["matchLabels"]]
    selectors += [each["labelSelector"]["matchLabels"] for each in pod["topologySpreadConstraints"]]
    for each in manifests.objects(text):
        if each["metadata"]["name"].endswith("simulator"):
            continue
        found = {"Service": "selector", "NetworkPolicy": "podSelector", "CiliumNetworkPolicy": "endpointSelector"}
        found |= {"PodMonitor": "selector", "ServiceMonitor": "selector"}
        if each["kind"] in found:
            selector = each["spec"][found[each["kind"]]]
            selectors.append(selector.get("matchLabels", selector))
    assert all(each == wanted for each in selectors)


def test_secret_files_follow_their_secret():
    for where, pod in pods():
        assert all("subPath" not in each for each in pod["containers"][0].get("volumeMounts", [])), where


def test_a_caller_gets_in():
    """The example has the label, the audience and the address of what is deployed for production."""
    caller = manifests.find(CALLER.read_text(), "Deployment", "search-frontend")["spec"]["template"]
    production = manifests.kustomize("overlays/production")
    (token,) = caller["spec"]["volumes"][0]["projected"]["sources"]
    gateway = environment(manifests.find(production, "Deployment"))
    assert token["serviceAccountToken"]["audience"] == gateway["VOYAGE_GATEWAY__AUTH__JWT__AUDIENCE"]
    peer = manifests.find(production, "NetworkPolicy")["spec"]["ingress"][0]["from"][0]
    assert peer["podSelector"]["matchLabels"].items() <= caller["metadata"]["labels"].items()
    service = manifests.find(production, "Service", "voyage-gateway-headless")
    host = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc.cluster.local"
    dialled = {each["name"]: each["value"] for each in caller["spec"]["containers"][0]["env"]}["VOYAGE_GATEWAY"]
    assert dialled == f"dns:///{host}:{service['spec']['ports'][0]['port']}"


# --- the configuration, and the process ----------------------------------------------------------------------------


def test_the_base_does_not_start_by_itself(tmp_path):
    text = manifests.kustomize("base")
    file = tmp_path / "config.toml"
    file.write_text(config_text(text))
    done = processes.gateway("check-config", "--config", file, **environment(manifests.find(text, "Deployment")))
    assert done.returncode == 2
    assert "auth.mode" in done.stderr


@pytest.mark.parametrize("name", DEPLOYED)
def test_the_configuration_is_taken(name, tmp_path):
    text = manifests.kustomize(name)
    file = tmp_path / "config.toml"
    file.write_text(config_text(text))
    done = processes.gateway("check-config", "--config", file, **environment(manifests.find(text, "Deployment")))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", DEPLOYED)
def test_the_pod_fits_its_configuration(name, tmp_path):
    text = manifests.kustomize(name)
    deployment, config = manifests.find(text, "Deployment"), effective(name, tmp_path)
    pod, only = deployment["spec"]["template"]["spec"], manifests.container(deployment)

    limit = amount(only["resources"]["limits"]["memory"])
    assert only["resources"]["requests"]["memory"] == only["resources"]["limits"]["memory"]
    cache = amount(config["cache"]["max_bytes"])
    assert cache <= 0.4 * limit
    assert cache + amount(config["admission"]["max_bytes"]) + amount(config["batch"]["max_waiting_bytes"]) <= 0.7 * limit

    # The drain, 3 s to flush, and 5 s in reserve.
    drain = seconds(config["drain"]["delay"]) + seconds(config["drain"]["grace"])
    assert pod["terminationGracePeriodSeconds"] >= drain + 3 + 5

    scalers = [each for each in manifests.objects(text) if each["kind"] == "HorizontalPodAutoscaler"]
    most = scalers[0]["spec"]["maxReplicas"] if scalers else deployment["spec"]["replicas"]
    assert config["limits"]["replicas"] == most
    for each in scalers:
        in_flight, _ = each["spec"]["metrics"]
        assert in_flight["pods"]["metric"]["name"] == "voyage_gateway_in_flight_requests"
        # Room for a burst until new replicas are there.
        assert int(in_flight["pods"]["target"]["averageValue"]) == config["admission"]["max_in_flight"] / 4
    assert ("replicas" in deployment["spec"]) is not bool(scalers)

    listens = {"grpc": port(config["server"]["listen"]), "admin": port(config["admin"]["listen"])}
    assert {each["name"]: each["containerPort"] for each in only["ports"]} == listens
    probes = {kind: only[f"{kind}Probe"]["grpc"] for kind in ["startup", "liveness", "readiness"]}
    assert {each["port"] for each in probes.values()} == {listens["admin"]}
    assert [each.get("service", "") for each in probes.values()] == ["", "liveness", "readiness"]
    for service in ["voyage-gateway", "voyage-gateway-headless"]:
        for each in manifests.find(text, "Service", service)["spec"]["ports"]:
            assert (each["targetPort"], each["port"]) == (each["name"], listens[each["name"]])
            speaks_tls = each["name"] == "grpc" and "cert" in config["tls"]
            plain = {"grpc": "kubernetes.io/h2c", "admin": "http"}[each["name"]]
            assert each["appProtocol"] == ("https" if speaks_tls else plain)

    # Every file that is named is mounted.
    mounts = [each["mountPath"] for each in only["volumeMounts"]]
    named = [each for each in environment(deployment).values() if each.startswith("/")] + [only["args"][2]]
    assert len(named) >= 2
    assert {os.path.dirname(each) for each in named} == set(mounts)


@pytest.mark.parametrize("name", ["network-policy", "network-policy-cilium"])
def test_policies_open_exactly_what_is_used(name, tmp_path):
    """With callers' tokens and traces, which between them dial all that a gateway ever dials."""
    combination = {"network-policy": "overlays/production", "network-policy-cilium": "jwt-cilium"}[name]
    config = effective(combination, tmp_path)
    text = manifests.kustomize(combination)
    variables = environment(manifests.find(text, "Deployment"))
    kind = "NetworkPolicy" if name == "network-policy" else "CiliumNetworkPolicy"
    incoming, outgoing = set(), set()
    for each in manifests.objects(text):
        if each["kind"] == kind:
            incoming |= ports(each["spec"].get("ingress", []))
            outgoing |= ports(each["spec"].get("egress", []))
    assert incoming == {("TCP", port(config["server"]["listen"])), ("TCP", port(config["admin"]["listen"]))}
    dialled = [
        config["upstream"].get("base_url", "https://api.voyageai.com/v1"),
        config["auth"]["jwt"]["jwks_url"],
        variables["OTEL_EXPORTER_OTLP_ENDPOINT"],
    ]
    used = {("TCP", port_of(url)) for url in dialled}
    # Name servers; and what the API server's Service leads to, which is where most networks look.
    assert outgoing == used | {("UDP", 53), ("TCP", 53), ("TCP", 6443)}


def port_of(url):
    host = url.split("/")[2]
    return int(host.partition(":")[2] or {"https": 443, "http": 80}[url.partition(":")[0]])


def ports(rules):
    """Returns the ports that a policy's rules open; a rule without any would open all."""
    opened = set()
    for rule in rules:
        listed = rule["ports"] if "ports" in rule else [port for each in rule["toPorts"] for port in each["ports"]]
        assert listed
        opened |= {(each["protocol"], int(each["port"])) for each in listed}
        assert set(rule) & {"from", "to", "fromEndpoints", "fromEntities", "toEndpoints", "toEntities", "toFQDNs"}
    return opened


def test_nobody_reaches_the_nodes_metadata():
    policies = [
        each for each in manifests.objects(manifests.kustomize("overlays/production")) if each["kind"] == "NetworkPolicy"
    ]
    blocks = [
        peer["ipBlock"] for policy in policies for rule in policy["spec"].get("egress", []) for peer in rule["to"]
        if "ipBlock" in peer
    ]
    assert blocks
    for address in ["169.254.169.254", "169.254.170.2", "fe80::a9fe:a9fe", "fd00:ec2::254"]:
        address = ipaddress.ip_address(address)
        for block in blocks:
            inside = address in ipaddress.ip_network(block["cidr"])
            excepted = any(address in ipaddress.ip_network(each) for each in block.get("except", []))
            assert not inside or excepted, block


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A certificate and its key, which is its own authority: what the cluster would put into Secrets and ConfigMaps."""
    folder = tmp_path_factory.mktemp("certificates")
    key, certificate = folder / "tls.key", folder / "tls.crt"
    names = "subjectAltName=DNS:voyage-gateway.voyage-gateway.svc.cluster.local"
    options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=gateway", "-addext", names]
    done = processes.run("openssl", "req", "-x509", *options, "-keyout", key, "-out", certificate)
    assert done.returncode == 0, done.stderr
    return {"tls.crt": certificate.read_text(), "tls.key": key.read_text(), "ca.crt": certificate.read_text()}


def files(volume, text, certificates):
    """Returns what the kubelet would put into a volume."""
    if "configMap" in volume:
        assert volume["configMap"]["name"] == manifests.mounted_config(text)
        return {"config.toml": config_text(text)}
    if "secret" in volume:
        secrets = {"voyage-api-key": {"api-key": "a-key"}, "voyage-gateway-tls": certificates}
        return secrets[volume["secret"]["secretName"]]
    projected = {}
    for source in volume["projected"]["sources"]:
        if "serviceAccountToken" in source:
            projected[source["serviceAccountToken"]["path"]] = "a-token"
        for item in source.get("configMap", {}).get("items", []):
            projected[item["path"]] = certificates[item["key"]]
    return projected


def mounted(text, tmp_path, certificates):
    """Lays out what the kubelet would mount, and returns the variables and arguments with the paths moved there."""
    deployment = manifests.find(text, "Deployment")
    volumes = {each["name"]: each for each in deployment["spec"]["template"]["spec"]["volumes"]}
    for mount in manifests.container(deployment)["volumeMounts"]:
        folder = tmp_path / mount["mountPath"].lstrip("/")
        folder.mkdir(parents=True)
        for file, content in files(volumes[mount["name"]], text, certificates).items():
            (folder / file).write_text(content)

    def moved(word):
        return str(tmp_path / word.lstrip("/")) if word.startswith("/") else word

    arguments = [moved(word) for word in manifests.container(deployment)["args"]]
    return arguments, {name: moved(value) for name, value in environment(deployment).items()}


# Nothing is called from here: Voyage and the API server are where nobody listens.
NOWHERE = {
    "VOYAGE_GATEWAY__UPSTREAM__BASE_URL": "http://127.0.0.1:1/v1",
    "VOYAGE_GATEWAY__AUTH__JWT__JWKS_URL": "https://127.0.0.1:1/jwks",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
}


@pytest.mark.parametrize("name", DEPLOYED)
def test_the_process_answers_the_probes(name, tmp_path, certificates):
    """The pod's process with its files, arguments and variables; only ports and whom it calls are the test's."""
    text = manifests.kustomize(name)
    arguments, variables = mounted(text, tmp_path, certificates)
    variables |= {key: value for key, value in NOWHERE.items() if key in variables or "UPSTREAM" in key}
    free = ["--set", "server.listen=127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0"]
    server = processes.Server(["grpc", "admin"], *arguments, *free, **variables)
    try:
        # The two ports that are declared are all that it opens.
        assert listening(server.pid) == {port(each) for each in server.addresses.values()}
        only = manifests.container(manifests.find(text, "Deployment"))
        with grpc.insecure_channel(server.addresses["admin"]) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            for kind in ["startup", "liveness", "readiness"]:
                service = only[f"{kind}Probe"]["grpc"].get("service", "")
                reply = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=processes.PATIENCE)
                assert reply.status == health_pb2.HealthCheckResponse.SERVING, kind
    finally:
        server.kill()


def listening(pid):
    """Returns the TCP ports that a process listens on, as the kernel knows them."""
    sockets = {os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()}
    listed = [line.split() for name in ["tcp", "tcp6"] for line in open(f"/proc/net/{name}").readlines()[1:]]
    own = [fields for fields in listed if f"socket:[{fields[9]}]" in sockets]
    return {int(fields[1].rpartition(":")[2], 16) for fields in own if fields[3] == "0A"}


def test_a_missing_secret_ends_the_process(tmp_path, certificates):
    arguments, variables = mounted(manifests.kustomize("overlays/dev"), tmp_path, certificates)
    key = variables["VOYAGE_API_KEY_FILE"]
    os.remove(key)
    done = processes.gateway(*arguments, **variables)
    assert done.returncode == 2
    assert key in done.stderr


def test_a_configuration_of_a_newer_version_is_refused_by_its_paths(tmp_path):
    text = manifests.kustomize("overlays/dev")
    file = tmp_path / "config.toml"
    file.write_text(config_text(text) + "\n[cache.tiers]\nwarm = 1\n")
    done = processes.gateway("check-config", "--config", file, **environment(manifests.find(text, "Deployment")))
    assert done.returncode == 2
    assert "cache.tiers" in done.stderr
