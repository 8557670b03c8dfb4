"""A restart loses no call: two gateways restart in turn under load from the example clients. `make prove` does it longer."""

import pytest

import examples


@pytest.mark.parametrize("language", sorted(examples.CLIENTS))
def test_restarts_lose_no_call(language):
    examples.lose_no_call(language, restarts=6)
