"""The objects that kustomize and Helm render from `deploy/`."""

import os
import re
import subprocess
from functools import cache

import yaml

import processes

DEPLOY = processes.ROOT / "deploy"
CHART = DEPLOY / "helm" / "voyage-gateway"
KUBE = processes.TOOLS / "kube"

# Valid combinations of components; their kustomization.yaml names those that are not allowed.
COMBINATIONS = {
    "jwt": ["jwt-auth", "network-policy"],
    "jwt-cilium": ["jwt-auth", "network-policy-cilium", "autoscaling", "tracing"],
    "jwt-route": ["jwt-auth", "network-policy", "gateway-api", "monitoring-by-service"],
    "mtls": ["mtls", "network-policy", "monitoring", "autoscaling"],
    "mtls-cilium": ["mtls", "network-policy-cilium", "monitoring-by-service"],
    "tokens": ["tokens-auth", "network-policy", "autoscaling", "tracing"],
    "tokens-cilium": ["tokens-auth", "network-policy-cilium", "gateway-api"],
    "open-route": ["open", "gateway-api"],
}

# `auth.mode = "none"`, which no component sets: the dev overlay sets it by a patch of its own, and so do tests.
OPEN = """
patches:
  - patch: |-
      apiVersion: apps/v1
      kind: Deployment
      metadata:
        name: voyage-gateway
      spec:
        template:
          spec:
            containers:
              - name: voyage-gateway
                env:
                  - name: VOYAGE_GATEWAY__AUTH__MODE
                    value: none
"""

# The values of the chart, and the kustomization they must equal.
TWINS = {
    "defaults": "overlays/dev",
    "dev": "overlays/dev",
    "production": "overlays/production",
    "mtls": "mtls-cilium",
    "tokens": "tokens-cilium",
    "open": "open-route",
}


def _run(*command):
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        encoding="utf-8",
        env=processes.environment(HELM_CACHE_HOME=str(KUBE / "helm")),
        timeout=processes.PATIENCE * 10,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"{command[0]} ends with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


@cache
def kustomize(name):
    """Renders the base, an overlay by its folder, or a combination of components by its name."""
    folder = DEPLOY / "kustomize" / name
    if name in COMBINATIONS:
        folder = processes.TARGET / "interop" / "kustomize" / name
        folder.mkdir(parents=True, exist_ok=True)
        here = os.path.relpath(DEPLOY / "kustomize", folder)
        components = [each for each in COMBINATIONS[name] if each != "open"]
        text = f"resources:\n  - {here}/base\ncomponents:\n"
        text += "".join(f"  - {here}/components/{each}\n" for each in components)
        text += OPEN if "open" in COMBINATIONS[name] else ""
        (folder / "kustomization.yaml").write_text(text)
    return _run(KUBE / "kustomize", "build", folder)


def helm_arguments(name):
    """Returns the arguments that choose values: `defaults`, or a file of the chart's ci/ by its name."""
    if name == "defaults":
        return []
    arguments = ["--values", CHART / "ci" / f"{name}-values.yaml"]
    if name == "production":
        # Too large for values, so it is a file here too.
        config = DEPLOY / "kustomize/overlays/production/config.toml"
        arguments += ["--set-file", f"config={config}"]
    return arguments


@cache
def helm(name):
    """Renders the chart with the values of that name."""
    return render_helm(*helm_arguments(name))


def render_helm(*arguments):
    """Renders the chart. A refusal is an AssertionError."""
    return _run(KUBE / "helm", "template", CHART, *arguments)


def helm_notes(name):
    """Returns the notes of `helm install` with the values of that name."""
    text = _run(KUBE / "helm", "install", "voyage-gateway", CHART, "--dry-run=client", *helm_arguments(name))
    return text.partition("\nNOTES:\n")[2]


def helm_lint(name):
    """Returns the findings of `helm lint` with the values of that name."""
    return _run(KUBE / "helm", "lint", "--strict", "--quiet", CHART, *helm_arguments(name))


def renderings():
    """Returns the text of everything that can be rendered, by a name."""
    names = ["base", "overlays/dev", "overlays/production", *COMBINATIONS]
    rendered = {f"kustomize {name}": kustomize(name) for name in names}
    return rendered | {f"helm {name}": helm(name) for name in TWINS}


def objects(text):
    """Parses a rendering."""
    return [each for each in yaml.safe_load_all(text) if each]


def find(text, kind, name="voyage-gateway"):
    """Returns the object of that kind and name, the hash at its end apart."""
    found = [each for each in objects(text) if each["kind"] == kind and _plain(each["metadata"]["name"]) == name]
    assert len(found) == 1, (kind, name, len(found))
    return found[0]


def container(deployment):
    """Returns a Deployment's one container."""
    (only,) = deployment["spec"]["template"]["spec"]["containers"]
    return only


def environment(deployment):
    """Returns the variables of the container that are values."""
    return {each["name"]: each["value"] for each in container(deployment)["env"] if "value" in each}


def opened_ports(rules):
    """Returns the ports that a policy's rules open; a rule without any would open all."""
    opened = set()
    for rule in rules:
        listed = rule["ports"] if "ports" in rule else [port for each in rule["toPorts"] for port in each["ports"]]
        assert listed
        opened |= {(each["protocol"], int(each["port"])) for each in listed}
        assert set(rule) & {"from", "to", "fromEndpoints", "fromEntities", "toEndpoints", "toEntities", "toFQDNs"}
    return opened


def mounted_config(text):
    """Returns the name of the ConfigMap that the gateway's pods mount, its hash included."""
    volumes = find(text, "Deployment")["spec"]["template"]["spec"]["volumes"]
    return next(each["configMap"]["name"] for each in volumes if each["name"] == "config")


def _plain(name):
    return re.sub(r"^(voyage-gateway-config)-[a-z0-9]{10}$", r"\1", name)


def _normal(value):
    """Normalizes objects: lists of named items by name, without traces of the tool."""
    if isinstance(value, dict):
        return {key: _normal(each) for key, each in value.items() if key != "helm.sh/chart"}
    if isinstance(value, list):
        items = [_normal(each) for each in value]
        named = all(isinstance(each, dict) and "name" in each for each in items)
        return sorted(items, key=lambda each: each["name"]) if named else items
    return _plain(value).rstrip("\n") if isinstance(value, str) else value


def normal(text):
    """Returns the objects by kind and name, without labels and names that depend on the renderer."""
    by_name = {}
    for each in objects(text):
        each["metadata"].pop("namespace", None)
        labels = [each["metadata"].get("labels", {})]
        labels += [each["spec"]["template"]["metadata"]["labels"]] if each["kind"] == "Deployment" else []
        for some in labels:
            some.pop("app.kubernetes.io/managed-by")
        key = f"{each['kind']}/{_plain(each['metadata']['name'])}"
        assert key not in by_name, key
        by_name[key] = _normal(each)
    return by_name
