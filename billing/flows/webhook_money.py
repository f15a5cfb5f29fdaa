"""Events about refunds, disputes and payouts: the object is fetched and applied as it is now."""

from sqlalchemy import Connection

from billing.flows import dispute as disputes
from billing.flows import refund as refunds
from billing.flows.webhook_desk import Apply, Desk, Notice, nothing
from billing.gateway import ProviderDispute, ProviderPayout, ProviderRefund
from billing.store import settlement
from billing.store.arrays import literal

GONE = "the provider has no such object any more"


def refund(desk: Desk, notice: Notice) -> Apply:
    """A refund was made, went on, or failed."""
    found = desk.gateway.refund_by_id(notice.object_id)
    if found is None:
        return nothing(GONE)
    return lambda conn: _apply_refund(conn, desk, found)


def refunds_of_charge(desk: Desk, notice: Notice) -> Apply:
    """Something of a charge was given back: all its refunds are looked at."""
    pages = desk.gateway.list_refunds(since=None, charge=notice.object_id)
    found = [each for page in pages for each in page]
    if not found:
        return nothing("the charge has no refunds")

    def apply(conn: Connection) -> str:
        return "; ".join(_apply_refund(conn, desk, each) for each in reversed(found))

    return apply


def _apply_refund(conn: Connection, desk: Desk, found: ProviderRefund) -> str:
    state = refunds.apply(conn, found, now=desk.now, policy=desk.policy)
    return f"refund {found.id} is {state or 'none of ours'}"


def dispute(desk: Desk, notice: Notice) -> Apply:
    """A dispute was opened, moved money, or was decided."""
    found = desk.gateway.dispute_by_id(notice.object_id)
    if found is None:
        return nothing(GONE)
    return lambda conn: _apply_dispute(conn, desk, found)


def _apply_dispute(conn: Connection, desk: Desk, found: ProviderDispute) -> str:
    applied = disputes.apply(conn, found, now=desk.now)
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
    settlement.put_payouts(conn, desk.now, columns)
    return f"payout is {found.status}"
