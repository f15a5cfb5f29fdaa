"""A kind of provider: what it can do, the words it uses, and how an account of it is reached."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from billing.gateway import Gateway, ProviderEvent
from billing.gateway.capabilities import Capabilities
from billing.gateway.kinds import DeclineClass
from billing.gateway.rate import TokenBucket
from billing.gateway.reports import ReportReader

Observe = Callable[[str, float, str | None], None]
"""Told of each request: its operation, seconds, and kind of failure if it failed."""


@dataclass(frozen=True, slots=True)
class Access:
    """How one account is reached. `api_base` is None for the provider's own servers."""

    credentials: Mapping[str, str]
    api_base: str | None
    connect_timeout: timedelta
    read_timeout: timedelta
    deadline: timedelta
    bucket: TokenBucket | None = None
    observe: Observe | None = None


class ReadDelivery(Protocol):
    """Reads a webhook delivery that came over HTTP."""

    def __call__(
        self,
        body: bytes,
        headers: Mapping[str, str],
        secrets: Sequence[str],
        *,
        wall: datetime,
        tolerance: timedelta,
        live: bool,
    ) -> ProviderEvent:
        """Return its event once it is believed. Raises: SignatureRefused, WrongDelivery.

        Header names are in lower case. Several secrets make a rotation: any of them will do.
        """
        ...


@dataclass(frozen=True, slots=True)
class ProviderKind:
    """What the engine knows of a kind of provider without reaching one.

    `decline_codes` and `operations` are all labels that its metrics can have; `event_types` are
    what an endpoint for its events has to listen to. `reports` reads its settlement reports, where
    it has such files.
    """

    capabilities: Capabilities
    decline_codes: Mapping[str, DeclineClass]
    operations: frozenset[str]
    event_types: frozenset[str]
    connect: Callable[[Access], Gateway]
    read_delivery: ReadDelivery
    reports: ReportReader | None = None
