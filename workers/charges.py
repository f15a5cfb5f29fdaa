"""The charge job: one payment, safe to run any number of times, anywhere.

    begin (tx 1)  ->  the call, outside any transaction  ->  finish (tx 2)

`billing worker` runs one Dramatiq worker in this process, with threads. A process is a replica:
run more of them for more throughput, on as many machines as you like.
"""

import logging
import threading
import time
from uuid import UUID

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from sqlalchemy.exc import OperationalError

from billing.flows import collect
from billing.flows.collect import Sending
from billing.gateway import Absent, Outcome
from workers.broker import CHARGE_ACTOR, CHARGES
from workers.metrics import ProcessMetrics
from workers.runtime import Runtime

logger = logging.getLogger(__name__)

FINISH_TRIES = 5
FINISH_PAUSE_SECONDS = 0.5


def charge(runtime: Runtime, metrics: ProcessMetrics, payment_id: UUID) -> None:
    """Make the attempt that a payment is due for, if it is due for one, and write down its end."""
    clock, policy = runtime.clock, runtime.policy
    now = clock.now()
    sending = collect.begin(runtime.engine, payment_id, now=now, wall=clock.wall(), policy=policy)
    if sending is None:
        return
    outcome = collect.attempt(runtime.gateway, sending, now=now, policy=policy)
    _finish(runtime, sending, outcome)
    metrics.attempt_finished(sending, outcome)


def _finish(runtime: Runtime, sending: Sending, outcome: Outcome | Absent) -> None:
    """Write the outcome down, through a database that stumbles.

    If it can't be written, nothing is lost: the attempt stays open and is asked again under
    the same key.
    """
    for left in reversed(range(FINISH_TRIES)):
        try:
            collect.finish(
                runtime.engine,
                sending,
                outcome,
                now=runtime.clock.now(),
                wall=runtime.clock.wall(),
                policy=runtime.policy,
            )
        except OperationalError:
            if not left:
                raise
            time.sleep(FINISH_PAUSE_SECONDS)
        else:
            return


def declare(runtime: Runtime, metrics: ProcessMetrics, broker: RedisBroker) -> None:
    """Make the broker's charge actor one that works with these parts."""

    def run(payment_id: str) -> None:
        try:
            charge(runtime, metrics, UUID(payment_id))
        except OperationalError as error:
            # The row says what is due; the bell rings again when the database is back.
            logger.warning("payment %s: the database stumbled: %s", payment_id, error.orig)

    dramatiq.actor(actor_name=CHARGE_ACTOR, queue_name=CHARGES, broker=broker)(run)


def run(runtime: Runtime, metrics: ProcessMetrics, stop: threading.Event) -> None:
    """Work until told to stop, then finish what was begun."""
    broker = runtime.broker
    declare(runtime, metrics, broker)
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
        stop.wait()
    finally:
        # Longer than one call may take: a charge that was begun is finished, not abandoned.
        worker.stop(timeout=int(runtime.settings.charges.lease.total_seconds() * 1000))
