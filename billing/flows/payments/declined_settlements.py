"""Captures whose settlement the provider declines: the money never came, so it is owed again.

Some payments are captured at once and settled days later, as those of bank accounts. When that
fails, the capture is undone: its entry is reversed, the invoice is open, and the ladder goes on
with a payment of its own at the provider. What was given for the money in between isn't undone: a
payment of which something was refunded, disputed or credited, and one that bought credit, is left
to a person, as a break.
"""

from datetime import datetime

from sqlalchemy import Connection

from billing.flows.context import Context
from billing.flows.payments.collecting import to_send
from billing.flows.payments.declines import declined_after_capture
from billing.flows.policy import Policy
from billing.gateway import Declined
from billing.ledger import keys, recipes
from billing.pricing import InvoiceKind
from billing.rules.actor import PROVIDER
from billing.rules.invoices import InvoiceStatus
from billing.rules.payments import AttemptKind, Cause, State
from billing.rules.reconciliation import BreakKind
from billing.store.journal import posting, reads
from billing.store.payments import credit_notes, disputes, invoices, payments, provider_calls
from billing.store.payments.payments import LockedPayment, Payment
from billing.store.settlement import breaks

_RESOLUTION = "the settlement was declined: the payment is collected again"


def ask(context: Context, payment: Payment) -> Declined | None:
    """Ask the provider whether the settlement of a captured payment was declined.

    Calls the provider, and no transaction may be open. Raises: Unavailable.
    """
    with context.engine.connect() as conn:
        call = provider_calls.succeeded_charge(conn, payment.id)
    if call is None:
        return None
    request = to_send(call, AttemptKind.FIRST).request
    outcome = context.gateway.look_up(request, since=call.first_sent_at)
    return outcome if isinstance(outcome, Declined) else None


def undo(
    conn: Connection, payment: LockedPayment, outcome: Declined, *, now: datetime, policy: Policy
) -> bool:
    """Undo the capture of a locked payment, and decide what follows; False where a person has to.

    The entry of the capture is reversed and the invoice is owed again. A break that told of it is
    resolved.
    """
    capture = keys.payment_captured(payment.id, payment.attempt_n)
    if not _may_be_undone(conn, payment) or reads.entry_by_source_key(conn, capture) is None:
        return False
    payments.move(
        conn,
        payment.id,
        [State.CAPTURED, State.CREATED],
        cause=Cause.SETTLEMENT_DECLINED,
        now=now,
        actor=PROVIDER,
        evidence={
            "attempt": payment.attempt_n,
            "provider": payment.provider,
            "code": outcome.decline_code,
            "amount": payment.amount_captured,
            "provider_payment": payment.provider_payment_id,
            "provider_charge": payment.provider_charge_id,
        },
        provider_payment_id=None,
        provider_charge_id=None,
        amount_captured=0,
        captured_at=None,
        confirmed_at=None,
    )
    posting.reverse(conn, capture, recipes.capture_returned, effective_at=now)
    if payment.invoice_id is None:
        charged = keys.one_off_charged(payment.id)
        posting.reverse(conn, charged, recipes.one_off_returned, effective_at=now)
    else:
        invoices.move(conn, payment.invoice_id, InvoiceStatus.PAID, InvoiceStatus.OPEN, now)
    declined_after_capture(conn, payment, outcome, now=now, policy=policy)
    kind = BreakKind.MISSING_AT_PROVIDER
    breaks.explain(conn, payment.provider, kind, payment.id, now=now, resolution=_RESOLUTION)
    return True


def _may_be_undone(conn: Connection, payment: LockedPayment) -> bool:
    """Tell whether nothing was given for the money that would have to be undone, too."""
    if payment.state is not State.CAPTURED or payment.amount_refunded:
        return False
    if payment.invoice_kind is InvoiceKind.TOP_UP or payment.cycle_state == "closed":
        return False
    invoice_id = payment.invoice_id
    credited = invoice_id is not None and credit_notes.page(conn, invoice_id=invoice_id, limit=1)
    return not credited and not disputes.page(conn, payment_id=payment.id, limit=1)
