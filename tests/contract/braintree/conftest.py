"""One sandbox process for the tests of this folder; each test is a merchant of its own in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.braintree.shop import BEGIN, Shop, sandbox


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("braintree")
    with sandbox(folder / "data") as (_, url):
        yield url


@pytest.fixture
def shop(address: str) -> Iterator[Shop]:
    opened = Shop(address)
    opened.at(BEGIN)
    opened.control("POST", "webhooks/conditions", paused=False, retry_ms=[1, 1, 1])
    yield opened
    opened.control("DELETE", "faults")
    opened.close()
