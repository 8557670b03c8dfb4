"""The deployed pods: their restrictions, their sizes, and the behaviour of the process in them."""

import contextlib
import ipaddress
import os
import re
import tomllib
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import deployment as deployments
import manifests
import processes
from manifests import environment, opened_ports
from python_client import embed, failure

# The base alone does not start: it sets no auth.mode.
DEPLOYED = ["overlays/dev", "overlays/production", *manifests.COMBINATIONS]
CALLER = manifests.DEPLOY / "kustomize" / "examples" / "caller.yaml"
UNITS = {"Ki": 2**10, "KiB": 2**10, "Mi": 2**20, "MiB": 2**20, "Gi": 2**30, "GiB": 2**30}


def config_text(text):
    return manifests.find(text, "ConfigMap", "voyage-gateway-config")["data"]["config.toml"]


def effective(name, tmp_path):
    """Returns the effective configuration of a pod, as the binary prints it from the file and the variables."""
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
        # Volumes that the profile `restricted` allows, and none of the host's.
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
def test_rollouts_and_disruptions_are_safe(name):
    """The checks of kube-linter, which may not be available."""
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
    """The example caller has the label, the audience and the address of the production overlay."""
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


def test_the_base_does_not_start_by_itself(tmp_path):
    text = manifests.kustomize("base")
    file = tmp_path / "config.toml"
    file.write_text(config_text(text))
    done = processes.gateway("check-config", "--config", file, **environment(manifests.find(text, "Deployment")))
    assert done.returncode == 2
    assert "auth.mode" in done.stderr


@pytest.mark.parametrize("name", DEPLOYED)
def test_the_configuration_is_valid(name, tmp_path):
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
    passing = amount(config["admission"]["max_bytes"]) + amount(config["batch"]["max_waiting_bytes"])
    assert cache + passing <= 0.7 * limit

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
            incoming |= opened_ports(each["spec"].get("ingress", []))
            outgoing |= opened_ports(each["spec"].get("egress", []))
    assert incoming == {("TCP", port(config["server"]["listen"])), ("TCP", port(config["admin"]["listen"]))}
    dialled = [
        config["upstream"].get("base_url", "https://api.voyageai.com/v1"),
        config["auth"]["jwt"]["jwks_url"],
        variables["OTEL_EXPORTER_OTLP_ENDPOINT"],
    ]
    used = {("TCP", port_of(url)) for url in dialled}
    # Name servers, and the API server's own port, which most networks filter by.
    assert outgoing == used | {("UDP", 53), ("TCP", 53), ("TCP", 6443)}


def peers(policies, direction):
    """Returns the pods that policies of either kind let in or out: namespace, labels and port."""
    found = set()
    for rule in [each for policy in policies for each in policy["spec"].get(direction, [])]:
        for peer in rule.get("from", []) + rule.get("to", []):
            if "podSelector" in peer:
                namespace = peer["namespaceSelector"].get("matchLabels", {})
                assert set(namespace) <= {"kubernetes.io/metadata.name"}
                found |= selected(rule, namespace.get("kubernetes.io/metadata.name"), peer["podSelector"]["matchLabels"])
        for peer in rule.get("fromEndpoints", []) + rule.get("toEndpoints", []):
            labels = dict(peer["matchLabels"])
            namespace = labels.pop("k8s:io.kubernetes.pod.namespace", None)
            # Without a word of namespaces Cilium means its own.
            every = [{"key": "k8s:io.kubernetes.pod.namespace", "operator": "Exists"}]
            assert peer.get("matchExpressions") == (None if namespace else every)
            found |= selected(rule, namespace, labels)
    return found


def selected(rule, namespace, labels):
    return {(namespace, *labels.items(), *opened) for opened in opened_ports([rule])}


def test_both_kinds_of_policies_say_the_same():
    plain = [each for each in manifests.objects(manifests.kustomize("overlays/production")) if each["kind"] == "NetworkPolicy"]
    cilium = manifests.find(manifests.kustomize("jwt-cilium"), "CiliumNetworkPolicy")
    for direction in ["ingress", "egress"]:
        assert peers([cilium], direction) == peers(plain, direction) != set()
    entities = [each for rule in cilium["spec"]["ingress"] for each in rule.get("fromEntities", [])]
    assert entities == ["host"]
    entities = [each for rule in cilium["spec"]["egress"] for each in rule.get("toEntities", [])]
    assert entities == ["kube-apiserver"]
    # Names are let out to by the answers that Cilium sees.
    (names,) = [each for each in cilium["spec"]["egress"] if "toFQDNs" in each]
    assert names["toFQDNs"] == [{"matchName": "api.voyageai.com"}, {"matchName": "ai.mongodb.com"}]
    seen = [ports for rule in cilium["spec"]["egress"] for ports in rule["toPorts"] if "rules" in ports]
    assert [each["rules"] for each in seen] == [{"dns": [{"matchPattern": "*"}]}]
    assert {each["port"] for each in seen[0]["ports"]} == {"53"}


def port_of(url):
    host = url.split("/")[2]
    return int(host.partition(":")[2] or {"https": 443, "http": 80}[url.partition(":")[0]])


