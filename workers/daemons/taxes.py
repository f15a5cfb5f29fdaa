"""The tax job: one call about taxes, safe to run any number of times, anywhere.

    begin (tx 1)  ->  the call, outside any transaction  ->  finish (tx 2)

Its messages share the queue of the charges, and so the workers and their rate.
"""

import logging
import time
from uuid import UUID

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from billing import tracing
from billing.errors import first_line
from billing.flows.taxes import sending as flow
from billing.gateway.taxes import TaxUnanswered
from billing.workers.runtime import lines
from billing.workers.runtime.broker import CHARGES, TAX_ACTOR, sent_along
from billing.workers.runtime.outcomes import CANT_WRITE
from billing.workers.runtime.runtime import Runtime

logger = logging.getLogger(__name__)


def send(runtime: Runtime, call_id: UUID, parent: tracing.Parent = None) -> None:
    """Send a call about taxes, if that is due, and write what came of it; see `charges.charge`."""
    if runtime.outcomes.held():
        return
    with tracing.span("taxes", parent, call=call_id) as span:
        context = runtime.context
        sending = flow.begin(context, call_id)
        if sending is None:
            return
        started = time.perf_counter()
        answer = flow.attempt(context, sending)
        outcome = type(answer).__name__
        span.set(provider=sending.call.provider, kind=sending.call.kind, outcome=outcome)
        lines.taxes(sending, answer, time.perf_counter() - started)
        indefinite = isinstance(answer, TaxUnanswered)
        lease = runtime.settings.charges.lease - runtime.settings.longest_call
        runtime.outcomes.write(
            f"call {call_id} about taxes",
            lambda: flow.finish(context, sending, answer),
            good_for=max(0.0, lease.total_seconds()) if indefinite else None,
        )


def declare(runtime: Runtime, broker: RedisBroker) -> None:
    """Register the tax actor with the broker, working with this runtime."""

    def run(call_id: str) -> None:
        try:
            send(runtime, UUID(call_id), tracing.coming_from(sent_along()))
        except CANT_WRITE as error:
            # The row says what is due; a scheduler enqueues it again when the database is back.
            logger.warning("taxes %s: the database failed: %s", call_id, first_line(error))

    dramatiq.actor(actor_name=TAX_ACTOR, queue_name=CHARGES, broker=broker)(run)
