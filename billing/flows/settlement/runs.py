"""Settlement: read what the provider did with our money, and bring both sides together.

    fetch    payouts as they are now (of a report: that it can be read at all)
    stage    balance transactions into `settlement_rows`, each once
    match    every row judged in SQL; what differs becomes a break, what explains one resolves it
    correct  the provider has money that we gave up: our side is put right, with its evidence
    post     payments SETTLED; fees, payouts and exchanges into the journal
    close    what is ready is closed; the books are held against the provider's balance

A run is about one account at a provider, and each account has one over its lists at a time. A run
and its steps are rows. Each step goes forward in batches; a batch, how far it came and
the lease are one transaction, so a run that was killed anywhere goes on where it was, and two
workers on one run can't both write. Every step may be run again from its beginning.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from billing import tracing
from billing.crash_points import CrashPoint, marked
from billing.errors import BillingError, first_line
from billing.flows.context import Context
from billing.flows.settlement import (
    correcting,
    matching,
    posting,
    provider_source,
    report_source,
    tie_out,
)
from billing.flows.settlement.step_run import LeaseLost, StepRun
from billing.gateway.reports import MalformedReport, ReportFile
from billing.rules import backoff
from billing.rules.actor import RECONCILER, Actor
from billing.rules.reconciliation import RunSource, RunState, StepState
from billing.store.engine import is_deadlock
from billing.store.settlement import runs, windows
from billing.store.settlement.runs import SettlementRun, StepClaim

logger = logging.getLogger(__name__)

# Every run looks for a missing capture again for so long.
LOOKED_FOR: Final = timedelta(days=7)
BACKOFF: Final = timedelta(seconds=5)
BACKOFF_MAX: Final = timedelta(minutes=10)
TRIES_MAX: Final = 10
DEADLOCKS_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class Worked:
    """How far a run came: its state, and the step and error that stopped it, if one did."""

    run_id: UUID
    state: RunState
    error: Exception | None = None
    step: str | None = None


StepWork = Callable[[StepRun], None]
_FROM_THERE_ON: Final[Mapping[str, StepWork]] = {
    "match": matching.match,
    "correct": correcting.correct,
    "post": posting.post,
    "close": tie_out.close,
}
STEPS: Final[Mapping[RunSource, Mapping[str, StepWork]]] = {
    RunSource.PROVIDER: {
        "fetch": provider_source.fetch,
        "stage": provider_source.stage,
        **_FROM_THERE_ON,
    },
    RunSource.REPORT: {
        "fetch": report_source.fetch,
        "stage": report_source.stage,
        **_FROM_THERE_ON,
    },
}


# --- beginning a run ----------------------------------------------------------------------------


def is_due(last: datetime | None, *, now: datetime, every: timedelta) -> bool:
    """Tell whether a boundary of `every` (counted from midnight UTC) passed since `last`.

    With `every` of nothing, and before the first run, one is always due.
    """
    return last is None or not every or last < _boundary(now, every)


def is_done(conn: Connection, provider: str, *, now: datetime, every: timedelta) -> bool:
    """Tell whether the account's runs that were due by `now` are over, or no money ever moved."""
    if runs.running(conn, provider):
        return False
    last = windows.read_until(conn, provider)
    if last is None:
        return windows.beginning(conn, provider) is None
    return last >= (_boundary(now, every) if every else now)


