"""Events about cards and customers: a new card, or a new expiry, is tried at once.

    attached    kept; the newest one is charged from now on, and what waited for a card is tried
    updated     what the customer recognises it by is written; if it changed, the same
    detached    nobody is charged with it any more
    customer    another default at the provider: taken over if it is a card new to us

An update that changes nothing we keep is none: the same event again tries nothing again.
"""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row

from billing.flows.customers.customers import keep_card, retry_with_new_method
from billing.flows.webhooks.handler import Apply, Desk, Notice, NotYet, nothing
from billing.gateway import PaymentMethodDetails
from billing.store.subscriptions import customers

ATTACHED: Final = "payment_method.attached"
# A flow of ours that attaches a card, for one charge perhaps, keeps it a moment later.
_PATIENCE: Final = 2


def card(desk: Desk, notice: Notice) -> Apply:
    """A card was attached, updated or detached."""
    found = desk.gateway.payment_method_by_id(notice.object_id)
    if found is None:
        return nothing("it is no card")

    def apply(conn: Connection) -> str:
        owner = found.provider_customer_id
        ours = None if owner is None else customers.lock_by_provider_id(conn, owner)
        known = customers.payment_method_by_token(conn, found.token)
        if known is not None:
            return _known_card(conn, known, found, desk.now)
        if owner is None:
            return "attached to nobody, and never kept here"
        if ours is None:
            return "its customer is none of ours"
        if ATTACHED not in notice.types:
            return "a card that is not kept here"
        if notice.tries < _PATIENCE:
            raise NotYet("just attached: whoever did that may be writing it down")
        return _new_card(conn, ours, found, notice.at, desk.now)

    return apply


def _known_card(
    conn: Connection, known: Row[Any], found: PaymentMethodDetails, now: datetime
) -> str:
    if found.provider_customer_id != known.provider_customer_id:
        if not known.is_default:
            return "detached; it was not the one that is charged"
        customers.set_default(conn, known.customer_id, None)
        return "detached: the customer has no card to charge any more"
    values = {
        "brand": found.brand,
        "last4": found.last4,
        "exp_month": found.exp_month,
        "exp_year": found.exp_year,
    }
    if all(getattr(known, name) == value for name, value in values.items()):
        return "the card is as we know it"
    customers.change_payment_method(conn, known.id, **values)
    if not known.is_default:
        return "the card was updated; it is not the one that is charged"
    return f"the card was updated{_retried(conn, known.customer_id, now)}"


def _new_card(
    conn: Connection,
    customer: Row[Any],
    found: PaymentMethodDetails,
    attached_at: datetime,
    now: datetime,
) -> str:
    """Keep a card; it is the one to charge unless a younger one is known already."""
    others = customers.payment_methods_of(conn, customer.id)
    # The provider dates by whole seconds.
    youngest = max((row.created_at.replace(microsecond=0) for row in others), default=attached_at)
    if attached_at < youngest:
        keep_card(conn, customer.id, found, at=attached_at, make_default=False)
        return "an older card than the one that is charged: kept, not charged"
    keep_card(conn, customer.id, found, at=attached_at)
    return f"a new card{_retried(conn, customer.id, now)}"


def _retried(conn: Connection, customer_id: Any, now: datetime) -> str:
    retried = retry_with_new_method(conn, customer_id, now)
    return f": {retried} payments are tried again" if retried else ""


def customer(desk: Desk, notice: Notice) -> Apply:
    """A customer was changed: only which card is their default there matters here."""
    with desk.engine.connect() as conn:
        if not customers.is_ours(conn, notice.object_id):
            return nothing("a customer of somebody else")
    found = desk.gateway.customer_by_id(notice.object_id)
    if found is None or found.deleted:
        return nothing("the provider has no such customer any more")
    token = found.default_payment_method
    if token is None:
        return nothing("no default card at the provider")
    details = desk.gateway.payment_method_by_id(token)
    if details is None or details.provider_customer_id != found.id:
        return nothing("the default at the provider is no card of theirs")
    return lambda conn: _take_over_default(conn, found.id, details, desk.now)


def _take_over_default(
    conn: Connection, provider_customer_id: str, details: PaymentMethodDetails, now: datetime
) -> str:
    ours = customers.lock_by_provider_id(conn, provider_customer_id)
    assert ours is not None, "customers are never deleted"
    known = customers.payment_method_by_token(conn, details.token)
    if known is None:
        keep_card(conn, ours.id, details, at=now)
        return f"a new card{_retried(conn, ours.id, now)}"
    if known.is_default:
        return "the default card is the one we charge"
    if ours.default_payment_method_id is not None:
        return "another default at the provider; the card that we were told to charge stays"
    customers.set_default(conn, ours.id, known.id)
    return f"the default card is charged again{_retried(conn, ours.id, now)}"
