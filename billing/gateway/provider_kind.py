"""A kind of provider: its capabilities, its words, and how to connect to an account."""

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
"""Called after each request with its operation, seconds, and kind of failure if it failed."""


@dataclass(frozen=True, slots=True)
class Access:
    """How to connect to one account. `api_base` is None for the provider's own servers."""

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
        """Return the event of a genuine delivery. Raises: SignatureRefused, WrongDelivery.

        Header names are in lower case. Several secrets make a rotation: any of them will do.
        """
        ...


class CheckHeaders(Protocol):
    """Checks the headers of a webhook delivery before its body is read."""

    def __call__(self, headers: Mapping[str, str], *, wall: datetime, tolerance: timedelta) -> None:
        """Check that there is a signature that may be genuine. Raises: SignatureRefused."""
        ...


class AnswerChallenge(Protocol):
    """Answers the question by which a provider makes sure that an endpoint is ours."""

    def __call__(self, query: Mapping[str, str], secrets: Sequence[str]) -> str | None:
        """Return the answer's text; None for a query that asks nothing of the kind."""
        ...


@dataclass(frozen=True, slots=True)
class ProviderKind:
    """The facts of a kind of provider, known without a connection.

    `decline_codes` and `operations` are all labels that its metrics can have; `event_types` are
    those that its webhook endpoint has to listen to. `delivery_type` is the content type of its
    deliveries; `repeats_for`: how long after its time one may still be repeated as it was.
    `answer_challenge` answers a provider that asks an endpoint before it delivers there.
    `reports` reads its settlement reports, where it has such files.
    """

    capabilities: Capabilities
    decline_codes: Mapping[str, DeclineClass]
    operations: frozenset[str]
    event_types: frozenset[str]
    connect: Callable[[Access], Gateway]
    check_headers: CheckHeaders
    read_delivery: ReadDelivery
    reports: ReportReader | None = None
    delivery_type: str = "application/json"
    repeats_for: timedelta = timedelta(0)
    answer_challenge: AnswerChallenge | None = None
