"""The real binary as processes: its log says where it listens, so no test needs a fixed port or a sleep."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BINARY = TARGET / "debug" / "voyage-gateway"
TOOLS = ROOT / "target" / "tools"
GRPCURL = Path(sys.executable).with_name("grpcurl")
BUF = TOOLS / "node_modules" / ".bin" / "buf"

# Far beyond what anything here takes: it only ends a test that would hang.
PATIENCE = 30


def environment(**variables):
    """Nothing of the tester's own settings but where tools are: neither a key nor a proxy."""
    kept = {name: os.environ[name] for name in ("CARGO_HOME", "RUSTUP_HOME") if name in os.environ}
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **kept, **variables}


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
            # The line a failure ends with is for people.
            event = json.loads(line) if line.startswith("{") else {}
            if event.get("message") == "listening":
                self.addresses[event["port"]] = event["address"]
                if ports <= set(self.addresses):
                    self._listening.set()
        # The process has ended: whoever waits must not wait on.
        self._listening.set()

    @property
    def pid(self):
        return self._process.pid

    def signal(self, number):
        """Sends a signal and does not wait."""
        self._process.send_signal(number)

    def wait(self):
        """Returns the exit status; the log is whole then."""
        status = self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def kill(self):
        """Ends the process, however it is."""
        self._process.kill()
        self.wait()
        self._process.stderr.close()


def simulate(*arguments):
    """Starts a simulated Voyage."""
    return Server(["simulator"], "simulate", "--listen", "127.0.0.1:0", *arguments)


def serve(base_url, *settings, **variables):
    """Starts a gateway that calls `base_url`; every setting is a `section.key=value`.

    Its key is `test-key` unless a variable or a setting says where there are others.
    """
    fixed = [
        "server.listen=127.0.0.1:0",
        "admin.listen=127.0.0.1:0",
        f"upstream.base_url={base_url}",
        "telemetry.log_format=json",
        # Nobody balances load over a test.
        "drain.delay=0s",
    ]
    arguments = [word for setting in [*fixed, *settings] for word in ("--set", setting)]
    pool = any(setting.startswith("upstream.keys=") for setting in settings)
    variables = variables or ({} if pool else {"VOYAGE_API_KEY": "test-key"})
    return Server(["grpc", "admin"], "serve", *arguments, **variables)
