"""The charge job: one payment, safe to run any number of times, anywhere.

    begin (tx 1)  ->  the call, outside any transaction  ->  finish (tx 2)

A payment that is authorised already is captured or voided in the same three steps. Refunds and
taxes are the other jobs of a worker: `workers.daemons.refunds`, `workers.daemons.taxes`.

`billing worker` runs one Dramatiq worker in this process, with threads. A process is a replica:
run more of them for more throughput, on as many machines as you like.
"""

import logging
import threading
import time
from typing import Final
from uuid import UUID

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from sqlalchemy.exc import SQLAlchemyError

from billing import tracing
from billing.errors import first_line
from billing.flows import fence
from billing.flows.payments import authorization_outcomes, authorization_sending, collecting
from billing.gateway import Absent, Outcome, word_of
from billing.workers.daemons.finishing import write_outcome
from billing.workers.daemons.refunds import declare as declare_refunds
from billing.workers.daemons.taxes import declare as declare_taxes
from billing.workers.runtime import lines
from billing.workers.runtime.broker import CHARGE_ACTOR, CHARGES, sent_along
from billing.workers.runtime.metrics import ProcessMetrics
from billing.workers.runtime.outcomes import CANT_WRITE
from billing.workers.runtime.runtime import Runtime

logger = logging.getLogger(__name__)

LOOK_AFTER_SECONDS: Final = 1.0
"""How often outcomes that couldn't be written are tried again."""
FENCE_SECONDS: Final = 5.0
"""How often a worker asks whether the database is another one: then accounts are compared."""


def charge(
    runtime: Runtime, metrics: ProcessMetrics, payment_id: UUID, parent: tracing.Parent = None
) -> None:
    """Make a payment's due attempt, if there is one, and write its outcome.

    Sends nothing while an earlier outcome couldn't be written (`Outcomes`). `parent` is the trace
    that asked for it.
    """
    if runtime.outcomes.held():
        return
    with tracing.span("charge", parent, payment=payment_id) as span:
        _charge(runtime, metrics, payment_id, span)


def _charge(
    runtime: Runtime, metrics: ProcessMetrics, payment_id: UUID, span: tracing.OpenSpan
) -> None:
    context = runtime.context
    before = context.at_one_instant()
    sending = collecting.begin(before, payment_id)
    if sending is None:
        _capture_or_void(runtime, metrics, payment_id)
        return
    started = time.perf_counter()
    outcome = collecting.attempt(before, sending)
    span.set(provider=sending.provider, customer=sending.call.customer_id, outcome=word_of(outcome))
    lines.charge(sending, outcome, time.perf_counter() - started)
    write_outcome(
        runtime,
        f"payment {payment_id}",
        outcome,
        lambda: collecting.finish(context, sending, outcome),
    )
    metrics.attempt_finished(sending, outcome)


def _capture_or_void(runtime: Runtime, metrics: ProcessMetrics, payment_id: UUID) -> None:
    """Capture or void an authorised payment, if either is due."""
    context = runtime.context
    step = authorization_sending.begin(context, payment_id)
    if step is None:
        return
    with tracing.span("authorization", payment=payment_id, kind=step.kind) as span:
        outcome = _send_step(runtime, step)
        span.set(provider=step.provider, outcome=word_of(outcome))
    metrics.step_finished(step, outcome)


def _send_step(runtime: Runtime, step: authorization_sending.AuthorizationStep) -> Outcome | Absent:
    context = runtime.context
    started = time.perf_counter()
    outcome = authorization_sending.attempt(context, step)
    lines.step(step, outcome, time.perf_counter() - started)
    write_outcome(
        runtime,
        f"payment {step.payment_id}",
        outcome,
        lambda: authorization_outcomes.finish(context, step, outcome),
    )
    return outcome


def declare(runtime: Runtime, metrics: ProcessMetrics, broker: RedisBroker) -> None:
    """Register the charge actor with the broker, working with this runtime."""

    def run(payment_id: str) -> None:
        try:
            charge(runtime, metrics, UUID(payment_id), tracing.coming_from(sent_along()))
        except CANT_WRITE as error:
            # The row says what is due; a scheduler enqueues it again when the database is back.
            logger.warning("payment %s: the database failed: %s", payment_id, first_line(error))

    dramatiq.actor(actor_name=CHARGE_ACTOR, queue_name=CHARGES, broker=broker)(run)


def _compare(runtime: Runtime) -> None:
    """Compare the accounts with a database that is another one than before."""
    try:
        for account in runtime.gateways.names:
            fence.passes(runtime.context, account)
    except SQLAlchemyError as error:
        logger.warning("accounts can't be compared: %s", first_line(error))


def run(runtime: Runtime, metrics: ProcessMetrics, stop: threading.Event) -> None:
    """Work until asked to stop, then finish the jobs that have begun."""
    broker = runtime.broker
    declare(runtime, metrics, broker)
    declare_refunds(runtime, metrics, broker)
    declare_taxes(runtime, broker)
    settings = runtime.settings.worker
    worker = dramatiq.Worker(
        broker,
        queues={CHARGES},
        worker_threads=settings.threads,
        worker_timeout=max(1, round(settings.poll.total_seconds() * 1000)),
    )
    worker.start()
    logger.info("worker ready: %d threads", settings.threads)
    try:
        compared_at = time.monotonic()
        while not stop.wait(LOOK_AFTER_SECONDS):
            runtime.outcomes.held()
            if time.monotonic() >= compared_at + FENCE_SECONDS:
                _compare(runtime)
                compared_at = time.monotonic()
    finally:
        # Longer than one call may take, so that a charge that has begun is finished.
        worker.stop(timeout=int(runtime.settings.charges.lease.total_seconds() * 1000))
