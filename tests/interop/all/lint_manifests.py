"""Runs the linters on everything that `deploy/` renders to. Prints their findings; nothing on success.

`make manifests` runs it, and so does test_manifests.py. What is waived, and why, is in `deploy/lint/`.
"""

import fnmatch
import json
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import kubernetes_validate
import yaml

import manifests
import processes

LINT = manifests.DEPLOY / "lint"

# Each call reads whole files of definitions.
kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)


def schemas(renderings):
    """Returns the violations of the strict schemas of every version of Kubernetes."""
    config = yaml.safe_load((LINT / "schemas.yaml").read_text())
    elsewhere = {each["kind"] for each in config["elsewhere"]}
    texts = [*renderings.values(), (manifests.DEPLOY / "kustomize/examples/caller.yaml").read_text()]
    distinct = {json.dumps(each, sort_keys=True): each for text in texts for each in manifests.objects(text)}
    findings = []
    for each in distinct.values():
        if f"{each['apiVersion']}/{each['kind']}" in elsewhere:
            continue
        for version in config["versions"]:
            try:
                kubernetes_validate.validate(each, version, strict=True)
            except kubernetes_validate.SchemaNotFoundError as error:
                findings.append(f"schemas: {error.message}")
            except kubernetes_validate.ValidationError as error:
                path = ".".join(str(part) for part in error.absolute_path)
                findings.append(f"schemas: {version}: {_title(each)} {path}: {error.message}")
    return findings


def crds(renderings):
    """Returns the objects that do not decode strictly into their operators' types."""
    done = _tool([processes.TOOLS / "kube" / "crds"], "\n---\n".join(renderings.values()))
    if done.returncode == 0:
        return []
    return [f"crds: {line}" for line in done.stderr.splitlines()]


def kube_score(renderings):
    """Returns kube-score's findings that no waiver names, and the waivers that name none."""
    config = yaml.safe_load((LINT / "kube-score.yaml").read_text())
    options = [word for check in config["optional"] for word in ("--enable-optional-test", check)]
    waivers = config["waivers"]
    unused = {f"{each['check']} of {each['object']} in {where}" for each in waivers for where in each["where"]}
    findings = []
    for where, text in renderings.items():
        done = _tool([manifests.KUBE / "kube-score", "score", "-", "--output-format", "json", *options], text)
        for scored in json.loads(done.stdout):
            name = f"{scored['type_meta']['kind']}/{scored['object_meta']['name']}"
            for check in scored["checks"]:
                # Grade 10 passes; 7 is a remark.
                if check["skipped"] or check["grade"] >= 10:
                    continue
                waiving = [each for each in waivers if _waives(each, check["check"]["id"], name, where)]
                unused -= {f"{each['check']} of {each['object']} in {where}" for each in waiving}
                if not waiving:
                    said = "; ".join(comment["summary"] for comment in check["comments"] or [])
                    findings.append(f"kube-score: {where}: {name}: {check['check']['id']}: {said}")
    return findings + [f"kube-score: unused waiver: {each}" for each in sorted(unused)]


def _waives(waiver, check, name, where):
    return waiver["check"] == check and fnmatch.fnmatch(name, waiver["object"]) and where in waiver["where"]


def checkov(renderings):
    """Returns checkov's findings."""
    with tempfile.TemporaryDirectory() as folder:
        for where, text in renderings.items():
            (Path(folder) / (where.replace("/", "-").replace(" ", "-") + ".yaml")).write_text(text)
        options = ["--config-file", LINT / "checkov.yaml", "--output", "json"]
        done = _tool([processes.TOOLS / "checkov" / "bin" / "checkov", "--directory", folder, *options])
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 0
    failed = report["results"]["failed_checks"]
    return [f"checkov: {each['file_path']}: {each['resource']}: {each['check_name']}" for each in failed]


def helm_lint(_renderings):
    """Returns the findings of `helm lint --strict` for each set of values."""
    findings = []
    for values in manifests.TWINS:
        try:
            manifests.helm_lint(values)
        except AssertionError as error:
            findings.append(f"helm lint: {values}: {error}")
    return findings


def kube_linter(renderings):
    """Returns kube-linter's findings."""
    options = ["--config", LINT / "kube-linter.yaml", "--format", "json"]
    findings = []
    for where, path in _files(renderings):
        done = _tool([_optional("kube-linter"), "lint", *options, path])
        for report in json.loads(done.stdout)["Reports"] or []:
            of = report["Object"]["K8sObject"]
            name = f"{of['GroupVersionKind']['Kind']}/{of['Name']}"
            findings.append(f"kube-linter: {where}: {name}: {report['Check']}: {report['Diagnostic']['Message']}")
    return findings


def polaris(renderings):
    """Returns polaris' findings, warnings too."""
    options = ["--config", LINT / "polaris.yaml", "--only-show-failed-tests", "--format", "json"]
    findings = []
    for where, path in _files(renderings):
        done = _tool([_optional("polaris"), "audit", *options, "--audit-path", path])
        for result in json.loads(done.stdout)["Results"] or []:
            name = f"{result['Kind']}/{result['Name']}"
            for check, message in _failed(result):
                findings.append(f"polaris: {where}: {name}: {check}: {message}")
    return findings


def _failed(result):
    """The messages of an object, its pod and their containers."""
    pod = result.get("PodResult") or {}
    parts = [result, pod, *(pod.get("ContainerResults") or [])]
    messages = [each for part in parts for each in (part.get("Results") or {}).values()]
    return [(each["ID"], each["Message"]) for each in messages if not each["Success"]]


# setup.sh reports when it cannot install these two; the PATH may have them.
OPTIONAL = {"kube-linter": kube_linter, "polaris": polaris}
LINTERS = {"schemas": schemas, "crds": crds, "kube-score": kube_score, "checkov": checkov, "helm lint": helm_lint}


def _optional(name):
    return shutil.which(manifests.KUBE / name) or shutil.which(name)


def present():
    """Returns the linters that can be run here, by their names."""
    return LINTERS | {name: lint for name, lint in OPTIONAL.items() if _optional(name)}


def _files(renderings):
    """Yields each rendering as a file, for linters that read files only."""
    with tempfile.TemporaryDirectory() as folder:
        for where, text in renderings.items():
            path = Path(folder) / "manifests.yaml"
            path.write_text(text)
            yield where, path


def _tool(command, stdin=None):
    return subprocess.run(
        [str(word) for word in command],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        env=processes.environment(),
        timeout=processes.PATIENCE,
        check=False,
    )


def _title(each):
    return f"{each['kind']}/{each['metadata']['name']}"


def main():
    renderings = manifests.renderings()
    findings = [finding for lint in present().values() for finding in lint(renderings)]
    print("".join(f"{finding}\n" for finding in findings), end="")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
