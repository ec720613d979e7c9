"""The two sources of random numbers."""

import pytest

from multikeras import config


@pytest.fixture(params=["native", "portable"])
def mode(request):
    before = config.random_mode()
    config.set_random(request.param)
    yield request.param
    config.set_random(before)
