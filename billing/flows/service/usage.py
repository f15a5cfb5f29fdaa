"""Usage for callers of the API: a batch needs no key, because each of its events has an id."""

from collections.abc import Sequence
from typing import Any

from billing.flows.context import Context
from billing.flows.usage.book import UsageBook
from billing.flows.usage.ingesting import UsageAnswer, ingest


class UsageApi:
    """The usage service that HTTP and gRPC call. Threads share it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._book = UsageBook(counts_paused=context.policy.counts_paused)

    def send(self, rows: Sequence[Any]) -> UsageAnswer:
        """Count a batch of events, as they were read from JSON. Raises `Unavailable`."""
        return ingest(self._context.engine, self._book, rows, self._context.clock.now())
