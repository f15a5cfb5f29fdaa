"""The reconciler: compare the books with each account at a provider, then close the cycles.

Every tick asks each account's list of charges; every night (`reconciler.settle_every`) a settlement
run reads its balance transactions. An account that can't be reached holds up no other one. Every
tick begins by recognising revenue and writing off credit that expired, which need no provider. Two
reconcilers may run at once: confirming is idempotent, a settlement's steps are leased, and a batch
of cycles is closed under locks.
"""

import logging
import time
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.exc import DBAPIError

from billing import tracing
from billing.errors import BillingError, first_line
from billing.flows import fence
from billing.flows.credit import expiring
from billing.flows.customers import vat_checks
from billing.flows.cycles import closing, recognition
from billing.flows.settlement import charge_list, runs
from billing.rules.provider_names import task_of
from billing.store import tasks
from billing.store.settlement import runs as settlement
from billing.workers.daemons.recorded import record_failure, recorded
from billing.workers.daemons.ticking import Ticking
from billing.workers.runtime.metrics import ProcessMetrics
from billing.workers.runtime.runtime import Runtime

logger = logging.getLogger(__name__)

CONFIRM = "confirm"
SETTLE = "settle"
CLOSE = "close"
RECOGNISE = "recognise"
EXPIRE_CREDIT = "expire_credit"
LOOK_UP_VAT_IDS = "look_up_vat_ids"
VAT_IDS_A_TICK = 5
LOOK_AT_CLOCK_SECONDS = 1.0


class Reconciler(Ticking):
    """One reconciler; `tick` confirms, settles and closes; `run` repeats it until asked to stop."""

    words = "reconciling failed"
    longest_pause_seconds = 60.0

    def __init__(self, runtime: Runtime, metrics: ProcessMetrics) -> None:
        super().__init__(runtime, metrics, runtime.settings.reconciler.tick)
        self._seen: datetime | None = None

    @property
    def _drives(self) -> bool:
        """Whether settling and closing are this process's own; else a job runner asks for them."""
        return self._runtime.settings.reconciler.driver == "own"

    def _before_tick(self) -> None:
        self._seen = self._test_clock()

    def _wait(self, seconds: float) -> None:
        """Wait for so many seconds, or until somebody moves the test clock."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._stopping.wait(min(left, LOOK_AT_CLOCK_SECONDS)):
                return
            if self._test_clock() != self._seen:
                return

    def _test_clock(self) -> datetime | None:
        try:
            return self._runtime.clock.pinned()
        except (DBAPIError, BillingError):
            return None  # the next tick reports the error

    def tick(self) -> tuple[charge_list.ConfirmRun, closing.Closed]:
        """Recognise revenue, let credit expire, confirm captures, settle, and close what is ready.

        Returns what was confirmed and the number of closed cycles, with those of the settlement.
        An account that is recovering is neither confirmed nor settled. Raises the error of the
        first account that couldn't be reached, after all else is done.
        """
        with tracing.span("reconciler tick"):
            return self._tick()

    def _tick(self) -> tuple[charge_list.ConfirmRun, closing.Closed]:
        self._recognise()
        self._expire_credit()
        self._look_up_vat_ids()
        confirmed: list[charge_list.ConfirmRun] = []
        by_settlement, failed = 0, list[BillingError]()
        for account in self._runtime.gateways.names:
            try:
                if not self._compared(account):
                    continue  # what it holds is adopted first; `billing status` says so
                confirmed.append(self._confirm(account))
                if self._drives and self._compared(account):  # confirming may close the fence
                    by_settlement += self._settle(account)
            except BillingError as error:
                logger.warning("account %s: %s", account, first_line(error))
                failed.append(error)
        closed = self._close() if self._drives else closing.Closed(0, 0)
        if failed:
            raise failed[0]
        return (
            charge_list.together(confirmed, until=self._runtime.clock.now()),
            closing.Closed(closed.closed + by_settlement, closed.held_back),
        )

    def _recognise(self) -> None:
        runtime = self._runtime
        with recorded(runtime, RECOGNISE) as run:
            now, batch = runtime.clock.now(), runtime.settings.reconciler.batch
            recognition.run(runtime.engine, now=now, batch=batch, policy=runtime.policy)
            run.done_until = now

    def _expire_credit(self) -> None:
        runtime = self._runtime
        with recorded(runtime, EXPIRE_CREDIT) as run:
            now, batch = runtime.clock.now(), runtime.settings.reconciler.batch
            held = fence.held_accounts(runtime.engine, runtime.gateways.names)
            expiring.run(runtime.engine, now=now, batch=batch, held=held)
            run.done_until = now

    def _look_up_vat_ids(self) -> None:
        runtime = self._runtime
        if not runtime.settings.tax.check_vat_ids:
            return
        with recorded(runtime, LOOK_UP_VAT_IDS) as run:
            now = runtime.clock.now()
            vat_checks.run(
                runtime.engine,
                runtime.vat_register,
                clock=runtime.clock,
                limit=VAT_IDS_A_TICK,
                recheck=runtime.settings.tax.recheck_vat_ids,
            )
            run.done_until = now

    def _compared(self, account: str) -> bool:
        """Tell whether the database knows what the account holds; see `fence.compared`."""
        with recorded(self._runtime, task_of(CONFIRM, account)):
            return fence.compared(self._runtime.context, account)

    def _confirm(self, account: str) -> charge_list.ConfirmRun:
        runtime, task = self._runtime, task_of(CONFIRM, account)
        with recorded(runtime, task) as run:
            with runtime.engine.connect() as conn:
                read_until = tasks.watermark(conn, task)
            done = charge_list.run(runtime.context.at_provider(account), read_until=read_until)
            run.done_until = done.until
        return done

    def _settle(self, account: str) -> int:
        """Continue the account's settlement runs and begin the night's; return how many cycles they
        closed.

        A run that fails keeps its error in its row and is tried again at a later tick; closing goes
        on.
        """
        runtime, task = self._runtime, task_of(SETTLE, account)
        with recorded(runtime, task) as run:
            every = runtime.settings.reconciler.settle_every
            worked = runs.work_on_account(runtime.context.at_provider(account), every=every)
            failed = [done for done in worked if done.error is not None]
            ended = [done.run_id for done in worked if done.state == "succeeded"]
            with runtime.engine.connect() as conn:
                closed = sum(_closed_by(settlement.steps(conn, id_)[-1].counts) for id_ in ended)
                if ended and not failed:
                    run.done_until = settlement.get_run(conn, ended[-1]).window_to
        for done in failed:
            self._settlement_failed(done, task)
        self._metrics.cycles_closed(closed)
        return closed

    def _settlement_failed(self, done: runs.Worked, task: str) -> None:
        words = f"{done.step}: {first_line(done.error)}"
        logger.error("settlement %s: %s", done.run_id, words)
        self._metrics.tick_failed()
        record_failure(self._runtime, task, words)

    def _close(self) -> closing.Closed:
        runtime = self._runtime
        with recorded(runtime, CLOSE) as run:
            now = runtime.clock.now()
            done = closing.run(runtime.engine, now=now, batch=runtime.settings.reconciler.batch)
            run.done_until = now
        self._metrics.cycles_closed(done.closed)
        return done


def _closed_by(counts: Mapping[str, int]) -> int:
    return int(counts.get("cycles_closed", 0))