def _boundary(now: datetime, every: timedelta) -> datetime:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + every * ((now - midnight) // every)


def begin(
    engine: Engine, provider: str, *, now: datetime, every: timedelta = timedelta(0)
) -> UUID | None:
    """Begin a run over an account's balance transactions up to now.

    Returns the run that goes on already if there is one, and None when none is due or no money
    ever moved. Reads from where the last run ended, or from the first send of the oldest capture
    that is not settled, if that is earlier.
    """
    with marked(CrashPoint.SETTLEMENT_BEGUN), engine.begin() as conn:
        runs.one_at_a_time(conn, provider)
        for row in runs.running(conn, provider):
            if row.source is RunSource.PROVIDER:
                return row.id
        last = windows.read_until(conn, provider)
        if not is_due(last, now=now, every=every):
            return None
        # Only before the first run is all of history looked through.
        read_until = last or windows.beginning(conn, provider)
        if read_until is None:
            return None
        oldest = windows.oldest_unsettled(conn, provider, long_known=now - LOOKED_FOR)
        window_from = min(read_until, oldest or now, now - timedelta(seconds=1))
        reference = f"{now:%Y-%m-%dT%H:%M:%SZ}"
        again = runs.begun_at(conn, provider, now)
        return runs.start(
            conn,
            provider=provider,
            source=RunSource.PROVIDER,
            reference=f"{reference}/{again + 1}" if again else reference,
            window_from=window_from,
            window_to=now,
            now=now,
        )


def resume(engine: Engine, run_id: UUID) -> None:
    """Make a failed run due at once."""
    with marked(CrashPoint.SETTLEMENT_RESUMED), engine.begin() as conn:
        runs.reopen(conn, run_id)


# --- working on a run ---------------------------------------------------------------------------


def work(
    run_id: UUID, context: Context, *, report: ReportFile | None = None, actor: Actor = RECONCILER
) -> Worked:
    """Take the run's steps one after the other until it is over, taken by others, or failed.

    A step that fails keeps its error and is tried again later, with doubling pauses; the run fails
    when a step failed `TRIES_MAX` times, and at once for a malformed report. Batches that were
    committed stay. The calls go to the run's account. `report` is the one to import. Domain time is
    read once.
    """
    now = context.clock.now()
    with context.engine.connect() as conn:
        run = runs.get_run(conn, run_id)
    context = context.at_provider(run.provider)
    while (claim := _claim_next(run, context, report)) is not None:
        stopped = _take(StepRun.of(context, run, claim, now, actor, report))
        if stopped is not None:
            return stopped
    return _end(context, run_id, now)


def work_on_step(
    run_id: UUID, name: str, context: Context, *, actor: Actor = RECONCILER
) -> Worked | None:
    """Take one step of a run over the provider's lists, and end the run after its last one.

    None when the step isn't to be had: another process holds it, another step is the next one, or
    it failed and its pause isn't over.
    """
    now = context.clock.now()
    with context.engine.connect() as conn:
        run = runs.get_run(conn, run_id)
    context = context.at_provider(run.provider)
    claim = _claim_next(run, context, None, name)
    if claim is None:
        return None
    stopped = _take(StepRun.of(context, run, claim, now, actor, None))
    return stopped or _end(context, run_id, now)


def finish(run_id: UUID, context: Context) -> Worked:
    """End a run whose steps are all done, where its process died before that."""
    return _end(context, run_id, context.clock.now())


def _take(step: StepRun) -> Worked | None:
    """Take a step that was claimed; None when it is done, else how far the run came."""
    claim, run = step.claim, step.run
    try:
        with tracing.span(
            "settlement step", run=run.id, step=claim.step, provider=run.provider
        ) as span:
            _go_through(STEPS[run.source][claim.step], step)
            step.finish()
            span.set(**step.counts)
    except LeaseLost as error:
        logger.info("settlement: %s", error.what)
        return Worked(run.id, RunState.RUNNING)
    except Exception as error:  # whatever it is: the other runs and accounts go on
        if not isinstance(error, BillingError | DBAPIError | OSError):
            logger.exception("settlement: the step %s ended unexpectedly", claim.step)
        return _failed(step, error)
    return None


def _end(context: Context, run_id: UUID, now: datetime) -> Worked:
    """End a run all of whose steps are done."""
    with marked(CrashPoint.SETTLEMENT_ENDED), context.engine.begin() as conn:
        runs.end(conn, run_id, state=RunState.SUCCEEDED, now=now)
        return Worked(run_id, runs.get_run(conn, run_id).state)


def _go_through(work_on: StepWork, step: StepRun) -> None:
    """Take a step; after a deadlock, its batch begins again."""
    for left in reversed(range(DEADLOCKS_MAX)):
        try:
            work_on(step)
        except DBAPIError as error:
            if not left or not is_deadlock(error):
                raise
            logger.info("settlement: %s met another run, once more", step.claim.step)
        else:
            return


def _claim_next(
    run: SettlementRun, context: Context, report: ReportFile | None, name: str | None = None
) -> StepClaim | None:
    """Claim the run's next step, if it is the one of that name."""
    wall = context.clock.wall()
    with marked(CrashPoint.STEP_CLAIMED), context.engine.begin() as conn:
        if not _can_go_on(conn, run, context, report):
            return None
        until = wall + context.policy.reconciler_lease
        return runs.claim(conn, run.id, wall=wall, until=until, step=name)


# The steps that read from the run's source.
_NEEDS_SOURCE: Final[Mapping[RunSource, tuple[str, ...]]] = {
    RunSource.REPORT: ("fetch", "stage"),
    RunSource.PROVIDER: ("fetch", "stage", "close"),
}


def _can_go_on(
    conn: Connection, run: SettlementRun, context: Context, report: ReportFile | None
) -> bool:
    """Tell whether this process can work on the step: only the importer has the file, but any
    reconciler can process the staged rows.
    """
    if run.source is RunSource.REPORT and report is not None:
        return True
    if run.source is RunSource.PROVIDER and run.provider in context.gateways.names:
        return True
    left = [row.step for row in runs.steps(conn, run.id) if row.state is not StepState.SUCCEEDED]
    return not left or left[0] not in _NEEDS_SOURCE[run.source]


def _failed(step: StepRun, error: Exception) -> Worked:
    """Record a step's error, and when it is tried again."""
    words = first_line(error) or type(error).__name__
    tries = step.claim.tries
    pause = backoff.pause(tries, first=BACKOFF, longest=BACKOFF_MAX)
    hopeless = isinstance(error, MalformedReport) or tries >= TRIES_MAX
    state = RunState.FAILED if hopeless else RunState.RUNNING
    with marked(CrashPoint.STEP_FAILED), step.context.engine.begin() as conn:
        runs.fail(conn, step.claim, error=words, again_at=step.context.clock.wall() + pause)
        if state is RunState.FAILED:
            runs.end(conn, step.run.id, state=state, now=step.now)
    return Worked(step.run.id, state, error, step.claim.step)


def work_on_account(context: Context, *, every: timedelta) -> Sequence[Worked]:
    """Go on with every run of the account that is not over, and begin the night's if it is due.

    None is begun where the provider doesn't list what moved on its balance.
    """
    provider, now = context.account, context.clock.now()
    with context.engine.connect() as conn:
        going_on = [row.id for row in runs.running(conn, provider)]
    done = [work(run_id, context) for run_id in going_on]
    reached = provider in context.gateways.names
    if not reached or not context.gateway.capabilities.lists_movements:
        return done
    fresh = begin(context.engine, provider, now=now, every=every)
    if fresh is not None and fresh not in going_on:
        done.append(work(fresh, context))
    return done
