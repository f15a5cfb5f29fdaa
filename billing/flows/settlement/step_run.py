"""One step of a settlement run, as processed under its lease."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from json import dumps
from typing import Any, Final

from sqlalchemy import Connection

from billing.crash_points import CrashPoint, marked
from billing.errors import Conflict, ErrorCode
from billing.flows.breaks import unreadable
from billing.flows.context import Context
from billing.gateway.objects import Unreadable
from billing.gateway.reports import ReportFile
from billing.rules.actor import RECONCILER, Actor
from billing.store.settlement import runs
from billing.store.settlement.runs import SettlementRun, StepClaim

# The provider's clock may differ from ours; the next run reads what is listed late.
OVERLAP: Final = timedelta(minutes=15)


class LeaseLost(Conflict):
    """Another process has taken the step over; the open batch is rolled back."""

    code = ErrorCode.LEASE_LOST


@dataclass(slots=True)
class StepRun:
    """A step that this process has leased, with its cursor; `batch` opens the next transaction.

    `now` is the instant at which the process took the run. `report` is what is imported, where this
    process has the file.
    """

    context: Context
    run: SettlementRun
    claim: StepClaim
    now: datetime
    actor: Actor = RECONCILER
    report: ReportFile | None = None
    cursor: dict[str, Any] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(
        cls,
        context: Context,
        run: SettlementRun,
        claim: StepClaim,
        now: datetime,
        actor: Actor,
        report: ReportFile | None,
    ) -> "StepRun":
        """Return a claimed step, from where it was left."""
        cursor, counts = dict(claim.cursor), Counter(claim.counts)
        return cls(context, run, claim, now, actor, report, cursor, counts)

    @property
    def provider(self) -> str:
        """The account whose settlement this is."""
        return self.run.provider

    @contextmanager
    def batch(self) -> Iterator[Connection]:
        """Open a transaction that writes the step's cursor and counts at its end.

        A rollback undoes those too.
        """
        before = dict(self.cursor), Counter(self.counts)
        try:
            with self._committed() as conn:
                yield conn
        except BaseException:
            self.cursor, self.counts = before
            raise

    @contextmanager
    def _committed(self) -> Iterator[Connection]:
        with marked(CrashPoint.BATCH_DONE), self.context.engine.begin() as conn:
            yield conn
            until = self.context.clock.wall() + self.context.policy.reconciler_lease
            cursor, counts = self._as_json()
            if not runs.advance(conn, self.claim, cursor=cursor, counts=counts, until=until):
                raise LeaseLost(f"somebody else works on {self.claim.step} of this run")

    def record_unreadable(self, conn: Connection, objects: Sequence[Unreadable]) -> None:
        """Record what the provider shows and can't be read, and count the new breaks."""
        new = unreadable.record(conn, self.provider, objects, now=self.now, run_id=self.run.id)
        if new:
            self.counts["breaks_new"] += new

    def finish(self) -> None:
        """Write the end of the step."""
        with marked(CrashPoint.STEP_DONE), self.context.engine.begin() as conn:
            cursor, counts = self._as_json()
            if not runs.finish(
                conn, self.claim, cursor=cursor, counts=counts, wall=self.context.clock.wall()
            ):
                raise LeaseLost(f"somebody else works on {self.claim.step} of this run")

    def _as_json(self) -> tuple[str, str]:
        return dumps(self.cursor), dumps({k: v for k, v in sorted(self.counts.items())})
