"""Prints the time from start to ready, and fails above the bar: `python tests/interop/all/cold_start.py`.

It starts the image's binary (`IMAGE_ARCH`), or the release build, twenty times in turn. Ready is the first
`/readyz` that says 200, asked for on a connection that is tried again every millisecond. The bar is for the median: the
machine may be busy with something else once or twice.
"""

import socket
import statistics
import subprocess
import sys
import time

import containers
import processes

STARTS = 20
BAR = 300
BINARY = (containers.IMAGE / "root" if containers.IMAGE else processes.TARGET / "release") / "voyage-gateway"
READY = b"GET /readyz HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n"


def ready(address):
    try:
        with socket.create_connection(address) as connection:
            connection.sendall(READY)
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def start():
    """Returns milliseconds."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    settings = ["server.listen=127.0.0.1:0", f"admin.listen=127.0.0.1:{address[1]}", "drain.delay=0s"]
    words = [word for setting in settings for word in ("--set", setting)]
    began = time.monotonic()
    process = subprocess.Popen(
        [BINARY, "serve", *words], env=processes.environment(VOYAGE_API_KEY="none"), stderr=subprocess.DEVNULL
    )
    while not ready(address):
        if process.poll() is not None:
            sys.exit("it ended before it was ready")
        time.sleep(0.001)
    took = time.monotonic() - began
    process.terminate()
    process.wait()
    return took * 1000


def main():
    times = sorted(start() for _ in range(STARTS))
    median = statistics.median(times)
    size = BINARY.stat().st_size / 1e6
    print(
        f"cold start to ready, {STARTS} times: median {median:.0f} ms, slowest {times[-1]:.0f} ms"
        f" (bar {BAR} ms); binary {size:.1f} MB"
    )
    if median > BAR:
        sys.exit(f"the median is above {BAR} ms")


if __name__ == "__main__":
    main()
