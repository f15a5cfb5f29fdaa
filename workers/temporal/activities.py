"""What the night asks of the engine, each in a thread, with heartbeats while it works.

A step that says "try again" is an error that Temporal retries. A break is a result. What nobody
can mend by waiting (a wrong setting, another schema) is an error that isn't retried. Errors go to
Temporal as one line.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from billing.errors import BillingError, ErrorCode, Unavailable, first_line
from billing.flows.audit import audited
from billing.flows.prove import RECONCILE_GRACE
from billing.flows.prove import prove as check
from billing.flows.settlement import tie_out
from billing.flows.settlement.stepping import Stepped, StepStanding
from billing.pan import without_card_numbers
from billing.rules.actor import Actor, ActorKind
from billing.rules.reconciliation import STEPS
from billing.workers.daemons import asked_steps
from billing.workers.runtime.database import engine_for_long_reads
from billing.workers.runtime.runtime import Runtime
from billing.workers.temporal.values import (
    ApprovalGiven,
    Ask,
    Begun,
    CloseShown,
    NightOrder,
    Proved,
    StepOrder,
    StepTaken,
)
from billing.workers.up import advance

ACTOR: Final = Actor(ActorKind.RECONCILER, "temporal")
TRY_AGAIN: Final = "try again"
BEATS_A_TIMEOUT: Final = 4
CATCH_UP_SECONDS: Final = 30.0

T = TypeVar("T")


class Activities:
    """The activities over one engine. `executor` has the threads in which they work."""

    def __init__(self, runtime: Runtime, executor: ThreadPoolExecutor) -> None:
        self._runtime = runtime
        self._executor = executor

    @property
    def all(self) -> list[Callable[..., Any]]:
        """Every activity, for the worker."""
        return [self.begin, self.take_step, self.record_approval, self.show_close, self.prove]

    @activity.defn(name=Ask.BEGIN)
    async def begin(self, order: NightOrder) -> Begun:
        """Return the instant that names the night's runs, the accounts and the settings."""
        return await self._work(lambda: self._begin(order))

    @activity.defn(name=Ask.TAKE)
    async def take_step(self, order: StepOrder) -> StepTaken:
        """Take one step of an account's run."""
        return await self._work(lambda: self._take(order))

    @activity.defn(name=Ask.RECORD_APPROVAL)
    async def record_approval(self, given: ApprovalGiven) -> bool:
        """Write into the audit log who consented to the close; after a death, twice."""
        return await self._work(lambda: self._record_approval(given))

    @activity.defn(name=Ask.SHOW_CLOSE)
    async def show_close(self) -> CloseShown:
        """Return the close report, with the balances that the providers show."""
        return await self._work(self._show_close)

    @activity.defn(name=Ask.PROVE)
    async def prove(self) -> Proved:
        """Check every promise from the rows."""
        return await self._work(self._prove)

    # --- in a thread ----------------------------------------------------------------------------

    def _begin(self, order: NightOrder) -> Begun:
        settings, as_of = self._runtime.settings, self._runtime.clock.now()
        if order.as_of is not None:
            as_of = _instant(order.as_of)
        return Begun(
            as_of=as_of.replace(microsecond=0).isoformat(),
            accounts=list(self._runtime.gateways.names),
            steps=list(STEPS),
            require_approval=settings.temporal.require_approval,
            retry_every_seconds=settings.temporal.retry_every.total_seconds(),
            heartbeat_seconds=settings.temporal.heartbeat_timeout.total_seconds(),
        )

    def _take(self, order: StepOrder) -> StepTaken:
        as_of = _instant(order.as_of)
        taken = asked_steps.take(self._runtime, order.account, order.step, as_of=as_of, actor=ACTOR)
        match taken.standing:
            case StepStanding.HELD | StepStanding.STOPPED:
                raise _try_again(_words(taken))
            case StepStanding.FAILED:
                return StepTaken(False, words=f"given up at {order.step}: {_words(taken)}")
            case StepStanding.TOO_EARLY:
                return StepTaken(False, first=taken.first, words=f"{taken.first} comes first")
            case StepStanding.DONE:
                return StepTaken(
                    True, counts={n: count for n, count in taken.counts.items() if count}
                )

    def _record_approval(self, given: ApprovalGiven) -> bool:
        by = without_card_numbers(given.by)
        with audited(
            self._runtime.engine,
            actor=ACTOR,
            action="close.approve",
            subject=given.as_of,
            why=f"approved by {by}",
        ):
            return True

    def _show_close(self) -> CloseShown:
        runtime = self._runtime
        balances = runtime.gateways.balances(None)
        with engine_for_long_reads(runtime.settings) as engine, engine.connect() as conn:
            found = tie_out.report(conn, now=runtime.clock.now(), balances=balances)
        return CloseShown(
            ties_out=found.ties_out,
            cycles_closed=found.closed,
            cycles_open=found.opened,
            unexplained=[
                f"{line.account} {line.currency} {line.unexplained}"
                for line in found.tie_out or ()
                if line.unexplained
            ],
        )

    def _prove(self) -> Proved:
        runtime = self._runtime
        self._let_the_reconciler_catch_up()
        with engine_for_long_reads(runtime.settings) as engine:
            results = check(engine, runtime.clock.now())
        return Proved(
            broken=[result.promise for result in results if not result.holds],
            differences=sum(len(result.differences) for result in results),
        )

    def _let_the_reconciler_catch_up(self) -> None:
        """Wait for it after a test clock was moved, as `billing prove` does."""
        runtime = self._runtime
        if runtime.settings.mode != "sandbox":
            return
        advance.wait_for_reconciler(runtime, runtime.clock.now() - RECONCILE_GRACE)

    # --- with heartbeats ------------------------------------------------------------------------

    async def _work(self, work: Callable[[], T]) -> T:
        """Do something in a thread, and tell Temporal meanwhile that this process lives.

        Where the activity is canceled the thread goes on: its lease keeps others away, and asking
        again later finds what it did.
        """
        beat = (activity.info().heartbeat_timeout or timedelta(minutes=1)) / BEATS_A_TIMEOUT
        started = time.monotonic()
        working = asyncio.get_running_loop().run_in_executor(self._executor, _told(work))
        while not working.done():
            await asyncio.wait({working}, timeout=beat.total_seconds())
            activity.heartbeat({"seconds": round(time.monotonic() - started)})
        return working.result()


def _told(work: Callable[[], T]) -> Callable[[], T]:
    """Let what goes wrong be told to Temporal in one line, and whether waiting may mend it."""

    def told() -> T:
        try:
            return work()
        except ApplicationError:
            raise
        except BillingError as error:
            if isinstance(error, Unavailable) or error.code is ErrorCode.RECOVERING:
                raise _try_again(first_line(error)) from None
            words, code = first_line(error), str(error.code)
            raise ApplicationError(words, type=code, non_retryable=True) from None
        except (SQLAlchemyError, OSError) as error:
            raise _try_again(first_line(error)) from None

    return told


def _try_again(words: str) -> ApplicationError:
    """Return the error that is retried; Temporal's page and `billing temporal show` have it."""
    benign = ApplicationErrorCategory.BENIGN  # no traceback in our log
    return ApplicationError(words, type=TRY_AGAIN, category=benign)


def _instant(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _words(taken: Stepped) -> str:
    if taken.error is not None:
        return first_line(taken.error)
    return taken.words or "another process works on it, or a try that failed is too recent"
