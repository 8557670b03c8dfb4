"""A Python service that calls the gateway with the shipped settings. It reads commands from standard input.

`calls N` makes N concurrent calls and prints their statuses; `load RATE` starts that many calls a second; `counts`
prints the statuses of the load so far. At the end of the input it waits for the calls in flight and prints the statuses
of the load. Each answer is one line of JSON: the number of calls by status. all/load/main.go is the same in Go.
"""

import argparse
import collections
import json
import sys
import threading
import time

import grpc
from voyage.gateway.v1 import embedding_service_pb2, embedding_service_pb2_grpc

# Seconds for one call: long, so that a busy machine fails none.
DEADLINE = 60


class Counts:
    """The number of calls by status."""

    def __init__(self):
        self._changed = threading.Condition()
        self._endings = collections.Counter()
        self._under_way = 0

    def start(self, stub, text):
        with self._changed:
            self._under_way += 1
        call = stub.Embed.future(embedding_service_pb2.EmbedRequest(inputs=[text]), timeout=DEADLINE)
        call.add_done_callback(self._end)

    def _end(self, call):
        code = call.code()
        # Failures are counted by status and message.
        ending = code.name if code is grpc.StatusCode.OK else f"{code.name}: {call.details()}"
        with self._changed:
            self._endings[ending] += 1
            self._under_way -= 1
            self._changed.notify_all()

    def wait(self):
        with self._changed:
            self._changed.wait_for(lambda: not self._under_way)

    def report(self):
        with self._changed:
            print(json.dumps(self._endings), flush=True)


def pace(stub, rate, counts, ended):
    """Starts calls at a steady rate, however long each takes."""
    start, call = time.monotonic(), 0
    while not ended.wait(max(0.0, start + call / rate - time.monotonic())):
        counts.start(stub, f"python {call}")
        call += 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("service_config")
    parser.add_argument("--resolve-every", type=int, metavar="MILLISECONDS", default=30_000)
    arguments = parser.parse_args()
    with open(arguments.service_config, encoding="utf-8") as file:
        options = [
            ("grpc.service_config", file.read()),
            ("grpc.default_authority", "voyage-gateway"),
            ("grpc.dns_min_time_between_resolutions_ms", arguments.resolve_every),
        ]
    ended, pacer, load = threading.Event(), None, Counts()
    with grpc.insecure_channel(arguments.target, options) as channel:
        stub = embedding_service_pb2_grpc.EmbeddingServiceStub(channel)
        for line in sys.stdin:
            match line.split():
                case ["calls", number]:
                    counts = Counts()
                    for call in range(int(number)):
                        counts.start(stub, f"python call {call}")
                    counts.wait()
                    counts.report()
                case ["load", rate]:
                    pacer = threading.Thread(target=pace, args=(stub, int(rate), load, ended))
                    pacer.start()
                case ["counts"]:
                    load.report()
        ended.set()
        if pacer:
            pacer.join()
        load.wait()
        load.report()


if __name__ == "__main__":
    main()
