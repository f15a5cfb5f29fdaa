"""A settlement run whose steps are asked for one by one, by a job runner of another system.

A run is named by the instant up to which it reads, so that every step of a night says the same and
each may be asked for again. The steps, their order and their leases are those of every run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from billing.errors import BadInput, ErrorCode
from billing.flows.context import Context
from billing.flows.settlement import runs as settlement
from billing.rules.actor import Actor
from billing.rules.reconciliation import STEPS, RunSource, RunState, StepState
from billing.store.settlement import runs, windows
from billing.store.settlement.runs import SettlementRun, SettlementStep

FIRST: Final = STEPS[0]


class StepStanding(StrEnum):
    """How a step that was asked for stands."""

    DONE = "done"
    """It is done, now or before; or no money ever moved."""
    HELD = "held"
    """Another process works on it or on an earlier run, or a failed try is too recent."""
    TOO_EARLY = "too_early"
    """Another step of the run comes first."""
    STOPPED = "stopped"
    """It ended with an error, and may be asked for again."""
    FAILED = "failed"
    """The run was given up after its last try."""


@dataclass(frozen=True, slots=True)
class Stepped:
    """A step that was asked for. `first` is the step that comes before it, if one does.

    `run_id` is None where no money ever moved at the account, and where the run wasn't begun.
    """

    provider: str
    step: str
    as_of: datetime
    standing: StepStanding
    run_id: UUID | None = None
    first: str | None = None
    error: Exception | None = None
    words: str | None = None
    """The error of an earlier try."""
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        """Tell whether nothing is left to do of the step."""
        return self.standing is StepStanding.DONE

    @property
    def breaks_new(self) -> int:
        """The number of new breaks that the step found."""
        return self.counts.get("breaks_new", 0)


def take(
    context: Context, name: str, *, as_of: datetime, actor: Actor, retry: bool = False
) -> Stepped:
    """Take one step of the account's run over the provider's lists up to `as_of`.

    The first step begins the run, after it has finished one that is under way. Where a later run
    has read all of that, every step is done. `retry` goes on with a run that failed. Raises
    `BadInput` for an instant to come.
    """
    if as_of > context.clock.now():
        raise BadInput(
            f"{as_of:%Y-%m-%dT%H:%M:%SZ} is still to come",
            where="--as-of",
            code=ErrorCode.AS_OF_TO_COME,
        )
    provider = context.account
    run = _run(context, as_of)
    if run is None and name == FIRST:
        held = _finish_others(context, name, as_of, actor)
        if held is not None:
            return held
        if settlement.begin(context.engine, provider, now=as_of) is None:
            return Stepped(provider, name, as_of, StepStanding.DONE)
        run = _run(context, as_of)
    if run is None:
        if _nothing_moved(context):
            return Stepped(provider, name, as_of, StepStanding.DONE)
        return Stepped(provider, name, as_of, StepStanding.TOO_EARLY, first=FIRST)
    given_up = run.state is RunState.FAILED and not retry
    if run.state is RunState.FAILED and retry:
        settlement.resume(context.engine, run.id)
    return _take(context, run.id, name, as_of, actor, given_up=given_up)


def _run(context: Context, as_of: datetime) -> SettlementRun | None:
    with context.engine.connect() as conn:
        found = runs.as_of(conn, context.account, as_of)
        return found or runs.covering(conn, context.account, as_of)


def _nothing_moved(context: Context) -> bool:
    with context.engine.connect() as conn:
        return windows.beginning(conn, context.account) is None


def _finish_others(context: Context, name: str, as_of: datetime, actor: Actor) -> Stepped | None:
    """Finish the account's run that is under way; an account has one at a time."""
    with context.engine.connect() as conn:
        others = runs.running(conn, context.account)
    for other in others:
        if other.source is not RunSource.PROVIDER:
            continue
        done = settlement.work(other.id, context, actor=actor)
        if done.state is not RunState.SUCCEEDED:
            standing = StepStanding.HELD if done.error is None else StepStanding.STOPPED
            return Stepped(context.account, name, as_of, standing, other.id, done.step, done.error)
    return None


def _take(
    context: Context, run_id: UUID, name: str, as_of: datetime, actor: Actor, *, given_up: bool
) -> Stepped:
    """Take the step if it is the next one, and return how it stands then."""
    provider = context.account
    step, earlier = _stands(context, run_id, name)
    if earlier is not None:
        return Stepped(provider, name, as_of, StepStanding.TOO_EARLY, run_id, earlier.step)
    worked = None
    if step.state is StepState.SUCCEEDED:
        settlement.finish(run_id, context)  # it may have died between its last step and its end
    elif not given_up:
        worked = settlement.work_on_step(run_id, name, context, actor=actor)
        step, _ = _stands(context, run_id, name)
    return Stepped(
        provider,
        name,
        as_of,
        _standing(step, worked, given_up=given_up),
        run_id,
        error=None if worked is None else worked.error,
        words=step.last_error,
        counts=step.counts,
    )


def _stands(
    context: Context, run_id: UUID, name: str
) -> tuple[SettlementStep, SettlementStep | None]:
    """Return a step of a run, and the first one before it that isn't done."""
    with context.engine.connect() as conn:
        steps = runs.steps(conn, run_id)
    at = STEPS.index(name)
    open_before = [each for each in steps[:at] if each.state is not StepState.SUCCEEDED]
    return steps[at], open_before[0] if open_before else None


def _standing(
    step: SettlementStep, worked: settlement.Worked | None, *, given_up: bool
) -> StepStanding:
    if step.state is StepState.SUCCEEDED:
        return StepStanding.DONE
    if given_up or (worked is not None and worked.state is RunState.FAILED):
        return StepStanding.FAILED
    stopped = worked is not None and worked.error is not None
    return StepStanding.STOPPED if stopped else StepStanding.HELD
