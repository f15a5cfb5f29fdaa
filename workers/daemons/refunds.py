"""The refund job: one refund, safe to run any number of times, anywhere.

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
from billing.flows.refunds import sending as flow
from billing.gateway import word_of
from billing.workers.daemons.finishing import write_outcome
from billing.workers.runtime import lines
from billing.workers.runtime.broker import CHARGES, REFUND_ACTOR, sent_along
from billing.workers.runtime.metrics import ProcessMetrics
from billing.workers.runtime.outcomes import CANT_WRITE
from billing.workers.runtime.runtime import Runtime

logger = logging.getLogger(__name__)


def refund(
    runtime: Runtime, metrics: ProcessMetrics, refund_id: UUID, parent: tracing.Parent = None
) -> None:
    """Send or look up a refund, if that is due, and write the outcome; see `charges.charge`."""
    if runtime.outcomes.held():
        return
    with tracing.span("refund", parent, refund=refund_id) as span:
        _refund(runtime, metrics, refund_id, span)


def _refund(
    runtime: Runtime, metrics: ProcessMetrics, refund_id: UUID, span: tracing.OpenSpan
) -> None:
    context = runtime.context
    sending = flow.begin(context, refund_id)
    if sending is None:
        return
    started = time.perf_counter()
    answer = flow.attempt(context, sending)
    span.set(payment=sending.payment_id, provider=sending.provider, outcome=word_of(answer))
    lines.refund(sending, answer, time.perf_counter() - started)
    write_outcome(
        runtime,
        f"refund {refund_id}",
        answer,
        lambda: flow.finish(context, sending, answer),
    )
    metrics.refund_answered(sending.provider, answer)


def declare(runtime: Runtime, metrics: ProcessMetrics, broker: RedisBroker) -> None:
    """Register the refund actor with the broker, working with this runtime."""

    def run(refund_id: str) -> None:
        try:
            refund(runtime, metrics, UUID(refund_id), tracing.coming_from(sent_along()))
        except CANT_WRITE as error:
            # The row says what is due; a scheduler enqueues it again when the database is back.
            logger.warning("refund %s: the database failed: %s", refund_id, first_line(error))

    dramatiq.actor(actor_name=REFUND_ACTOR, queue_name=CHARGES, broker=broker)(run)
