"""A world whose logs are kept, to be searched for card numbers."""

import io
import logging
from collections.abc import Iterator

import pytest
import structlog

from billing.logs import configure_logging
from tests.api.conftest import caller, db_url, shop, world

__all__ = ["caller", "db_url", "shop", "world"]


@pytest.fixture
def logs() -> Iterator[io.StringIO]:
    """Every line that is written while the test runs; the run's own logging comes back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging("json", "info", stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
