"""What handling an event works with, and how its effects reach the database.

A handler asks the provider first, outside any transaction, and returns what is then to be
written. That is done in one transaction with the row of the event, so an event is handled if and
only if its effects are there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine

from billing.flows.payments.collecting import ChargeSend
from billing.flows.policy import Policy
from billing.gateway import Gateway, Outcome

Apply = Callable[[Connection], str]
"""Writes the effects in the caller's transaction and says in words what they are."""


class NotYet(Exception):
    """Something else has to be over first; the event is tried again."""


@dataclass(frozen=True, slots=True)
class Notice:
    """All unhandled events of one object: how many there are doesn't matter, only that there are.

    `at` is when the youngest of them happened.
    """

    object_id: str
    event_ids: tuple[str, ...]
    types: frozenset[str]
    at: datetime
    tries: int = 1


@dataclass(frozen=True, slots=True)
class Adopted:
    """The definite answer to an open attempt, which an event made us look for."""

    sending: ChargeSend
    outcome: Outcome


@dataclass(slots=True)
class Desk:
    """The parts that handlers share, at one instant. `adopted` gathers answers, to be counted."""

    engine: Engine
    gateway: Gateway
    policy: Policy
    now: datetime
    wall: datetime
    adopted: list[Adopted]


def nothing(words: str) -> Apply:
    """Return the effects of an event that has none."""
    return lambda _conn: words
