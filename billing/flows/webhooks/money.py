"""Events about refunds, disputes and payouts: the object is fetched and applied as it is now.

Two things have to be over first, or the same object would be applied otherwise a moment later:
the attempt that charged the payment, where its answer is missing, and a refund of the payment
that we asked for, where the provider gave as much back in another way and is about to refuse ours.
"""

from uuid import UUID

from sqlalchemy import Connection

from billing.flows.disputes import dispute_updates as disputes
from billing.flows.refunds import refund_updates as refunds
from billing.flows.webhooks.handler import Apply, Desk, Notice, NotYet, nothing
from billing.gateway import ProviderDispute, ProviderPayout, ProviderRefund
from billing.rules.refunds import RefundState
from billing.store.arrays import literal
from billing.store.payments import disputes as stored_disputes
from billing.store.payments import payments
from billing.store.payments import refunds as stored_refunds
from billing.store.settlement import runs

GONE = "the provider has no such object any more"


def refund(desk: Desk, notice: Notice) -> Apply:
    """A refund was made, went on, or failed."""
    found = desk.gateway.refund_by_id(notice.object_id)
    if found is None:
        return nothing(GONE)
    _wait_for_payment(desk, found)
    return lambda conn: _apply_refund(conn, desk, found)


def refunds_of_charge(desk: Desk, notice: Notice) -> Apply:
    """Something of a charge was given back: all its refunds are looked at."""
    pages = desk.gateway.list_refunds(since=None, charge=notice.object_id)
    found = [each for page in pages for each in page]
    if not found:
        return nothing("the charge has no refunds")
    _wait_for_payment(desk, found[0])

    def apply(conn: Connection) -> str:
        return "; ".join(_apply_refund(conn, desk, each) for each in reversed(found))

    return apply


def _apply_refund(conn: Connection, desk: Desk, found: ProviderRefund) -> str:
    state = refunds.apply(conn, found, now=desk.now, policy=desk.policy)
    if state is None:
        _wait_for_refunds(conn, found)
    return f"refund {found.id} is {state or 'none of ours'}"


def dispute(desk: Desk, notice: Notice) -> Apply:
    """A dispute was opened, moved money, or was decided."""
    found = desk.gateway.dispute_by_id(notice.object_id)
    if found is None:
        return nothing(GONE)
    _wait_for_payment(desk, found)
    return lambda conn: _apply_dispute(conn, desk, found)


def _apply_dispute(conn: Connection, desk: Desk, found: ProviderDispute) -> str:
    applied = disputes.apply(conn, found, now=desk.now)
    if applied.too_much:
        _wait_for_refunds(conn, found)
    if applied.state is None:
        return "its charge is none of ours: recorded as a break"
    return f"dispute is {applied.state}, {applied.posted} entries posted"


def payout(desk: Desk, notice: Notice) -> Apply:
    """A payout was made, arrived, or failed; it is booked by the settlement."""
    found = desk.gateway.payout_by_id(notice.object_id)
    if found is None:
        return nothing(GONE)
    return lambda conn: _put_payout(conn, desk, found)


def _put_payout(conn: Connection, desk: Desk, found: ProviderPayout) -> str:
    columns = {
        "ids": literal([found.id]),
        "amounts": literal([found.amount.amount]),
        "currencies": literal([found.amount.currency]),
        "statuses": literal([found.status]),
        "createds": literal([found.created]),
        "arrivals": literal([found.arrival]),
    }
    runs.put_payouts(conn, desk.now, columns)
    return f"payout is {found.status}"


# --- what has to be over first ------------------------------------------------------------------


def _wait_for_payment(desk: Desk, found: ProviderRefund | ProviderDispute) -> None:
    """Look whether the charge is one of ours whose answer we still wait for. Raises: NotYet."""
    if found.provider_payment_id is None:
        return
    with desk.engine.connect() as conn:
        if _payment_of(conn, found) is not None:
            return
    there = desk.gateway.payment(found.provider_payment_id)
    try:
        own_id = UUID("" if there is None else there.metadata.get("payment", ""))
    except ValueError:
        return
    with desk.engine.connect() as conn:
        ours = payments.get(conn, own_id)
    if ours is not None and ours.provider_payment_id is None:
        raise NotYet(f"payment {own_id} waits for the answer of its charge")


def _wait_for_refunds(conn: Connection, found: ProviderRefund | ProviderDispute) -> None:
    """Look whether a refund of ours may yet turn out to be refused. Raises: NotYet."""
    payment_id = _payment_of(conn, found)
    if payment_id is None:
        return
    asked = stored_refunds.page(
        conn, payment_id=payment_id, state=str(RefundState.REQUESTED), limit=1
    )
    if asked:
        raise NotYet(f"refund {asked[0].id} of the same payment is not decided")


def _payment_of(conn: Connection, found: ProviderRefund | ProviderDispute) -> UUID | None:
    return stored_disputes.payment_of(
        conn,
        provider_payment_id=found.provider_payment_id,
        provider_charge_id=found.provider_charge_id,
    )