def test_the_nodes_metadata_is_unreachable():
    objects = manifests.objects(manifests.kustomize("overlays/production"))
    policies = [each for each in objects if each["kind"] == "NetworkPolicy"]
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
    """A self-signed certificate and its key, as content of Secrets and ConfigMaps."""
    folder = tmp_path_factory.mktemp("certificates")
    key, certificate = folder / "tls.key", folder / "tls.crt"
    names = "subjectAltName=DNS:voyage-gateway.voyage-gateway.svc.cluster.local"
    algorithm = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    options = [*algorithm, "-subj", "/CN=gateway", "-addext", names]
    done = processes.run("openssl", "req", "-x509", *options, "-keyout", key, "-out", certificate)
    assert done.returncode == 0, done.stderr
    return {"tls.crt": certificate.read_text(), "tls.key": key.read_text(), "ca.crt": certificate.read_text()}


TOKEN = "n3q0Wm1bKcVw0s3a8pJ2yH5uTgXe9LrZfD4oQi7BvYk="


def hashed(token):
    """Returns the line for a caller's token, as an operator makes it."""
    made = processes.gateway("hash-token", "--caller", "search", stdin=f"{token}\n")
    assert made.returncode == 0, made.stderr
    return made.stdout


def files(volume, text, certificates):
    """Returns the files of a volume."""
    if "configMap" in volume:
        assert volume["configMap"]["name"] == manifests.mounted_config(text)
        return {"config.toml": config_text(text)}
    if "secret" in volume:
        secrets = {"voyage-api-key": {"api-key": "a-key"}, "voyage-gateway-tls": certificates}
        secrets["voyage-gateway-simulator"] = secrets["voyage-api-key"]
        secrets["voyage-gateway-tokens"] = {"tokens": hashed(TOKEN)}
        return secrets[volume["secret"]["secretName"]]
    projected = {}
    for source in volume["projected"]["sources"]:
        if "serviceAccountToken" in source:
            projected[source["serviceAccountToken"]["path"]] = "a-token"
        for item in source.get("configMap", {}).get("items", []):
            projected[item["path"]] = certificates[item["key"]]
    return projected


def mounted(text, tmp_path, certificates):
    """Writes the pod's volumes to a folder, and returns arguments and variables with paths in that folder."""
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


# Addresses without a listener, for Voyage and the API server.
NOWHERE = {
    "VOYAGE_GATEWAY__UPSTREAM__BASE_URL": "http://127.0.0.1:1/v1",
    "VOYAGE_GATEWAY__AUTH__JWT__JWKS_URL": "https://127.0.0.1:1/jwks",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
}


@pytest.mark.parametrize("name", DEPLOYED)
def test_the_process_answers_the_probes(name, tmp_path, certificates):
    """Runs the pod's process with its files, arguments and variables, but for ports and upstream addresses."""
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


@pytest.mark.parametrize("name", ["tokens", "tokens-cilium"])
def test_a_pod_with_tokens_accepts_its_callers_only(name, tmp_path, certificates):
    arguments, variables = mounted(manifests.kustomize(name), tmp_path, certificates)
    simulator = processes.simulate()
    variables |= {key: value for key, value in NOWHERE.items() if key in variables}
    variables["VOYAGE_GATEWAY__UPSTREAM__BASE_URL"] = deployments.base_url(simulator)
    free = ["--set", "server.listen=127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0"]
    pod = deployments.Deployment(processes.Server(["grpc", "admin"], *arguments, *free, **variables), simulator)
    try:
        for metadata in [], [("authorization", f"Bearer {TOKEN[::-1]}")]:
            refused = failure(embed, pod.channel, "a text", metadata=metadata)
            assert refused.code() is grpc.StatusCode.UNAUTHENTICATED
        assert pod.metric("voyage_gateway_tokens_total") == 0
        assert embed(pod.channel, "a text", metadata=[("authorization", f"Bearer {TOKEN}")]).embeddings
        assert pod.counted("voyage_gateway_tokens_total", billed_to="search") > 0
    finally:
        pod.close()


def listening(pid):
    """Returns the TCP ports that a process listens on, as the kernel knows them."""
    sockets = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        # A descriptor may be closed since it was listed.
        with contextlib.suppress(FileNotFoundError):
            sockets.add(os.readlink(each))
    listed = [line.split() for name in ["tcp", "tcp6"] for line in open(f"/proc/net/{name}").readlines()[1:]]
    own = [fields for fields in listed if f"socket:[{fields[9]}]" in sockets]
    return {int(fields[1].rpartition(":")[2], 16) for fields in own if fields[3] == "0A"}


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("overlays/dev", "VOYAGE_API_KEY_FILE"),
        ("overlays/production", "VOYAGE_GATEWAY__AUTH__JWT__JWKS_CA_FILE"),
        ("tokens", "VOYAGE_GATEWAY__AUTH__TOKENS_FILE"),
        ("mtls", "VOYAGE_GATEWAY__TLS__KEY"),
    ],
)
def test_a_missing_secret_ends_the_process(name, variable, tmp_path, certificates):
    arguments, variables = mounted(manifests.kustomize(name), tmp_path, certificates)
    key = variables[variable]
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
