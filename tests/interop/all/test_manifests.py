"""The manifests pass the linters, and are the same by kustomize and by Helm."""

import copy
import re
import shutil
import tomllib

import pytest
import yaml

import lint_manifests
import manifests
import processes

OVERLAYS = ["overlays/dev", "overlays/production"]


@pytest.mark.parametrize("linter", [*lint_manifests.LINTERS, *lint_manifests.OPTIONAL])
def test_linters_find_nothing(linter):
    if linter not in lint_manifests.present():
        pytest.skip(f"left out: {linter} is not in the module proxy, and not on the PATH")
    assert lint_manifests.present()[linter](manifests.renderings()) == []


def spoilt(change):
    """Returns a rendering with a mistake in its Deployment."""
    objects = copy.deepcopy(manifests.objects(manifests.kustomize("overlays/production")))
    change(next(each for each in objects if each["kind"] == "Deployment")["spec"]["template"]["spec"])
    return {"spoilt": "\n---\n".join(yaml.safe_dump(each) for each in objects)}


@pytest.mark.parametrize(
    ("linter", "change"),
    [
        ("schemas", lambda pod: pod.update(terminationGracePeriod=45)),
        ("schemas", lambda pod: pod["containers"][0]["startupProbe"]["grpc"].update(port="9090")),
        ("kube-score", lambda pod: pod["containers"][0]["securityContext"].update(readOnlyRootFilesystem=False)),
        ("checkov", lambda pod: pod["containers"][0]["securityContext"].update(allowPrivilegeEscalation=True)),
    ],
)
def test_linters_find_mistakes(linter, change):
    findings = lint_manifests.LINTERS[linter](spoilt(change))
    assert [each for each in findings if "waiver" not in each]


def test_operators_types_are_strict():
    text = manifests.kustomize("overlays/production").replace("jobLabel:", "jobLabels:")
    assert any("jobLabels" in each for each in lint_manifests.crds({"spoilt": text}))


@pytest.mark.parametrize(("values", "twin"), manifests.TWINS.items())
def test_helm_renders_what_kustomize_does(values, twin):
    ours, theirs = manifests.normal(manifests.helm(values)), manifests.normal(manifests.kustomize(twin))
    assert sorted(ours) == sorted(theirs)
    for name, each in ours.items():
        assert each == theirs[name], name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubectl_renders_what_kustomize_does(overlay):
    if not shutil.which("kubectl"):
        pytest.skip("left out: there is no kubectl on the PATH")
    done = processes.run("kubectl", "kustomize", manifests.DEPLOY / "kustomize" / overlay)
    assert done.returncode == 0, done.stderr
    assert manifests.objects(done.stdout) == manifests.objects(manifests.kustomize(overlay))


def test_a_changed_configuration_is_a_rolling_update():
    other = manifests.render_helm("--set", "config=[cache]")
    names = {manifests.mounted_config(each) for each in [other, manifests.helm("defaults")]}
    assert len(names) == 2
    for overlay in OVERLAYS:
        name = manifests.mounted_config(manifests.kustomize(overlay))
        assert re.fullmatch(r"voyage-gateway-config-[a-z0-9]{10}", name)


