"""Every test of this folder runs over every kind of provider."""

from collections.abc import Iterator

import pytest

from tests.contract.gateway.worlds import SANDBOXED, ProviderWorld, opened


@pytest.fixture(params=[*SANDBOXED, "trivial"])
def world(request: pytest.FixtureRequest) -> Iterator[ProviderWorld]:
    with opened(request.param) as world:
        yield world
