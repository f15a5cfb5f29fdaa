"""The workflow: a night's steps in their order, a wait for consent, the close, and the proof.

It only says when; what a step does, its lease and its cursor are the engine's. Temporal runs this
code again over a night's history: it reads no clock and no setting, and imports nothing that does
anything. A change of the order of its commands breaks nights that wait; a test runs it over one
that was recorded.
"""

import asyncio
from datetime import timedelta
from typing import Any, Final, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from billing.workers.temporal.values import (
        NIGHT,
        AccountStanding,
        Approval,
        ApprovalGiven,
        Ask,
        At,
        Begun,
        CloseShown,
        NightOrder,
        NightStanding,
        Proved,
        StepOrder,
        StepTaken,
    )

# The engine gives a run up after ten tries, which takes about an hour; what doesn't answer at all
# is left to the next night.
PATIENCE: Final = timedelta(hours=12)
BEGIN_RETRY: Final = timedelta(seconds=30)
BEGIN_HEARTBEAT: Final = timedelta(minutes=1)
TURNED_BACK_MAX: Final = 60

T = TypeVar("T")


@workflow.defn(name=NIGHT)
class Night:
    """One night of every account."""

    def __init__(self) -> None:
        self._standing = NightStanding()
        self._retry_every, self._heartbeat = BEGIN_RETRY, BEGIN_HEARTBEAT
        self._steps: list[str] = []

    @workflow.run
    async def run(self, order: NightOrder) -> NightStanding:
        """Take the night to its end; fails where an account was given up or a promise is broken.

        Whatever can be done is done before that.
        """
        begun = await self._ask(Ask.BEGIN, order, Begun)
        self._retry_every = timedelta(seconds=begun.retry_every_seconds)
        self._heartbeat = timedelta(seconds=begun.heartbeat_seconds)
        self._steps = begun.steps
        self._standing.as_of = begun.as_of
        self._standing.accounts = {name: AccountStanding() for name in begun.accounts}
        last = self._steps[-1]
        self._stands(At.SETTLING)
        await self._take_all(self._steps[0], self._steps[-2])
        if begun.require_approval and self._going_on():
            await self._consent(begun.as_of)
        self._stands(At.CLOSING)
        await self._take_all(last, last)
        await self._look()
        return self._end()

    @workflow.signal
    def approve(self, approval: Approval) -> None:
        """Consent to the close; nothing where the night doesn't wait for it."""
        if self._standing.at != At.WAITING:
            workflow.logger.warning("nothing waits for an approval: one by %s", approval.by)
            return
        self._standing.approved_by = approval.by.strip()[:100] or "unnamed"

    @workflow.query
    def standing(self) -> NightStanding:
        """Return how far the night is."""
        return self._standing

    # --- the steps ------------------------------------------------------------------------------

    def _going_on(self) -> list[str]:
        return [name for name, each in self._standing.accounts.items() if each.failed is None]

    async def _take_all(self, first: str, last: str) -> None:
        """Take steps of all accounts that weren't given up, each account by itself."""
        await asyncio.gather(*(self._take(name, first, last) for name in self._going_on()))

    async def _take(self, name: str, first: str, last: str) -> None:
        account, at, turned_back = self._standing.accounts[name], self._steps.index(first), 0
        while at <= self._steps.index(last) and account.failed is None:
            account.step = self._steps[at]
            taken = await self._taken(name, account)
            if taken is None:
                continue
            if taken.is_done:
                self._done(account, taken)
                at += 1
            elif taken.first is not None and turned_back < TURNED_BACK_MAX:
                turned_back += 1
                at = self._steps.index(taken.first)
                await workflow.sleep(self._retry_every)
            else:
                account.failed = taken.words or f"{account.step} can't be taken"
        if account.failed is None:
            account.step = None

    async def _taken(self, name: str, account: AccountStanding) -> StepTaken | None:
        assert account.step is not None
        assert self._standing.as_of is not None
        order = StepOrder(name, account.step, self._standing.as_of)
        try:
            return await self._ask(Ask.TAKE, order, StepTaken, f"{account.step} of {name}")
        except ActivityError as error:
            account.failed = f"{account.step}: {_words(error)}"
            return None

    def _done(self, account: AccountStanding, taken: StepTaken) -> None:
        """Note a step that is done. The breaks of one that was turned back to count once."""
        if account.step not in account.done:
            account.done.append(account.step or "")
            account.breaks_new += taken.counts.get("breaks_new", 0)
        every = self._standing.accounts.values()
        self._standing.breaks_new = sum(each.breaks_new for each in every)

    # --- consent and proof ----------------------------------------------------------------------

    async def _consent(self, as_of: str) -> None:
        standing = self._standing
        standing.waiting_for_approval_since = workflow.now().isoformat(timespec="seconds")
        self._stands(At.WAITING)
        await workflow.wait_condition(lambda: standing.approved_by is not None)
        standing.waiting_for_approval_since = None
        assert standing.approved_by is not None
        given = ApprovalGiven(as_of, standing.approved_by)
        await self._ask(Ask.RECORD_APPROVAL, given, bool)

    async def _look(self) -> None:
        """Show the close and check the promises; what can't be done is noted."""
        standing = self._standing
        self._stands(At.SHOWING)
        try:
            standing.close = await self._ask(Ask.SHOW_CLOSE, None, CloseShown)
        except ActivityError as error:
            standing.failed.append(f"close show: {_words(error)}")
        self._stands(At.PROVING)
        try:
            standing.proved = await self._ask(Ask.PROVE, None, Proved)
        except ActivityError as error:
            standing.failed.append(f"prove: {_words(error)}")

    def _end(self) -> NightStanding:
        standing = self._standing
        for name, account in standing.accounts.items():
            if account.failed is not None:
                standing.failed.append(f"{name}: {account.failed}")
        if standing.proved is not None and standing.proved.broken:
            broken = ", ".join(str(number) for number in standing.proved.broken)
            standing.failed.append(f"prove: broken promises {broken}")
        self._stands(At.FAILED if standing.failed else At.DONE)
        if standing.failed:
            raise ApplicationError("; ".join(standing.failed), type=At.FAILED, non_retryable=True)
        return standing

    # --- asking the engine ----------------------------------------------------------------------

    def _stands(self, at: At) -> None:
        """Note where the night stands, also for Temporal's own page of it."""
        self._standing.at = at
        workflow.set_current_details(f"{at}; {self._standing.breaks_new} new break(s)")

    async def _ask(self, name: Ask, given: Any, kind: type[T], summary: str | None = None) -> T:
        """Ask the engine for something until it is done, at the same pace all along."""
        found: T = await workflow.execute_activity(
            str(name),
            args=[] if given is None else [given],
            result_type=kind,
            schedule_to_close_timeout=PATIENCE,
            heartbeat_timeout=self._heartbeat,
            retry_policy=RetryPolicy(initial_interval=self._retry_every, backoff_coefficient=1.0),
            summary=summary,
        )
        return found


def _words(error: ActivityError) -> str:
    """Return what ended an activity. Raises the error where the night was canceled."""
    if is_cancelled_exception(error):
        raise error
    cause = error.cause
    while cause is not None and not isinstance(cause, ApplicationError) and cause.__cause__:
        cause = cause.__cause__
    return cause.message if isinstance(cause, ApplicationError) else str(cause or error)
