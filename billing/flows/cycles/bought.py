"""Credit that customers buy, inside the caller's transaction: granted when it is paid for.

The money that it was bought with may go back, by a refund or because the cardholder's bank takes
it: then what nobody used of the grant goes with it, and never more than that.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from billing.ids import derived_id
from billing.ledger import recipes
from billing.pricing import InvoiceKind
from billing.rules.actor import Actor
from billing.rules.credit import CreditSource, MoveKind
from billing.rules.money import Money
from billing.store.journal import posting
from billing.store.payments import credit, top_ups
from billing.store.payments.credit import GrantLeft
from billing.store.payments.payments import LockedPayment


@dataclass(frozen=True, slots=True)
class WentBack:
    """What money of a top-up went back by: a refund or a dispute."""

    refund_id: UUID | None = None
    dispute_id: UUID | None = None

    @property
    def by_bank(self) -> bool:
        """Whether the cardholder's bank took it."""
        return self.dispute_id is not None


def grant(conn: Connection, payment: LockedPayment, now: datetime) -> None:
    """Grant what a (locked) payment has paid for, where it is of a top-up."""
    if payment.invoice_kind is not InvoiceKind.TOP_UP:
        return
    assert payment.invoice_id is not None, "it is of an invoice"
    ordered = top_ups.get(conn, payment.invoice_id)
    days = ordered.valid_days
    grant_id = derived_id("bought", payment.invoice_id, 0, now)
    credit.lock(conn, payment.customer_id)
    credit.add_grants(
        conn,
        [
            {
                "id": grant_id,
                "customer_id": payment.customer_id,
                "currency": payment.currency,
                "amount": payment.amount,
                "source": CreditSource.BOUGHT,
                "priority": ordered.priority,
                "subscription_id": None,
                "effective_at": now,
                "expires_at": None if days is None else now + timedelta(days=days),
                "reason": ordered.reason,
                "invoice_id": payment.invoice_id,
                "actor": ordered.actor,
                "created_at": now,
            }
        ],
    )
    entry = recipes.credit_bought(
        grant_id=grant_id,
        customer_id=payment.customer_id,
        amount=payment.money,
        effective_at=now,
    )
    posting.post(conn, [entry])


def unused(conn: Connection, payment: LockedPayment) -> Money | None:
    """Return what nobody used of what a (locked) payment bought; None where it bought nothing.

    The customer's credit is locked.
    """
    if payment.invoice_kind is not InvoiceKind.TOP_UP:
        return None
    bought = _bought(conn, payment)
    return Money(0 if bought is None else bought.left, payment.currency)


def take_back(
    conn: Connection,
    payment: LockedPayment,
    amount: Money,
    by: WentBack,
    *,
    now: datetime,
    actor: Actor,
) -> None:
    """Take what is unused of a top-up, up to the amount that goes back of its payment."""
    if payment.invoice_kind is not InvoiceKind.TOP_UP:
        return
    bought = _bought(conn, payment)
    taken = 0 if bought is None else min(bought.left, amount.amount)
    if bought is None or not taken:
        return
    _move(conn, MoveKind.REFUNDED, bought, taken, by, now, actor)


def restore(
    conn: Connection, payment: LockedPayment, by: WentBack, *, now: datetime, actor: Actor
) -> None:
    """Give back what a refund that failed, or a loss that is undone, took of a top-up."""
    if payment.invoice_kind is not InvoiceKind.TOP_UP:
        return
    bought = _bought(conn, payment)
    taken = credit.taken_by(conn, refund_id=by.refund_id, dispute_id=by.dispute_id)
    if bought is None or not taken:
        return
    _move(conn, MoveKind.RESTORED, bought, taken, by, now, actor)
    if bought.has_expired(now):
        credit.set_expiry_due(conn, [bought.id], now)


_RECIPES: Final = {
    MoveKind.REFUNDED: recipes.credit_refunded,
    MoveKind.RESTORED: recipes.credit_restored,
}


def _move(
    conn: Connection,
    kind: MoveKind,
    bought: GrantLeft,
    amount: int,
    by: WentBack,
    now: datetime,
    actor: Actor,
) -> None:
    """Write that credit goes with its money, or is held again, with the entry."""
    move = credit.next_move(kind, bought, amount, now, actor)
    move |= {"refund_id": by.refund_id, "dispute_id": by.dispute_id}
    credit.add_moves(conn, [move])
    entry = _RECIPES[kind](
        grant_id=bought.id,
        n=move["n"],
        customer_id=bought.customer_id,
        amount=Money(amount, bought.currency),
        by_bank=by.by_bank,
        effective_at=now,
    )
    posting.post(conn, [entry])


def _bought(conn: Connection, payment: LockedPayment) -> GrantLeft | None:
    """Lock the customer's credit and return the grant that a payment bought."""
    assert payment.invoice_id is not None, "it is of an invoice"
    grant_id = top_ups.grant_of(conn, payment.invoice_id)
    held = credit.lock_left(conn, [payment.customer_id]).get(payment.customer_id, ())
    return next((each for each in held if each.id == grant_id), None)
