"""Refunds and disputes whose events were lost for good: their present state is read instead.

That is so after a silence in which the provider forgot events, and always where a provider lists
none. What is found is put into the inbox as an event of its object, and handled as any other. The
id of such an event follows from the object and its state, so that one state is looked at once.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Engine

from billing.gateway import EventKind, Gateway, ProviderDispute, ProviderEvent, ProviderRefund
from billing.gateway.objects import ListedPage, unreadable_in
from billing.store.payments import disputes, refunds

TYPE: Final = "read_again"


def read_again(
    engine: Engine, provider: str, gateway: Gateway, *, since: datetime, now: datetime
) -> Iterator[Sequence[ProviderEvent]]:
    """Yield an event for each refund and dispute made since then, and for each that is open here.

    A page has what couldn't be read, as a page of a list. Raises `Unavailable`.
    """
    for page in gateway.list_disputes(since=since):
        events = [_of_dispute(each, now) for each in page]
        yield ListedPage(events, unreadable_in(page), "")
    for found in gateway.list_refunds(since=since):
        events = [_of_refund(each, now) for each in found]
        yield ListedPage(events, unreadable_in(found), "")
    yield _still_open(engine, provider, gateway, now)


def _still_open(
    engine: Engine, provider: str, gateway: Gateway, now: datetime
) -> list[ProviderEvent]:
    with engine.connect() as conn:
        open_disputes = disputes.open_ids(conn, provider)
        open_refunds = refunds.pending_ids(conn, provider)
    events = []
    for dispute_id in open_disputes:
        dispute = gateway.dispute_by_id(dispute_id)
        if dispute is not None:
            events.append(_of_dispute(dispute, now))
    for refund_id in open_refunds:
        refund = gateway.refund_by_id(refund_id)
        if refund is not None:
            events.append(_of_refund(refund, now))
    return events


def _of_dispute(found: ProviderDispute, now: datetime) -> ProviderEvent:
    state = f"{found.stage}:{len(found.balance_transactions)}"
    return _event(EventKind.DISPUTE_UPDATED, "dispute", found.id, state, now)


def _of_refund(found: ProviderRefund, now: datetime) -> ProviderEvent:
    return _event(EventKind.REFUND_UPDATED, "refund", found.id, str(found.status), now)


def _event(
    kind: EventKind, object_type: str, object_id: str, state: str, now: datetime
) -> ProviderEvent:
    event_id = f"{TYPE}:{object_id}:{state}"
    told = {"id": event_id, "type": TYPE, "object": object_id, "created": int(now.timestamp())}
    return ProviderEvent(event_id, TYPE, kind, object_type, object_id, now, told)
