"""The memory of large images in flight, of the real binary."""

import re
import struct
import zlib
from pathlib import Path

import grpc
from voyage.gateway.v1 import embedding_service_pb2, embedding_service_pb2_grpc

from processes import eventually
from python_client import PATIENCE

MIB = 1 << 20
LARGEST = 20 * MIB


def png(size, number):
    """A PNG of 16 pixels whose size in bytes comes from a chunk that decoders ignore."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" + b"\x80" * 12 + b"\0" * 39))
    rest = b"\x89PNG\r\n\x1a\n" + header, pixels + chunk(b"IEND", b"")
    filling = size - sum(map(len, rest)) - 12
    return rest[0] + chunk(b"prVt", number.to_bytes(4) * (filling // 4) + bytes(filling % 4)) + rest[1]


def start(channel, image):
    part = embedding_service_pb2.ContentPart(image={"data": image})
    request = embedding_service_pb2.EmbedMultimodalRequest(inputs=[{"content": [part]}])
    stub = embedding_service_pb2_grpc.EmbeddingServiceStub(channel)
    return stub.EmbedMultimodal.future(request, timeout=PATIENCE)


def memory(server, which):
    """Returns a process's memory in bytes: VmRSS now, VmHWM at most."""
    status = Path(f"/proc/{server.pid}/status").read_text(encoding="utf-8")
    return int(re.search(rf"{which}:\s+(\d+) kB", status)[1]) * 1024


def held(deployed, settings=()):
    """Starts a gateway whose upstream never answers, after one small image."""
    running = deployed(simulator=["--fault", "hang"], settings=settings)
    return running, memory(running.server, "VmRSS")


def test_a_large_image_takes_at_most_three_times_its_size(deploy):
    running, before = held(deploy)
    image = png(LARGEST, 1)
    call = start(running.channel, image)
    eventually(lambda: running.metric("voyage_gateway_batches_in_flight"), "the upstream call")
    assert memory(running.server, "VmHWM") - before <= 3 * len(image)
    call.cancel()


def test_many_large_images_stay_within_the_bytes_of_the_admission(deploy):
    limit = 400 * MIB
    running, before = held(deploy, settings=[f"admission.max_bytes={limit // MIB}MiB", "batch.max_in_flight=64"])
    images = [png(LARGEST, number) for number in range(64)]
    calls = [start(running.channel, image) for image in images]
    ended = eventually(
        lambda: [call for call in calls if call.done()] if sum(call.done() for call in calls) >= 40 else None,
        "the refusals",
    )
    assert {call.code() for call in ended} == {grpc.StatusCode.UNAVAILABLE}
    assert all("replica overloaded" in call.details() for call in ended)
    assert memory(running.server, "VmHWM") - before <= 1.2 * limit
    # Those that were admitted are sent.
    admitted = len(calls) - len(ended)
    eventually(lambda: running.metric("voyage_gateway_batches_in_flight") >= min(admitted, 1), "upstream calls")
    for call in calls:
        call.cancel()
