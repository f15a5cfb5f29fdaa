"""What this engine made at an account by the provider's lists, and what of it isn't known here."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.flows.context import Context
from billing.gateway import Gateway, ProviderCharge, ProviderCustomer, ProviderRefund
from billing.rules.reconciliation.knowledge import (
    Made,
    MadeKind,
    Sent,
    has_calls,
    is_harmless,
    is_known,
    made_by,
)
from billing.store import fences
from billing.store.identity import engine_id


def unknown_since(context: Context, provider: str, since: datetime) -> Iterator[list[Made]]:
    """Yield, a page at a time, what this engine made since then and this database doesn't know.

    Without further charges of payment objects that are known here (see `is_harmless`). Raises
    `Unavailable`, `BadInput`.
    """
    gateway = context.gateways.of(provider)
    with context.engine.connect() as conn:
        engine = engine_id(conn)
    for page in _pages(gateway, engine, since):
        with context.engine.connect() as conn:
            unknown = _without(conn, provider, page, _is_known_or_harmless)
        yield unknown


def unknown_of(conn: Connection, provider: str, made: Sequence[Made]) -> list[Made]:
    """Return those objects that this database doesn't know; not those a recovery passed over."""
    return _without(conn, provider, made, is_known)


def never_sent(conn: Connection, provider: str, made: Sequence[Made]) -> list[Made]:
    """Return those objects for which no call was ever made from here, nor anything written down.

    A person may confirm a known payment in the provider's dashboard: that is left out.
    """
    return _without(conn, provider, made, lambda _, sent: has_calls(sent))


def _without(
    conn: Connection,
    provider: str,
    made: Sequence[Made],
    known: Callable[[Made, Sent | None], bool],
) -> list[Made]:
    """Return those objects that aren't known in this sense, and that no recovery passed over."""
    if not made:
        return []
    fence, sent = fences.find(conn, provider), fences.sent(conn, provider, made)
    passed_over = frozenset[str]() if fence is None else fence.passed_over
    return [
        each
        for each in made
        if each.theirs not in passed_over and not known(each, sent.get((each.kind, each.ours)))
    ]


def _is_known_or_harmless(made: Made, sent: Sent | None) -> bool:
    return is_known(made, sent) or is_harmless(made, sent)


def _pages(gateway: Gateway, engine: UUID, since: datetime) -> Iterator[list[Made]]:
    """Yield what this engine made at an account since then, a page at a time."""
    for charges in gateway.list_charges(since=since):
        yield made_of(engine, MadeKind.CHARGE, charges)
    for refunds in gateway.list_refunds(since=since):
        yield made_of(engine, MadeKind.REFUND, refunds)
    for people in gateway.list_customers(since=since):
        yield made_of(engine, MadeKind.CUSTOMER, people)


def made_of(
    engine: UUID,
    kind: MadeKind,
    page: Sequence[ProviderCharge] | Sequence[ProviderRefund] | Sequence[ProviderCustomer],
) -> list[Made]:
    """Return those objects of a page that this engine made."""
    return [made for each in page if (made := _made_by(engine, kind, each)) is not None]


def _made_by(
    engine: UUID, kind: MadeKind, found: ProviderCharge | ProviderRefund | ProviderCustomer
) -> Made | None:
    metadata, created = found.metadata, found.created
    if not isinstance(found, ProviderCharge):
        return made_by(engine, kind, metadata, found.id, created)
    return made_by(
        engine,
        kind,
        metadata,
        found.id,
        created,
        payment_object=found.provider_payment_id,
        succeeded=found.succeeded,
    )
