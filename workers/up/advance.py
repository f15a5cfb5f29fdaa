"""Moving the test clock through every due instant, in order, while the daemons run.

The sandbox's clock is set first, so that nothing at the provider is dated before our own record of
it. The clock stands still until all due work is done.
"""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from billing.errors import BadInput, Unavailable
from billing.flows.settlement import runs
from billing.gateway.registry import KINDS
from billing.rules.provider_names import task_of
from billing.store import clock as stored
from billing.store import due_work, tasks
from billing.store.subscriptions import cycles
from billing.workers.daemons.reconciler import CLOSE, CONFIRM
from billing.workers.runtime.runtime import Runtime
from billing.workers.up.sandbox import SandboxClient, sandbox_of

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.01
GRACE_SECONDS: Final = 5.0
PATIENCE: Final = timedelta(seconds=60)
TELL_EVERY_SECONDS: Final = 5.0

Progress = Callable[[datetime], None]
Told = Callable[[str], None]
"""Called with what is being waited for, every few seconds while it is waited for."""


def advance(
    runtime: Runtime,
    to: datetime,
    *,
    step: timedelta = timedelta(0),
    stop_at: Sequence[datetime] = (),
    progress: Progress | None = None,
    told: Told = logger.info,
) -> int:
    """Move the clock to `to` and return how many stops were made on the way.

    Afterwards it waits as long as one tick of the reconciler takes. Stops at every due instant;
    at those of `stop_at`, too; with a `step`, instants less than a step apart share a stop. A
    provider that has no clock to move keeps its own; `told` is told so. Raises `BadInput` outside
    sandbox mode or for a time in the past, `Unavailable` when nothing of what is due is done for
    longer than a lease.
    """
    controls, others = controls_of(runtime)
    for name in others:
        told(f"the server of account {name} is no sandbox of this engine: its clock stays")
    now = runtime.clock.now()
    if to < now:
        raise BadInput(
            f"the clock only goes forward: it is {now:%Y-%m-%d %H:%M} UTC already", where="clock"
        )
    stops = 0
    wait_until_done(runtime, now, told)
    while now < to:
        with runtime.engine.connect() as conn:
            due = due_work.next_due_instant(conn)
        coming = [at for at in stop_at if at > now] + ([] if due is None else [due])
        now = min(to, max(min(coming, default=to), now + step))
        set_clock(runtime, controls, now)
        wait_until_done(runtime, now, told)
        stops += 1
        if progress is not None:
            progress(now)
    wait_for_reconciler(runtime, now)
    return stops


def wait_for_reconciler(runtime: Runtime, now: datetime, seconds: float = GRACE_SECONDS) -> None:
    """Wait until the reconciler has done what it can by `now`, for a tick (real time) or longer.

    Returns at once where no reconciler ran lately.
    """
    tick = runtime.settings.reconciler.tick.total_seconds()
    deadline = time.monotonic() + tick + seconds
    while not reconciler_is_done(runtime, now) and time.monotonic() < deadline:
        if not reconciler_ran_within(runtime, tick + seconds):
            return
        time.sleep(POLL_SECONDS * 5)


def reconciler_is_done(runtime: Runtime, now: datetime) -> bool:
    """Tell whether all is confirmed, settled and closed that can be by `now`."""
    every = runtime.settings.reconciler.settle_every
    with runtime.engine.connect() as conn:
        seen = [row.watermark for row in _of_reconciler(runtime, conn)]
        return (
            len(seen) == len(_tasks_of_reconciler(runtime))
            and all(until is not None and until >= now for until in seen)
            and all(
                runs.is_done(conn, account, now=now, every=every) for account in _settled(runtime)
            )
            and not cycles.closable(conn, now, limit=1)
        )


def reconciler_ran_within(runtime: Runtime, seconds: float) -> bool:
    """Tell whether a reconciler ended a run in the last seconds."""
    since = runtime.clock.wall() - timedelta(seconds=seconds)
    with runtime.engine.connect() as conn:
        last = [row.last_success_at for row in _of_reconciler(runtime, conn)]
    return any(at is not None and at >= since for at in last)


