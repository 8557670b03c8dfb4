"""buf curl: a second command-line client, which speaks reflection v1."""

import base64
import json

from processes import BUF, gateway, run


def buf_curl(address, request, *options):
    return run(
        *[BUF, "curl", "--protocol", "grpc", "--http2-prior-knowledge", *options, "-d", json.dumps(request)],
        f"http://{address}/voyage.gateway.v1.EmbeddingService/Embed",
    )


def test_embed(deployment):
    request = {"input": ["hi, said buf"], "output_dimension": 256, "vector_encoding": "VECTOR_ENCODING_BYTES"}
    done = buf_curl(deployment.address, request, "--reflect-protocol", "grpc-v1")
    assert done.returncode == 0, done.stderr
    [embedding] = json.loads(done.stdout)["embeddings"]
    assert len(base64.b64decode(embedding["data"])) == 4 * 256
    assert embedding["cacheStatus"] == "CACHE_STATUS_MISS"


def test_an_error(deployment):
    done = buf_curl(deployment.address, {"input": [""]})
    assert done.returncode == 3 << 3
    error = json.loads(done.stderr)
    assert error["code"] == "invalid_argument"
    types = [detail["type"] for detail in error["details"]]
    assert types == ["google.rpc.ErrorInfo", "google.rpc.BadRequest", "google.rpc.RequestInfo"]


def test_buf_builds_what_the_proto_command_writes(tmp_path):
    done = gateway("proto", "--out", tmp_path / "proto")
    assert done.returncode == 0, done.stderr
    done = run(BUF, "build", tmp_path / "proto", "-o", tmp_path / "image.binpb")
    assert done.returncode == 0, done.stderr
