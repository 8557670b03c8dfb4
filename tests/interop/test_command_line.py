"""The binary's other subcommands, exit statuses and signals."""

import json
import math
import signal
import socket
import tomllib

import pytest

import processes
from processes import gateway


def test_check_config_approves():
    done = gateway("check-config", "--set", "cache.ttl=12h", VOYAGE_GATEWAY__BATCH__MAX_INPUTS="128")
    assert (done.returncode, done.stdout) == (0, "the configuration is valid\n")


def test_check_config_lists_every_problem(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text('[cache]\nttl = "a-long-while"\n[surprise]\n')
    done = gateway(
        *["check-config", "--config", file, "--set", "server.listen=somewhere"],
        VOYAGE_GATEWAY__BATCH__MAX_INPUTS="100000",
    )
    assert done.returncode == 2
    for key in ("cache.ttl", "surprise", "server.listen", "batch.max_inputs"):
        assert any(line.startswith(f"{key}: ") for line in done.stderr.splitlines()), done.stderr
    for value in ("a-long-while", "somewhere", "100000"):
        assert value not in done.stderr


def test_print_config_feeds_back_unchanged(tmp_path):
    settings = ["cache.ttl=90m", 'upstream.base_url="http://127.0.0.1:1/v1"', "server.reflection=false"]
    arguments = [word for setting in settings for word in ("--set", setting)]
    first = gateway("print-config", *arguments, VOYAGE_API_KEY="not-to-be-printed")
    assert first.returncode == 0, first.stderr
    assert "not-to-be-printed" not in first.stdout
    config = tomllib.loads(first.stdout)
    assert config["server"] == {**config["server"], "reflection": False, "listen": "127.0.0.1:50051"}
    assert config["upstream"]["base_url"] == "http://127.0.0.1:1/v1"

    file = tmp_path / "printed.toml"
    file.write_text(first.stdout)
    assert gateway("print-config", "--config", file).stdout == first.stdout


def test_the_example_is_the_default():
    example = processes.ROOT / "config.example.toml"
    assert gateway("print-config", "--config", example).stdout == gateway("print-config").stdout


@pytest.mark.parametrize(
    "variables, word",
    [
        ({}, "VOYAGE_API_KEY"),
        ({"VOYAGE_API_KEY": " "}, "empty"),
        ({"VOYAGE_API_KEY": "a", "VOYAGE_API_KEY_FILE": "b"}, "both"),
        ({"VOYAGE_API_KEY_FILE": "/no/such/file"}, "/no/such/file"),
        ({"VOYAGE_API_KEY_FILE": "/dev/zero"}, "/dev/zero"),
        ({"VOYAGE_API_KEY": "k" * 100_000}, "512"),
    ],
    ids=["none", "empty", "two", "no file", "endless", "long"],
)
def test_serve_needs_a_key(variables, word):
    done = gateway("serve", "--set", "server.listen=127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0", **variables)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert word in line


@pytest.mark.parametrize(
    "pool, variables, word",
    [
        ('[{alias="a", file="/no/such/file"}]', {}, "/no/such/file"),
        ('[{alias="a", file="/dev/null"}]', {"VOYAGE_API_KEY": "a"}, "unset VOYAGE_API_KEY"),
        ('[{alias="a", file="pa-key"}]', {}, "looks like the key itself"),
        ('[{alias="a", file="/a"}, {alias="a", file="/b"}]', {}, "must differ"),
    ],
    ids=["no file", "two places", "no path", "one alias"],
)
def test_serve_needs_every_key_of_the_pool(pool, variables, word):
    done = gateway("serve", "--set", f"upstream.keys={pool}", **variables)
    assert done.returncode == 2
    assert word in done.stderr.splitlines()[-1] and "pa-key" not in done.stderr


def test_serve_beyond_loopback_requires_an_auth_mode():
    done = gateway("serve", "--set", "server.listen=0.0.0.0:0", VOYAGE_API_KEY="key")
    assert done.returncode == 2
    assert "auth.mode" in done.stderr


def test_serve_warns_without_authentication_and_encryption():
    server = processes.serve("http://voyage.invalid/v1", "server.listen=0.0.0.0:0", "auth.mode=none")
    server.logged('"WARN"', 2)
    server.kill()
    warnings = [event["message"] for event in map(json.loads, server.log) if event["level"] == "WARN"]
    assert [warning.partition(" ")[0] for warning in warnings] == ["auth.mode", "upstream.base_url"]


def test_serve_needs_a_cache_key_file_that_can_be_read():
    done = gateway("serve", "--set", "cache.key_file=/no/such/file", VOYAGE_API_KEY="key")
    assert done.returncode == 2
    assert "cache.key_file /no/such/file: " in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("port", ["server.listen", "admin.listen"])
def test_a_port_in_use(deployment, port):
    listen = {"server.listen": "127.0.0.1:0", "admin.listen": "127.0.0.1:0", port: deployment.address}
    arguments = [word for key, value in listen.items() for word in ("--set", f"{key}={value}")]
    done = gateway("serve", *arguments, VOYAGE_API_KEY="key")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert port in last and deployment.address in last and "in use" in last


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_status_0(deploy, number):
    server = deploy().server
    server.signal(number)
    assert server.wait() == 0
    assert [json.loads(line)["message"] for line in server.log][-2:] == ["draining", "stopped"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_simulator_with_status_0(number):
    simulator = processes.simulate()
    simulator.signal(number)
    assert simulator.wait() == 0


def test_demo_shows_a_search():
    done = gateway("demo", "--once")
    assert done.returncode == 0, done.stderr
    assert "how do I keep my bread fresh?" in done.stdout
    assert "all from the cache" in done.stdout
    assert "(all texts reranked)\n    0." in done.stdout
    assert "(among two pictures)\n    0.80  banana.png" in done.stdout
    assert "(chunks of one document, in its context)\n    0." in done.stdout
    assert "grpcurl -plaintext -d" in done.stdout
    assert "in a browser:\n  http://127.0.0.1:9090/" in done.stdout


def test_embed_prints_a_line_a_text(deployment):
    url = f"http://{deployment.address}"
    done = gateway("embed", "--gateway", url, "--dimension", "256", "hello")
    assert done.returncode == 0, done.stderr
    [line] = done.stdout.splitlines()
    numbers = [float(number) for number in line.split(" ")]
    assert len(numbers) == 256
    assert math.isclose(math.hypot(*numbers), 1, abs_tol=1e-4)

    lines = processes.run(processes.BINARY, "embed", "--gateway", url, stdin="hello\nworld\n").stdout
    assert len(lines.splitlines()) == 2


def test_embed_reports_a_refused_connection():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        done = gateway("embed", "--gateway", "127.0.0.1:%d" % free.getsockname()[1], "hello")
    assert done.returncode == 1
    assert "no gateway at 127.0.0.1:" in done.stderr and "refused" in done.stderr


def test_embed_reports_an_invalid_argument(deployment):
    done = gateway("embed", "--gateway", f"http://{deployment.address}", "--dimension", "7", "hello")
    assert (done.returncode, done.stdout) == (1, "")
    assert "output_dimension" in done.stderr


def test_health_works_as_a_probe(deploy):
    own = deploy(settings=["drain.delay=1h"])
    for service in ([], ["readiness"], ["liveness"], ["voyage.gateway.v1.EmbeddingService"]):
        done = gateway("health", "--address", own.admin, "--timeout", "2m", *service)
        assert (done.returncode, done.stdout) == (0, "SERVING\n"), done.stderr

    unknown = gateway("health", "--address", own.admin, "--timeout", "2m", "no.such.Service")
    assert unknown.returncode == 1 and "no such service" in unknown.stderr
    wrong = gateway("health", "--address", "no address")
    assert wrong.returncode == 1 and "HOST:PORT" in wrong.stderr
    assert gateway("health", "--timeout", "no-time").returncode == 2

    own.server.signal(signal.SIGTERM)
    processes.eventually(lambda: own.get("/readyz")[0] != 200, "a gateway that drains")
    done = gateway("health", "--address", own.admin, "--timeout", "2m")
    assert (done.returncode, done.stdout) == (1, "NOT_SERVING\n")
    # A draining process is alive: a probe must not restart it.
    done = gateway("health", "--address", own.admin, "--timeout", "2m", "liveness")
    assert (done.returncode, done.stdout) == (0, "SERVING\n")


def test_health_reports_a_refused_connection():
    with socket.socket() as bound:  # and never listening
        bound.bind(("127.0.0.1", 0))
        address = "{}:{}".format(*bound.getsockname())
        done = gateway("health", "--address", address, "--timeout", "2m")
    assert done.returncode == 1 and "cannot connect to" in done.stderr


def test_health_has_a_timeout():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = "{}:{}".format(*mute.getsockname())
        done = gateway("health", "--address", address, "--timeout", "300ms")
    assert done.returncode == 1 and "300ms" in done.stderr


def test_a_fault_that_does_not_exist():
    done = gateway("simulate", "--fault", "earthquake")
    assert done.returncode == 2
    assert "unknown fault `earthquake`" in done.stderr and "cut-body" in done.stderr


def test_the_help_of_the_simulator_lists_the_faults():
    reported = gateway("simulate", "--help").stdout
    assert "cut-body" in reported and "poison=TEXT" in reported


def test_wrong_usage():
    assert gateway("surve").returncode == 2
    assert "serve" in gateway("surve").stderr
    assert gateway("--help").returncode == 0
    version = gateway("--version").stdout
    assert version.startswith("voyage-gateway ")