def _of_reconciler(runtime: Runtime, conn: Connection) -> list[tasks.Task]:
    wanted = _tasks_of_reconciler(runtime)
    return [row for row in tasks.all_tasks(conn) if row.task in wanted]


def _tasks_of_reconciler(runtime: Runtime) -> set[str]:
    return {CLOSE, *(task_of(CONFIRM, account) for account in runtime.settings.providers)}


def _settled(runtime: Runtime) -> list[str]:
    """Return the accounts that have a nightly settlement: those whose provider lists movements."""
    return [
        name
        for name, account in runtime.settings.providers.items()
        if KINDS[account.kind].capabilities.lists_movements
    ]


def controls_of(runtime: Runtime) -> tuple[list[SandboxClient], list[str]]:
    """Return the controls of the sandboxes of all accounts, and the accounts that have none.

    Several accounts may be at one sandbox. A server that `api_base` names and that doesn't know our
    control pages is somebody else's: it keeps its own time. Raises `BadInput`, `Unavailable`.
    """
    settings = runtime.settings
    if settings.mode != "sandbox":
        raise BadInput(
            "only a sandbox has a clock that can be moved",
            where="mode",
            remedy="in live mode time passes by itself",
        )
    known: dict[str, SandboxClient] = {}
    others: list[str] = []
    for name in settings.providers:
        control = sandbox_of(runtime, name)
        if control is None:
            others.append(name)
        else:
            known.setdefault(control.url, control)
    return list(known.values()), others


def set_clock(runtime: Runtime, controls: Sequence[SandboxClient], now: datetime) -> None:
    """Set all clocks, the providers' first."""
    for control in controls:
        control.set_clock(now)
    with runtime.engine.begin() as conn:
        stored.put(conn, now)


def wait_until_done(runtime: Runtime, now: datetime, told: Told = logger.info) -> None:
    """Return when every cycle, attempt and refund due by `now` is done. Raises `Unavailable`.

    It waits as long as something gets done, or a lease of a process that died may still hold.
    """
    patience = (
        max(runtime.policy.lease, runtime.policy.dispatch_window) + PATIENCE
    ).total_seconds()
    began = changed = said = time.monotonic()
    before: tuple[int, ...] | None = None
    while True:
        with runtime.engine.connect() as conn:
            if due_work.nothing_due(conn, now):
                return
        at = time.monotonic()
        if at - said >= TELL_EVERY_SECONDS or at - changed > patience or before is None:
            with runtime.engine.connect() as conn:
                due = due_work.due(conn, now, runtime.clock.wall())
            left = (due.renewals, due.attempts, due.refunds, due.taxes)
            if left != before:
                before, changed = left, at
            if at - changed > patience:
                raise _stalled(due, now)
            if said != began:
                told(f"waiting for {in_words(due)}")
            said = at
        time.sleep(POLL_SECONDS)


def _stalled(due: due_work.Due, now: datetime) -> Unavailable:
    return Unavailable(
        f"what is due at {now:%Y-%m-%d %H:%M} UTC is not getting done: {in_words(due)}",
        where="billing clock",
        remedy="see `billing status`: a scheduler and a worker have to run (`billing up`)"
        if not due.held
        else "run it again later; `billing charges list --unknown` shows what has no answer yet",
    )


def in_words(due: due_work.Due) -> str:
    """Return what is waited for, and until when some of it is held."""
    counts = (
        (due.renewals, "renewal(s)"),
        (due.attempts, "attempt(s)"),
        (due.refunds, "refund(s)"),
        (due.taxes, "call(s) about taxes"),
    )
    words = ", ".join(f"{count} {what}" for count, what in counts if count) or "the last commit"
    if due.held_until is None:
        return words
    return (
        f"{words}; {due.held} of them may be in the hands of a worker, or have no answer yet,"
        f" and are taken up again by {due.held_until:%H:%M:%S} UTC (real time)"
    )
