"""The services of deploy/compose.yaml as plain processes, started and stopped as by compose.

Each has an address of its own on this machine's loopback, as each has one in compose's network: every port stays as it
is, and only names become addresses. A folder of its own stands for a service's root; what is mounted lies there.
"""

import json
import random
import re
import shlex
import subprocess
from pathlib import Path

import observers
import processes

FILE = processes.ROOT / "deploy" / "compose.yaml"
LOADER = processes.TOOLS / "go" / "compose"

# The programs of the images. Grafana's is not available as a program.
PROGRAMS = {
    "voyage-gateway": processes.BINARY,
    "otel/opentelemetry-collector": observers.COLLECTOR,
    "jaegertracing/jaeger": processes.TOOLS / "compose" / "jaeger",
    "prom/prometheus": processes.TOOLS / "compose" / "prometheus",
    "grafana/grafana": None,
}

# Their default is to listen on every address, which is right in a container only.
LISTEN = {
    "prometheus": ["--web.listen-address=0.0.0.0:9090"],
    "jaeger": [
        "--set=extensions.jaeger_query.http.endpoint=0.0.0.0:16686",
        "--set=extensions.jaeger_query.grpc.endpoint=0.0.0.0:16685",
        "--set=extensions.healthcheckv2.grpc.endpoint=0.0.0.0:13132",
    ],
}


def load(file=FILE, **variables):
    return processes.run(LOADER, file, **variables)


def commands(name):
    """Yields the commands of the file's first comment that begin with `name`: the variables and the words of each."""
    comment = [line[1:].strip() for line in FILE.read_text().partition("\nname:")[0].splitlines()]
    for line in comment:
        words = shlex.split(line) if f"{name} " in line else []
        variables = dict(word.split("=", 1) for word in words if re.match("[A-Z_]+=", word))
        if name in words and words.index(name) == len(variables):
            yield variables, words[len(variables) :]


class Services:
    """All services, or the named ones with their dependencies."""

    def __init__(self, folder, *names, **variables):
        done = load(**variables)
        assert done.returncode == 0, done.stderr
        self._project = json.loads(done.stdout)
        self._services = self._project["services"]
        self._folder = folder
        network = f"127.{random.randint(1, 254)}.{random.randint(0, 255)}"
        self._hosts = {name: f"{network}.{number}" for number, name in enumerate(self._services, 2)}
        self._processes = {}
        try:
            for name in names or self._services:
                self._up(name)
        except BaseException:
            self.close()
            raise

    def __getitem__(self, name):
        return self._services[name]

    def address(self, name, port):
        return f"{self._hosts[name]}:{port}"

    def published(self, port):
        """Returns the address of the service behind a published port."""
        [found] = [
            self.address(name, each["target"])
            for name, service in self._services.items()
            for each in service.get("ports", [])
            if each["published"] == str(port)
        ]
        return found

    def ask(self, name, port, path, **query):
        """Returns the text of a reply with status 200, else None."""
        try:
            status, text = observers.get(self.address(name, port), path, **query)
        except OSError:
            return None
        return text if status == 200 else None

    def healthy(self, name):
        """Runs the container's health check, with this process's address."""
        kind, _, *words = self[name]["healthcheck"]["test"]
        assert kind == "CMD"
        program = PROGRAMS[self._image(name)]
        return processes.run(program, *words, "--address", self.address(name, 9090)).returncode == 0

    def log(self, name):
        return (self._folder / name / "log").read_text()

    def down(self, name):
        """Ends a service as `docker compose down` does. It must exit with 0."""
        process = self._processes[name]
        process.terminate()
        status = process.wait(processes.PATIENCE)
        assert status == 0, f"{name} ends with {status}:\n{self.log(name)}"

    def running(self):
        """Returns the started services, in order."""
        return list(self._processes)

    def needed_by(self, name):
        """Returns the services that depend on it: they start after it, and end before it."""
        return [other for other, service in self._services.items() if name in service.get("depends_on", {})]

    def close(self):
        for process in self._processes.values():
            process.kill()
            process.wait(processes.PATIENCE)

    def _up(self, name):
        """Starts a service after its dependencies, which may not listen yet, as with compose."""
        for other in self[name].get("depends_on", {}):
            self._up(other)
        service = self[name]
        program = PROGRAMS[self._image(name)]
        if name in self._processes or not program:
            return
        root = self._folder / name
        root.mkdir()
        self._mount(name)
        words = [*(service["command"] or []), *LISTEN.get(name, [])]
        variables = {key: self._here(name, value) for key, value in service.get("environment", {}).items()}
        with (root / "log").open("w") as log:
            self._processes[name] = subprocess.Popen(
                [str(program), *(self._here(name, word) for word in words)],
                stdout=log,
                stderr=log,
                cwd=root,
                env=processes.environment(**variables),
            )

    def _image(self, name):
        return self[name]["image"].rpartition(":")[0]

    def _mounts(self, name):
        """Returns the path in the container and the file here, of volumes and secrets."""
        files = {volume["target"]: volume["source"] for volume in self[name].get("volumes", [])}
        for secret in self[name].get("secrets", []):
            files[secret["target"]] = self._project["secrets"][secret["source"]]["file"]
        return files

    def _mount(self, name):
        for target, source in self._mounts(name).items():
            copy = Path(f"{self._folder / name}{target}")
            copy.parent.mkdir(parents=True, exist_ok=True)
            # Keys are copied as they are.
            text = Path(source).read_text()
            copy.write_text(text if target.startswith("/run/secrets/") else self._here(name, text))

    def _here(self, name, text):
        """Replaces a container's addresses and paths by those of its process. Nothing else in the file changes."""
        text = text.replace("0.0.0.0", self._hosts[name])
        for other, host in self._hosts.items():
            text = re.sub(rf"(?<![\w.-]){other}(?=:\d)", host, text)
        for target in self._mounts(name):
            text = text.replace(target, f"{self._folder / name}{target}")
        return text
