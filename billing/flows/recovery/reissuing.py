"""Issuing invoices of no subscription again that were charged after the backup, as of then.

All in the caller's transaction. One that would come to another amount than was charged isn't
issued: its lines were taxed, or paid by credit, otherwise.
"""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.errors import BadInput, Conflict, NotFound
from billing.flows.context import Context
from billing.flows.invoices import buying, ordering
from billing.flows.policy import Policy
from billing.flows.recovery.finding import Forgotten
from billing.plans.taxes import TaxTerms
from billing.rules.actor import RECONCILER
from billing.rules.invoice_marks import OrderMark, TopUpMark
from billing.rules.money import Money
from billing.rules.request_marks import CALLER, read_mark
from billing.store.access import idempotency
from billing.store.payments import payments

_Issue = Callable[[], object]


def issue_again(
    context: Context, conn: Connection, found: Forgotten, payer: UUID, amount: Money
) -> bool:
    """Issue the invoice that a charge of `amount` names; False where it can't be as it was.

    The caller's idempotency key comes back with it.
    """
    at = min(found.issued_at, context.clock.now())
    named, operation = found.top_up or found.order, "credit.buy"
    issue: _Issue | None = None
    if isinstance(named, TopUpMark) and buying.payment_of(named.invoice_id, at) == found.ours:
        issue = _buying(conn, named, payer, amount, at, context.policy)
    elif isinstance(named, OrderMark) and ordering.payment_of(named.invoice_id, at) == found.ours:
        issue = _ordering(conn, named, payer, amount.currency, at, context.policy)
        operation = "invoices.create"
    if named is None or issue is None or not _comes_to(conn, issue, found.ours, amount):
        return False
    mark = read_mark(found.newest.metadata, CALLER)
    if mark is not None:
        idempotency.restore(conn, mark, operation, named.invoice_id, at=context.clock.wall())
    return True


def _comes_to(conn: Connection, issue: _Issue, payment_id: UUID, amount: Money) -> bool:
    """Issue an invoice where its payment comes to an amount; tell whether it is issued."""
    try:
        with conn.begin_nested() as all_of_it:
            issue()
            row = payments.get(conn, payment_id)
            same = row is not None and Money(row.amount, row.currency) == amount
            if not same:
                all_of_it.rollback()
    except (BadInput, Conflict, NotFound):
        return False
    return same


def _buying(
    conn: Connection, bought: TopUpMark, payer: UUID, amount: Money, at: datetime, policy: Policy
) -> _Issue:
    order = buying.TopUpOrder(
        str(payer), amount.amount, amount.currency, bought.priority, bought.valid_days
    )
    return lambda: buying.buy(
        conn, order, bought.invoice_id, now=at, actor=RECONCILER, policy=policy, again=True
    )


def _ordering(
    conn: Connection, named: OrderMark, payer: UUID, currency: str, at: datetime, policy: Policy
) -> _Issue:
    order = ordering.InvoiceOrder(
        str(payer),
        currency,
        [ordering.OrderedLine(text, amount) for text, amount in named.lines],
        None if named.service is None else ordering.ServiceDays(*named.service),
        TaxTerms(included=named.included or None),
    )
    return lambda: ordering.create(conn, order, named.invoice_id, now=at, policy=policy, again=True)
