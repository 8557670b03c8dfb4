"""Services in Python and Go that call with the shipped settings, as processes."""

import json
import subprocess
import sys

import processes

SETTINGS = processes.ROOT / "deploy" / "client" / "service_config.json"
STUBS = processes.TARGET / "interop" / "stubs"

PROGRAMS = {
    "go": [processes.TOOLS / "go" / "load"],
    "python": [sys.executable, processes.ROOT / "tests" / "interop" / "load.py"],
}


class Caller:
    """A process with one channel. `load.py` documents its commands."""

    def __init__(self, language, target, resolve_every=None):
        # Go's flags come before its arguments.
        flags = ["--resolve-every", resolve_every] if resolve_every else []
        self._process = subprocess.Popen(
            [str(word) for word in [*PROGRAMS[language], *flags, target, SETTINGS]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=processes.environment(PYTHONPATH=str(STUBS), no_proxy="*"),
        )

    def load(self, rate):
        """Starts that many calls a second, until `stop`."""
        self._tell(f"load {rate}")

    def calls(self, number):
        """Makes concurrent calls, and returns the number of each status."""
        return self._ask(f"calls {number}")

    def counts(self):
        """Returns the number of each status of the load so far."""
        return self._ask("counts")

    def stop(self):
        """Ends the load, and returns the number of each status of all its calls."""
        output, _ = self._process.communicate(timeout=2 * processes.PATIENCE)
        return json.loads(output)

    def kill(self):
        self._process.kill()
        self._process.wait()

    def _tell(self, line):
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _ask(self, line):
        self._tell(line)
        return json.loads(self._process.stdout.readline())
