"""The real binary as processes. Its log names the addresses it listens on, so no test needs a fixed port or a sleep."""

import json
import os
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BINARY = TARGET / "debug" / "voyage-gateway"
TOOLS = ROOT / "target" / "tools"
GRPCURL = Path(sys.executable).with_name("grpcurl")
BUF = TOOLS / "node_modules" / ".bin" / "buf"

# Seconds. It only ends a test that hangs: no test may fail because the machine is busy.
PATIENCE = 120


def environment(**variables):
    """Returns the variables of a child process: only those that locate tools, no key and no proxy."""
    kept = {name: os.environ[name] for name in ("CARGO_HOME", "RUSTUP_HOME") if name in os.environ}
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **kept, **variables}


def eventually(probe, what, patience=PATIENCE):
    """Polls until `probe` returns a true value, and returns that value."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if found := probe():
            return found
        # Only limits the rate of polling.
        time.sleep(0.02)
    raise AssertionError(f"not within {patience} s: {what}")


def get(address, path, **query):
    """Returns the status and the text of a page."""
    connection = HTTPConnection(address, timeout=PATIENCE)
    try:
        connection.request("GET", f"{path}?{urlencode(query, doseq=True)}" if query else path)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


def run(*command, stdin=None, **variables):
    """Runs a command to its end."""
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        encoding="utf-8",
        env=environment(**variables),
        input=stdin,
        timeout=PATIENCE,
        check=False,
    )


def gateway(*arguments, **variables):
    """Runs a subcommand of the binary to its end."""
    return run(BINARY, *arguments, **variables)


class Server:
    """A subcommand that listens until it is stopped."""

    def __init__(self, ports, *arguments, command=(BINARY,), **variables):
        self.addresses = {}
        self.log = []
        self._listening = threading.Event()
        self._process = subprocess.Popen(
            [str(word) for word in [*command, *arguments]],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env=environment(**variables),
        )
        self._reader = threading.Thread(target=self._read, args=(set(ports),), daemon=True)
        self._reader.start()
        self._listening.wait(PATIENCE)
        if not set(ports) <= set(self.addresses):
            self.kill()
            raise AssertionError(f"{arguments[0]} does not listen on {ports}:\n" + "\n".join(self.log))

    def _read(self, ports):
        for line in self._process.stderr:
            self.log.append(line.rstrip())
            # The last line of a failed start is plain text.
            event = json.loads(line) if line.startswith("{") else {}
            if event.get("message") == "listening":
                self.addresses[event["port"]] = event["address"]
                if ports <= set(self.addresses):
                    self._listening.set()
        # The process has ended: release the waiting test.
        self._listening.set()

    @property
    def pid(self):
        return self._process.pid

    def logged(self, word, count=1):
        """Waits until that many lines of the log contain the word: a line may follow the reply it is about."""
        eventually(lambda: sum(word in line for line in self.log) >= count, f"{count} log lines with {word!r}")

    def signal(self, number):
        """Sends a signal and does not wait."""
        self._process.send_signal(number)

    def wait(self):
        """Returns the exit status. The log is complete afterwards."""
        status = self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def kill(self):
        """Ends the process with SIGKILL."""
        self._process.kill()
        self.wait()
        self._process.stderr.close()


def simulate(*arguments):
    """Starts a simulated Voyage."""
    return Server(["simulator"], "simulate", "--listen", "127.0.0.1:0", *arguments)


def serve(base_url, *settings, **variables):
    """Starts a gateway that calls `base_url`; every setting is a `section.key=value`.

    Its key is `test-key` unless a variable or a setting names other keys.
    """
    fixed = [
        "server.listen=127.0.0.1:0",
        "admin.listen=127.0.0.1:0",
        f"upstream.base_url={base_url}",
        "telemetry.log_format=json",
        # No load balancer has to notice the drain.
        "drain.delay=0s",
    ]
    arguments = [word for setting in [*fixed, *settings] for word in ("--set", setting)]
    pool = any(setting.startswith("upstream.keys=") for setting in settings)
    variables = variables or ({} if pool else {"VOYAGE_API_KEY": "test-key"})
    return Server(["grpc", "admin"], "serve", *arguments, **variables)
