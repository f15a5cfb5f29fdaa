"""Moving the test clock through every due instant, in order, while the daemons run.

The sandbox's clock is set first, so that nothing at the provider is dated before our own record of
it. The clock stands still until all due work is done.
"""

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
from workers.daemons.reconciler import CLOSE, CONFIRM
from workers.runtime.runtime import Runtime, sandbox_url
from workers.up.sandbox import SandboxClient

POLL_SECONDS: Final = 0.01
GRACE_SECONDS: Final = 5.0
STALLED_AFTER: Final = timedelta(seconds=60)

Progress = Callable[[datetime], None]


def advance(
    runtime: Runtime,
    to: datetime,
    *,
    step: timedelta = timedelta(0),
    progress: Progress | None = None,
) -> int:
    """Move the clock to `to` and return how many stops were made on the way.

    Afterwards it waits as long as one tick of the reconciler takes. Stops at every due instant;
    with a `step`, instants less than a step apart share a stop. Raises `BadInput` outside sandbox
    mode or for a time in the past, `Unavailable` when what is due isn't done within a minute
    (no scheduler or no worker runs).
    """
    controls = _controls(runtime)
    now = runtime.clock.now()
    if to < now:
        raise BadInput(
            f"the clock only goes forward: it is {now:%Y-%m-%d %H:%M} UTC already", where="clock"
        )
    stops = 0
    wait_until_done(runtime, now)
    while now < to:
        with runtime.engine.connect() as conn:
            due = due_work.next_due_instant(conn)
        now = min(to, max(due, now + step)) if due is not None else to
        set_clock(runtime, controls, now)
        wait_until_done(runtime, now)
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
                runs.is_done(conn, account, now=now, every=every)
                for account in _with_balance(runtime)
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


def _with_balance(runtime: Runtime) -> list[str]:
    """Return the accounts whose provider lists what moves on its balance."""
    return [
        name
        for name, account in runtime.settings.providers.items()
        if KINDS[account.kind].capabilities.lists_balance
    ]


def _controls(runtime: Runtime) -> list[SandboxClient]:
    """Return the controls of the sandboxes of all accounts; several may be at one sandbox."""
    settings = runtime.settings
    urls = [account.api_base or sandbox_url(settings) for account in settings.providers.values()]
    known = dict.fromkeys(url for url in urls if url)
    if settings.mode != "sandbox" or not known:
        raise BadInput(
            "only a sandbox has a clock that can be moved",
            where="mode",
            remedy="in live mode time passes by itself",
        )
    return [SandboxClient(url) for url in known]


def set_clock(runtime: Runtime, controls: Sequence[SandboxClient], now: datetime) -> None:
    """Set all clocks, the providers' first."""
    for control in controls:
        control.set_clock(now)
    with runtime.engine.begin() as conn:
        stored.put(conn, now)


def wait_until_done(runtime: Runtime, now: datetime) -> None:
    """Return when every cycle and attempt due by `now` is done. Raises `Unavailable`."""
    deadline = time.monotonic() + STALLED_AFTER.total_seconds()
    while True:
        with runtime.engine.connect() as conn:
            if due_work.nothing_due(conn, now):
                return
        if time.monotonic() > deadline:
            raise Unavailable(
                f"what is due at {now:%Y-%m-%d %H:%M} UTC is not getting done",
                where="billing clock",
                remedy="see `billing status`: a scheduler and a worker have to run (`billing up`)",
            )
        time.sleep(POLL_SECONDS)
