"""`proto` writes the API's definition: the files of the build, in the formats of other tools."""

import json

import pytest
from google.protobuf import descriptor_pb2

import processes
from processes import gateway, run

PROTO = processes.ROOT / "proto"
SERVICE = "voyage.gateway.v1.EmbeddingService"


def files(root):
    return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*.proto")}


@pytest.fixture
def written(tmp_path):
    """A directory that `proto` has made, and the descriptor set."""
    done = gateway("proto", "--out", tmp_path / "a" / "proto", "--descriptor", tmp_path / "gateway.binpb")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return tmp_path / "a" / "proto", tmp_path / "gateway.binpb"


def test_the_files_are_those_it_was_built_from(written):
    out, _ = written
    assert files(out) == files(PROTO)
    assert len(files(out)) >= 3


def test_protoc_takes_them(written, tmp_path):
    out, _ = written
    names = sorted(files(out))
    done = run(processes.GRPCURL.with_name("python"), "-m", "grpc_tools.protoc", f"-I{out}", "-o", tmp_path / "set", *names)
    assert done.returncode == 0, done.stderr


def test_the_descriptor_set_is_whole(written):
    _, file = written
    descriptors = descriptor_pb2.FileDescriptorSet.FromString(file.read_bytes())
    have = [descriptor.name for descriptor in descriptors.file]
    assert {"google/protobuf/duration.proto", *files(PROTO)} == set(have)
    # Imports come before the files that import them: readers rely on it.
    for place, descriptor in enumerate(descriptors.file):
        assert set(descriptor.dependency) <= set(have[:place])


def test_grpcurl_needs_no_reflection_with_it(written, deploy):
    _, protoset = written
    closed = deploy(settings=["server.reflection=false"])
    call = [processes.GRPCURL, "-plaintext", "-protoset", protoset]
    assert SERVICE in run(*call, closed.address, "list").stdout
    # It carries the comments, which are the documentation.
    described = run(*call, closed.address, "describe", "voyage.gateway.v1.EmbedRequest").stdout
    assert "//" in described
    done = run(*call, "-d", '{"input": ["hi"]}', closed.address, f"{SERVICE}/Embed")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["embeddings"]) == 1


def test_existing_files_are_replaced_and_others_stay(written):
    out, _ = written
    (out / "voyage/gateway/v1/common.proto").write_text("an older one")
    (out / "mine.txt").write_text("mine")
    assert gateway("proto", "--out", out).returncode == 0
    assert files(out) == files(PROTO)
    assert (out / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("option", ["--out", "--descriptor"])
def test_it_says_where_it_cannot_write(tmp_path, option):
    (tmp_path / "file").write_text("no directory")
    done = gateway("proto", option, tmp_path / "file" / "below")
    assert done.returncode == 1
    assert str(tmp_path / "file") in done.stderr and option in done.stderr


def test_it_requires_an_option():
    done = gateway("proto")
    assert done.returncode == 2
    assert "--out" in done.stderr and "--descriptor" in done.stderr
