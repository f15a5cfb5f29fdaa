"""Asking the provider about refunds that its settlement shows otherwise than our books.

A refund may fail days after it succeeded. Its event says so; where that never came, this does.
"""

import logging

from billing.errors import BillingError, first_line
from billing.flows.refunds import refund_updates
from billing.flows.settlement.step_run import StepRun
from billing.store.settlement import to_ask

logger = logging.getLogger(__name__)


def ask(step: StepRun) -> None:
    """Fetch each refund of ours whose money moved otherwise than its state says, and apply it.

    A refund that can't be fetched stays a break, and the next run asks again.
    """
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
