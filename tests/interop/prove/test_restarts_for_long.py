"""Hundreds of restarts lose no call, in every language."""

import pytest

import examples


@pytest.mark.parametrize("language", sorted(examples.CLIENTS))
def test_hundreds_of_restarts_lose_no_call(language):
    examples.lose_no_call(language, restarts=200)
