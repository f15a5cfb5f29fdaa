"""Running one role as a process: checks first, then health pages, work, and a clean end on TERM."""

import logging
import signal
import threading
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from types import FrameType
from typing import Literal

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from billing import tracing
from billing.config import Settings
from billing.errors import first_line
from billing.logs import configure_logging
from billing.store import fences
from billing.store.schema import check_schema
from billing.workers.daemons import charges
from billing.workers.daemons.reconciler import Reconciler
from billing.workers.daemons.scheduler import Scheduler
from billing.workers.daemons.webhooks import Webhooks, beside
from billing.workers.runtime.broker import refusal
from billing.workers.runtime.health import HealthServer, ReadinessCheck, notify_systemd
from billing.workers.runtime.metrics import ProcessMetrics, StateCollector
from billing.workers.runtime.runtime import Runtime

logger = logging.getLogger(__name__)

Role = Literal["scheduler", "worker", "reconciler", "api", "console"]
Work = tuple[Callable[[], None], Callable[[], None], Mapping[str, ReadinessCheck]]
"""A role's work, the function that stops it, and its own readiness checks."""
Brought = Callable[[Runtime, ProcessMetrics], Work]
"""Makes the work of a role whose package imports the workers, and not the other way round."""


def run_role(
    role: Role,
    settings: Settings,
    brought: Brought | None = None,
) -> None:
    """Run a role until TERM or Ctrl-C, then finish the work that has begun.

    `brought` makes the work of the roles `api` and `console`.
    Raises `SchemaUnknown`, `Unavailable`, `BadInput` before any work is done.
    """
    configure_logging(settings.logs.format, settings.logs.level, role=role)
    traces = settings.tracing
    with tracing.exported(traces.endpoint, role=role, ratio=traces.ratio):
        _run(role, settings, brought)


def _run(role: Role, settings: Settings, brought: Brought | None) -> None:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    kinds = {name: account.kind for name, account in settings.providers.items()}
    metrics = ProcessMetrics(registry, role, _version(), kinds)
    runtime = Runtime(settings, metrics.requests_to, role)
    runtime.outcomes.reported = metrics.outcomes_unwritten
    check_schema(runtime.engine)
    if role in ("scheduler", "reconciler"):
        registry.register(StateCollector(runtime))
    if role not in ("scheduler", "console"):
        list(runtime.gateways)  # report a missing key now and not at the first charge
    work, stop, checks = _work(role, runtime, metrics, brought)
    with health_server(role, runtime, registry, checks) as health, _stopping_on_signals(stop):
        logger.info("%s is up, health pages on %s", role, health.url)
        notify_systemd("READY=1")
        work()
        notify_systemd("STOPPING=1")
    logger.info("%s is down", role)
    runtime.close()


def _version() -> str:
    try:
        return version("perennial-billing")
    except PackageNotFoundError:  # run from a source tree that isn't installed
        return "unknown"


def _work(
    role: Role,
    runtime: Runtime,
    metrics: ProcessMetrics,
    brought: Brought | None,
) -> Work:
    match role:
        case "scheduler":
            scheduler = Scheduler(runtime, metrics)
            return scheduler.run, scheduler.stop, {}
        case "reconciler":
            return *beside(Reconciler(runtime, metrics), Webhooks(runtime, metrics)), {}
        case "worker":
            stopped = threading.Event()
            return lambda: charges.run(runtime, metrics, stopped), stopped.set, {}
        case "api" | "console":
            assert brought is not None, "whoever runs this role brings its work"
            return brought(runtime, metrics)


def health_server(
    role: Role,
    runtime: Runtime,
    registry: CollectorRegistry,
    more: Mapping[str, ReadinessCheck],
    *,
    port: int | None = None,
) -> HealthServer:
    """Return the health pages of a role, on its configured port if no other is named."""
    settings = runtime.settings.metrics
    configured = {
        "scheduler": settings.scheduler_port,
        "worker": settings.worker_port,
        "reconciler": settings.reconciler_port,
        "api": settings.api_port,
        "console": settings.console_port,
    }
    if port is None:
        port = configured[role]
    checks: dict[str, ReadinessCheck] = {"database": _database_check(runtime), **more}
    if role in ("worker", "api"):
        checks["outcomes"] = runtime.outcomes.check
    if role in ("scheduler", "worker"):
        checks["redis"] = lambda: refusal(runtime.broker)
    notes = {"recovering": _fence_note(runtime)}
    return HealthServer(registry, readiness=checks, notes=notes, host=settings.host, port=port)


def _database_check(runtime: Runtime) -> ReadinessCheck:
    def check() -> str | None:
        try:
            with runtime.engine.connect() as conn:
                conn.execute(text("SELECT 1"))
        except SQLAlchemyError as error:
            return first_line(error)
        return None

    return check


def _fence_note(runtime: Runtime) -> ReadinessCheck:
    def check() -> str | None:
        try:
            with runtime.engine.connect() as conn:
                held = [each for each in fences.every(conn) if each.cause is not None]
        except SQLAlchemyError:
            return None  # the check of the database says so
        return "; ".join(f"{each.provider}: {each.cause}" for each in held) or None

    return check


class _stopping_on_signals:  # noqa: N801  reads as the statement it is
    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop

    def __enter__(self) -> None:
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._on_signal)

    def _on_signal(self, _signum: int, _frame: FrameType | None) -> None:
        self._stop()

    def __exit__(self, *_: object) -> None:
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, signal.SIG_DFL)
