"""Embeds texts through voyage-gateway, as a Python service does it: several addresses, deadlines, retries, a
credential for each call, and errors that say who must act.

    pip install grpcio grpcio-status grpcio-tools
    python -m grpc_tools.protoc -I ../../proto --python_out=. --grpc_python_out=. ../../proto/voyage/gateway/v1/*.proto
    python embed.py --gateway localhost:50051 "a text" "another"

VOYAGE_GATEWAY_TOKEN_FILE names the file of the bearer token, if the gateway requires one.
"""

import argparse
import collections
import json
import os
import sys
import threading
from pathlib import Path

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from voyage.gateway.v1 import common_pb2, embedding_service_pb2, embedding_service_pb2_grpc

SERVICE_CONFIG = Path(__file__).resolve().parents[2] / "deploy" / "client" / "service_config.json"


def connect(gateway, service_config):
    """A channel that balances over all replicas; in Kubernetes, `dns:///NAME:50051` of a headless service lists them."""
    options = [("grpc.service_config", service_config)]
    if "," in gateway:
        # A list of numbers, which is no host's name.
        gateway = f"ipv4:{gateway}"
        options.append(("grpc.default_authority", "voyage-gateway"))
    return grpc.insecure_channel(gateway, options)


def credential():
    """The token, which is read for every call: the kubelet renews its file."""
    file = os.environ.get("VOYAGE_GATEWAY_TOKEN_FILE")
    return [("authorization", f"Bearer {Path(file).read_text().strip()}")] if file else []


def embed(stub, texts, seconds):
    """One call."""
    request = embedding_service_pb2.EmbedRequest(inputs=texts)
    return stub.Embed(request, timeout=seconds, metadata=credential())


def explain(error):
    """Says who must act. Programs decide by the reason and its domain, never by the message."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else []:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return f"{error.code().name}, {info.reason} of {info.domain}: {error.details()}"
    return f"{error.code().name}: {error.details()}"


def until_eof(stub, workers):
    """Keeps calls going until standard input ends, and counts their ends."""
    ended, lock = threading.Event(), threading.Lock()
    answered, failed = 0, collections.Counter()

    def work(worker):
        nonlocal answered
        call = 0
        while not ended.is_set():
            call += 1
            try:
                reply = embed(stub, [f"python {worker} {call}"], 30)
            except grpc.RpcError as error:
                with lock:
                    failed[explain(error)] += 1
                continue
            with lock:
                answered += len(reply.embeddings) == 1
                if answered == 1:
                    print("answered", flush=True)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(workers)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    ended.set()
    for thread in threads:
        thread.join()
    print(json.dumps({"answered": answered, "failed": failed}))


def main():
    parser = argparse.ArgumentParser(description="Embeds texts through voyage-gateway.")
    parser.add_argument("--gateway", default="localhost:50051", help="name and port; or addresses with commas")
    parser.add_argument("--service-config", type=Path, default=SERVICE_CONFIG)
    parser.add_argument("--until-eof", type=int, metavar="WORKERS", help="keep calling until input ends, and count")
    parser.add_argument("texts", nargs="*")
    options = parser.parse_args()

    with connect(options.gateway, options.service_config.read_text()) as channel:
        stub = embedding_service_pb2_grpc.EmbeddingServiceStub(channel)
        if options.until_eof:
            return until_eof(stub, options.until_eof)
        try:
            reply = embed(stub, options.texts, 10)
        except grpc.RpcError as error:
            sys.exit(explain(error))
        for text, embedding in zip(options.texts, reply.embeddings):
            status = common_pb2.CacheStatus.Name(embedding.cache_status)
            print(f"{text}\t{len(embedding.values)} numbers\t{status}")


if __name__ == "__main__":
    main()
