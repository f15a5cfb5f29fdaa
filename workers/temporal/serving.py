"""The process that works for Temporal: `billing temporal worker`.

It holds no state: Temporal knows how far a night is, PostgreSQL how far each step. Any number of
them may run, and one that was killed is missed after `temporal.heartbeat_timeout`.
"""

import asyncio
import logging
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final

from temporalio.client import Client
from temporalio.worker import Worker

from billing import tracing
from billing.config import Settings
from billing.logs import configure_logging
from billing.store.schema import check_schema
from billing.workers.runtime.health import notify_systemd
from billing.workers.runtime.runtime import Runtime
from billing.workers.runtime.shares import BY_HAND
from billing.workers.temporal.activities import Activities
from billing.workers.temporal.client import connect
from billing.workers.temporal.night import Night

logger = logging.getLogger(__name__)

ROLE: Final = "temporal"
THREADS: Final = 8
LET_FINISH: Final = timedelta(minutes=10)
"""How long a step that has begun may go on after TERM; then it is left to its lease."""


def run(settings: Settings) -> None:
    """Work for Temporal until TERM or Ctrl-C, and finish the steps that have begun.

    Raises `Unavailable`, `BadInput`, `SchemaUnknown` before any work is done.
    """
    configure_logging(settings.logs.format, settings.logs.level, role=ROLE)
    traces = settings.tracing
    with tracing.exported(traces.endpoint, role=ROLE, ratio=traces.ratio):
        runtime = Runtime(settings, role=BY_HAND)
        check_schema(runtime.engine)
        list(runtime.gateways)  # report a missing key now and not in the night
        try:
            asyncio.run(_serve(runtime))
        finally:
            runtime.close()


async def _serve(runtime: Runtime) -> None:
    temporal, stopping = runtime.settings.temporal, asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stopping.set)
    client = await connect(runtime.settings)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="step") as executor:
        async with worker(client, runtime, executor):
            logger.info(
                "temporal worker is up, on task queue %s of %s",
                temporal.task_queue,
                temporal.address,
            )
            notify_systemd("READY=1")
            await stopping.wait()
            notify_systemd("STOPPING=1")
    logger.info("temporal worker is down")


def worker(
    client: Client,
    runtime: Runtime,
    executor: ThreadPoolExecutor,
) -> Worker:
    """Return the worker of the workflow and its activities.

    No workflow is cached: a history is short, and whoever reads it whole each time waits for no
    worker that is dead.
    """
    return Worker(
        client,
        task_queue=runtime.settings.temporal.task_queue,
        workflows=[Night],
        activities=Activities(runtime, executor).all,
        max_concurrent_activities=THREADS,
        max_cached_workflows=0,
        graceful_shutdown_timeout=LET_FINISH,
    )