@pytest.mark.parametrize("rendered", sorted(manifests.renderings()))
def test_a_pod_says_which_configuration_it_runs_with(rendered):
    text = manifests.renderings()[rendered]
    annotations = manifests.find(text, "Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["checksum/config"] == manifests.mounted_config(text)


def test_two_releases_can_coexist():
    text = manifests.render_helm("--set", "name=other")
    for each in manifests.objects(text):
        assert each["metadata"]["name"].startswith("other"), each["metadata"]
        assert each["metadata"]["labels"]["app.kubernetes.io/instance"] in ("other", "other-simulator")


def test_a_dummy_key_never_replaces_a_real_one():
    """Its removal deletes none either: Helm deletes objects that a release no longer has."""

    def mounted(text):
        volumes = manifests.find(text, "Deployment")["spec"]["template"]["spec"]["volumes"]
        return {each["secret"]["secretName"] for each in volumes if "secret" in each}

    named = manifests.render_helm("--set", "apiKey.secretName=ours", "--set", "apiKey.file=")
    for text in [manifests.kustomize("overlays/dev"), manifests.helm("defaults"), named]:
        made = {each["metadata"]["name"] for each in manifests.objects(text) if each["kind"] == "Secret"}
        assert mounted(text) == made
        assert not made & {"ours", *mounted(manifests.helm("production")), *mounted(manifests.kustomize("base"))}
        assert manifests.environment(manifests.find(text, "Deployment"))["VOYAGE_API_KEY_FILE"].endswith("/api-key")


def test_optional_values():
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
    assert "VOYAGE_API_KEY_FILE" not in manifests.environment(deployment)
    assert pod["nodeSelector"] == {"pool": "apps"}
    assert pod["tolerations"] == [{"key": "apps", "operator": "Exists"}]
    assert pod["priorityClassName"] == "interactive"
    assert manifests.container(deployment)["image"].endswith("voyage-gateway@sha256:" + 64 * "a")
    for kind in ["PodMonitor", "PrometheusRule"]:
        assert manifests.find(text, kind)["metadata"]["labels"]["release"] == "stack"
    collector = manifests.find(text, "NetworkPolicy", "voyage-gateway-collector")
    assert manifests.opened_ports(collector["spec"]["egress"]) == {("TCP", 4999)}
    assert lint_manifests.schemas({"besides": text}) == []


@pytest.mark.parametrize("word", ["123", "true", "null", "1e3"])
def test_texts_stay_texts(word):
    """Texts that YAML reads as a number, a boolean or null."""
    named = ["auth.jwt.audience", "auth.jwt.issuer", "auth.tokens.secretName", "auth.mtls.secretName", "apiKey.secretName"]
    named += ["priorityClassName", "monitoring.namespace", "gatewayApi.gateway.name", "gatewayApi.gateway.namespace"]
    named += ["image.pullSecrets[0]", *(["name"] if word.isalpha() else [])]
    for mode, policy in [("jwt", "kubernetes"), ("tokens", "cilium"), ("mtls", "kubernetes")]:
        text = manifests.render_helm(
            *manifests.helm_arguments("production"),
            *["--set", f"auth.mode={mode}", "--set", f"networkPolicy.kind={policy}"],
            *["--set", f"gatewayApi.enabled={'false' if mode == 'mtls' else 'true'}"],
            *[part for each in named for part in ("--set-string", f"{each}={word}")],
        )
        assert lint_manifests.schemas({mode: text}) == []
        assert lint_manifests.crds({mode: text}) == []
        for each in manifests.objects(text):
            assert isinstance(each["metadata"]["name"], str)
            assert all(isinstance(label, str) for label in each["metadata"]["labels"].values())
        deployment = manifests.find(text, "Deployment", word if word.isalpha() else "voyage-gateway")
        assert manifests.container(deployment)["name"] == "voyage-gateway"
        volumes = deployment["spec"]["template"]["spec"]["volumes"]
        secrets = {each["secret"]["secretName"] for each in volumes if "secret" in each}
        assert secrets == {word}
        if mode == "jwt":
            assert manifests.environment(deployment)["VOYAGE_GATEWAY__AUTH__JWT__AUDIENCE"] == word


def test_a_configuration_arrives_as_it_is(tmp_path):
    written = '  # "quoted": {{ not a template }}\n\n[cache]\nmax_bytes = "1MiB"\t# \'so\'\n---\n'
    file = tmp_path / "config.toml"
    file.write_text(written)
    config = manifests.find(manifests.render_helm("--set-file", f"config={file}"), "ConfigMap", "voyage-gateway-config")
    assert config["data"] == {"config.toml": written}


@pytest.mark.parametrize(
    ("values", "how"), [("defaults", "-plaintext -d"), ("production", "Bearer"), ("mtls", "-cert"), ("tokens", "callers.md describes tokens")]
)
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
        ("image.repository=registry:5000/voyage-gateway:1.0", "repository"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("auth.mode=token", "mode"),
        ("auth.tokens.secret=a", "secret"),
        ("auth.jwt.jwks_url=https://a", "jwks_url"),
        ("auth.jwt.jwksUrl=http://a", "jwksUrl"),
        ("networkPolicy.kind=calico", "kind"),
        ("monitoring.kind=podmonitor", "kind"),
        ("resources.limits.memory=lots", "memory"),
        ("resources.limits.gpu=1", "gpu"),
        ("tolerations[0].kee=a", "kee"),
        ("gatewayApi.gateway.port=1", "port"),
        ("tracing.endpoint=collector", "endpoint"),
        ("tracing.endpoint=http://a b:1", "endpoint"),
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
