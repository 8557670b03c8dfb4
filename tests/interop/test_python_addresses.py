"""A list of addresses in Python: it requires an authority, as docs/clients.md and docs/troubleshooting.md say."""

import grpc
import pytest

import examples
from processes import ROOT
from python_client import embed, failure

SYMPTOM = "Received RST_STREAM with error code 1"
OPTION = ("grpc.default_authority", "voyage-gateway")


@pytest.fixture
def addresses(deployment, deploy):
    return ",".join([deployment.address, deploy().address])


def test_the_list_alone_is_no_valid_authority(addresses):
    with grpc.insecure_channel(f"ipv4:{addresses}") as channel:
        error = failure(embed, channel, "hi")
    assert (error.code(), SYMPTOM in error.details()) == (grpc.StatusCode.INTERNAL, True), error


def test_a_default_authority_makes_the_list_valid(addresses):
    with grpc.insecure_channel(f"ipv4:{addresses}", options=[OPTION]) as channel:
        assert embed(channel, "hi").embeddings


def test_the_example_takes_a_list(addresses):
    done = examples.embed("python", addresses, "hi")
    assert done.returncode == 0, done.stderr


def test_the_pages_name_the_symptom_and_the_option():
    clients, troubleshooting = ((ROOT / "docs" / page).read_text() for page in ("clients.md", "troubleshooting.md"))
    assert SYMPTOM in troubleshooting
    for page in (clients, troubleshooting):
        assert f'("{OPTION[0]}", "{OPTION[1]}")' in page
