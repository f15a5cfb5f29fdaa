"""Does this database know what the provider holds of this engine?

Every object that the engine makes names it in the metadata, and a charge names its payment. An
object that this database has no record of was made after the moment that the database shows:
it was restored, copied or promoted, or another one of the same engine is working.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from billing.rules.reconciliation.engines import MARK

EXTERNAL_ID: Final = "external_id"
"""What names a customer's external id in the metadata."""

METADATA_MAX: Final = 500
"""How many characters a value in the metadata may have."""

SKEW: Final = timedelta(minutes=5)
"""How far the provider's clock may be from ours."""


class FenceState(StrEnum):
    """Whether anything is sent to an account."""

    OPEN = "open"
    RECOVERING = "recovering"


class FenceCause(StrEnum):
    """Why nothing is sent."""

    BEHIND = "behind"
    """The database shows an earlier moment than the provider."""
    ANOTHER_DATABASE = "another_database"
    """The database was compared, and then something else made objects of this engine."""


class MadeKind(StrEnum):
    """What an object at the provider is; the value names it in its metadata."""

    CHARGE = "payment"
    REFUND = "refund"
    CUSTOMER = "customer"


@dataclass(frozen=True, slots=True)
class Made:
    """An object of this engine at the provider; `ours` is the id that its metadata names.

    `payment_object` is the provider's id of what a charge paid, or tried to.
    """

    kind: MadeKind
    ours: UUID
    theirs: str
    created: datetime
    payment_object: str | None = None
    succeeded: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """What this database knows of an id of its own: the calls for it, as spans of time.

    `theirs` are ids of the provider that are written down for it. A payment has the provider's
    `payment_object`, and may have failed for good.
    """

    theirs: frozenset[str]
    spans: tuple[tuple[datetime, datetime | None], ...]
    payment_object: str | None = None
    has_failed: bool = False


def made_by(
    engine: UUID,
    kind: MadeKind,
    metadata: Mapping[str, str],
    theirs: str,
    created: datetime | None,
    *,
    payment_object: str | None = None,
    succeeded: bool = False,
) -> Made | None:
    """Return the object if this engine made it, or None."""
    if created is None or metadata.get(MARK) != str(engine):
        return None
    try:
        ours = UUID(metadata.get(kind.value, ""))
    except ValueError:
        return None
    return Made(kind, ours, theirs, created, payment_object, succeeded)


def has_calls(sent: Sent | None) -> bool:
    """Tell whether anything was sent for an id from here, or is written down for it."""
    return sent is not None and bool(sent.spans or sent.theirs)


def is_known(made: Made, sent: Sent | None) -> bool:
    """Tell whether this database made the object: it is written down, or was made during a call.

    A call without an end may still be making it.
    """
    if sent is None:
        return False
    if made.theirs in sent.theirs:
        return True
    return any(
        first - SKEW <= made.created and (end is None or made.created <= end + SKEW)
        for first, end in sent.spans
    )


def is_harmless(made: Made, sent: Sent | None) -> bool:
    """Tell whether a charge is one of a payment object that is known here, and not contradicted.

    Its customer may have confirmed it again. It is paid once, so nothing is charged twice; where it
    succeeded, an event, the night or the next attempt says so. A payment that failed for good is
    collected no more, so there nothing would.
    """
    if sent is None or made.payment_object is None:
        return False
    contradicted = made.succeeded and sent.has_failed
    return made.payment_object == sent.payment_object and not contradicted
