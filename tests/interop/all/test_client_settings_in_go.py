"""The tests of the shipped client settings, with a client in Go."""

import pytest

from test_client_settings import *  # the tests, which take `language` from here


@pytest.fixture(params=["go"])
def language(request):
    return request.param
