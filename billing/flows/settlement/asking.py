"""Asking the provider about what its settlement shows otherwise than our books.

A refund may fail days after it succeeded, and a capture may never be settled. Its event says so;
where that never came, this does.
"""

import logging

from billing.errors import BillingError, first_line
from billing.flows.payments import declined_settlements
from billing.flows.refunds import refund_updates
from billing.flows.settlement.step_run import StepRun
from billing.store.payments import payments
from billing.store.settlement import to_ask

logger = logging.getLogger(__name__)


def ask(step: StepRun) -> None:
    """Ask about refunds whose money moved otherwise, and about captures that are missing there.

    What can't be fetched stays a break, and the next run asks again.
    """
    _ask_refunds(step)
    _ask_captures(step)


def _ask_captures(step: StepRun) -> None:
    """Undo each capture that is missing at the provider because its settlement was declined."""
    with step.context.engine.connect() as conn:
        wanted = [payments.get(conn, each) for each in to_ask.captures(conn, step.provider)]
    for payment in wanted:
        assert payment is not None, "payments are never deleted"
        try:
            late = declined_settlements.ask(step.context, payment)
        except BillingError as error:
            logger.warning("settlement: payment %s: %s", payment.id, first_line(error))
            continue
        if late is None:
            continue
        with step.batch() as conn:
            locked = payments.lock_known_payment(conn, payment.id)
            policy = step.context.policy
            if declined_settlements.undo(conn, locked, late, now=step.now, policy=policy):
                step.counts["captures_undone"] += 1


def _ask_refunds(step: StepRun) -> None:
    """Fetch each refund of ours whose money moved otherwise than its state says, and apply it."""
    with step.context.engine.connect() as conn:
        wanted = to_ask.refunds(conn, step.provider)
    for refund_id in wanted:
        try:
            found = step.context.gateway.refund_by_id(refund_id)
        except BillingError as error:
            logger.warning("settlement: refund %s: %s", refund_id, first_line(error))
            continue
        if found is None:
            continue
        with step.batch() as conn:
            refund_updates.apply(conn, found, provider=step.provider, now=step.now)
            step.counts["refunds_asked"] += 1
