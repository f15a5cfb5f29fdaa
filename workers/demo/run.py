"""`billing demo`: a year of billing in a minute or two, on the real daemon and real workers.

Servers are embedded, the provider is the sandbox, and time is a test clock. While it runs,
the provider loses answers, webhooks and tries, messages are doubled, Redis is emptied and a worker
is killed; coupons are redeemed, credit is granted, subscriptions are changed, usage is sent; money
is refunded, disputed and exchanged, and twice it moves without the engine. It ends with a report,
and with exit 0 only if `prove` finds nothing and one break is open: the one that the demo leaves
for a person.
"""

import contextlib
import os
import random
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from dateutil.relativedelta import relativedelta
from rich.console import Console
from rich.live import Live

from billing.config import Settings, load_settings
from billing.embedded.servers import EmbeddedPostgres, EmbeddedValkey, free_port
from billing.flows.prove import prove
from billing.flows.service import api_keys
from billing.flows.service.api_keys import PersonRole
from billing.flows.subscriptions import catalog as catalog_flow
from billing.flows.webhooks.inbox import RETENTION, SWEEP
from billing.plans.load import load_catalog
from billing.queries.totals import totals
from billing.rules.actor import Actor, ActorKind
from billing.store import due_work, tasks
from billing.store.subscriptions import cycles
from billing.workers.demo import ending, world
from billing.workers.demo.checks import figures
from billing.workers.demo.money import DemoMoney
from billing.workers.demo.report import Progress, Report, print_json, print_report
from billing.workers.demo.sales import DemoSales
from billing.workers.demo.sales_checks import sales_figures
from billing.workers.demo.sandbox import SandboxControl
from billing.workers.demo.settings import LISTENING, SECOND_ACCOUNT, SHORT_INTERVALS, TAXES
from billing.workers.demo.usage import DemoUsage
from billing.workers.demo.usage_checks import usage_figures
from billing.workers.demo.world import InjectedFaults
from billing.workers.runtime.peppers import pepper
from billing.workers.runtime.runtime import Runtime, sandbox_url
from billing.workers.up.advance import advance, set_clock, wait_for_reconciler, wait_until_done
from billing.workers.up.child_spec import Pauses
from billing.workers.up.supervisor import Supervisor
from billing.workers.up.up import console_url, ports, supervisor

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
STEP: Final = timedelta(days=1)
EXIT_OK: Final = 0
EXIT_FINDINGS: Final = 3
CLOSING_SECONDS: Final = 60.0

# A catalog of the demo's own: the one of the folder, or the one that comes with the engine, is the
# reader's to change.
CATALOG: Final = Path(__file__).parent / "catalog"


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the command line asks for. `faults=False` lets everything go well."""

    subscriptions: int = 310
    months: int = 12
    seed: int = 1
    keep: bool = False
    json: bool = False
    faults: bool = True


def run(settings: Settings, options: DemoOptions) -> int:
    """Run the demo and return its exit code: 0 when all promises hold, 3 on a finding.

    Its data lie in a `demo` folder beside the engine's own and are deleted at the end, unless
    `keep` leaves everything running until Ctrl-C.
    """
    talk = Console(stderr=True)
    folder = settings.embedded.dir / "demo"
    env = {name: value for name, value in os.environ.items() if not name.startswith("BILLING__")}
    env |= (
        SHORT_INTERVALS
        | SECOND_ACCOUNT
        | TAXES
        | LISTENING
        | {
            "BILLING__EMBEDDED__DIR": str(folder),
            "BILLING__PLANS__CATALOG": str(CATALOG),
            "BILLING__WEBHOOKS__SECRETS": f"whsec_{secrets.token_hex(24)}",
            # The provider has to find the endpoint again, and we the page, after a restart too.
            "BILLING__API__PORT": str(free_port()),
            "BILLING__CONSOLE__PORT": str(free_port()),
            "BILLING__METRICS__RECONCILER_PORT": str(free_port()),
        }
    )
    demo_settings = load_settings(None, env)
    started = time.monotonic()
    with _servers(demo_settings, env, talk, console=options.keep) as (parts, runtime):
        demo = DemoRun(runtime, parts, options, started)
        report = demo.execute(talk)
        if options.json:
            print_json(report, sys.stdout)
        else:
            print_report(report, Console())
        if options.keep:
            _keep_running(parts, runtime, talk)
    return EXIT_OK if report.holds else EXIT_FINDINGS


@contextlib.contextmanager
def _servers(
    settings: Settings, env: dict[str, str], talk: Console, *, console: bool
) -> Iterator[tuple[Supervisor, Runtime]]:
    """Start everything on empty data, and delete the data afterwards."""
    folder = settings.embedded.dir
    _delete(folder)
    folder.mkdir(parents=True)
    talk.print("starting PostgreSQL, Valkey, sandbox, scheduler, worker, reconciler and API")
    quick = Pauses(first=0.2, longest=2.0, steady=10.0)
    env = env | ports(settings, None)
    parts = supervisor(settings, None, env, echo=None, pauses=quick, console=console)
    runtime = Runtime(settings)
    try:
        with parts:
            parts.start()
            yield parts, runtime
    finally:
        runtime.close()
        _delete(folder)


def _delete(folder: Path) -> None:
    """Delete an earlier demo, including what its servers keep elsewhere when run as root."""
    EmbeddedPostgres(folder).destroy()
    EmbeddedValkey(folder).destroy()
    shutil.rmtree(folder, ignore_errors=True)


def _keep_running(parts: Supervisor, runtime: Runtime, talk: Console) -> None:
    settings = runtime.settings
    _, key = api_keys.create(
        runtime.engine,
        name="demo",
        scopes=PersonRole.ADMIN.scopes,
        pepper=pepper(settings),
        wall=runtime.clock.wall(),
        actor=Actor(ActorKind.DEMO),
    )
    talk.print(
        "everything goes on running; Ctrl-C ends it. In a browser:\n"
        f"  {console_url(settings, settings.console.port)}, with the key {key}\n"
        "In another terminal:\n"
        f"  BILLING__EMBEDDED__DIR={settings.embedded.dir} billing status --watch",
        soft_wrap=True,
    )
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            parts.pump(0.1)


class DemoRun:
    """One run: it works in a thread, while the main thread keeps the processes alive."""

    def __init__(
        self, runtime: Runtime, parts: Supervisor, options: DemoOptions, started: float
    ) -> None:
        self._runtime = runtime
        self._parts = parts
        self._options = options
        self._started = started
        self._rng = random.Random(options.seed)  # noqa: S311  a demo has to be repeatable
        url = sandbox_url(runtime.settings)
        assert url is not None, "the supervisor has written it down"
        self._sandbox = SandboxControl(url)
        self._progress = Progress()
        self._injected = InjectedFaults()
        self._last_sale = START + relativedelta(months=options.months)
        self._pays_later = ending.paying_later(runtime)
        self._end = self._last_sale + max(self._pays_later.values(), default=timedelta(0))
        self._caught_up = ending.CaughtUp(runtime, self._sandbox)
        self._days = 0
        self._money = DemoMoney(
            runtime,
            self._sandbox,
            self._injected,
            self._rng,
            start=START,
            end=self._last_sale,
            subscriptions=options.subscriptions,
            faults=options.faults,
        )
        self._sales = DemoSales(runtime, self._money.done)
        self._usage = DemoUsage(runtime, options.seed, START, faults=options.faults)

    def execute(self, talk: Console) -> Report:
        """Run the whole demo, showing its progress, and return its report."""
        with ThreadPoolExecutor(1, thread_name_prefix="demo") as pool:
            running = pool.submit(self._execute)
            if talk.is_terminal:
                self._show_live(talk, running)
            else:
                self._show_lines(talk, running)
            return running.result()

    def _show_live(self, talk: Console, running: "Future[Report]") -> None:
        with Live(self._progress.table(), console=talk, refresh_per_second=4) as live:
            while not running.done():
                self._parts.pump(0.05)
                live.update(self._progress.table())

    def _show_lines(self, talk: Console, running: "Future[Report]") -> None:
        shown = ""
        while not running.done():
            self._parts.pump(0.05)
            now = self._progress.now
            if now is not None and f"{now:%Y-%m}" != shown:
                shown = f"{now:%Y-%m}"
                talk.print(self._progress.line())

    def _execute(self) -> Report:
        runtime, options = self._runtime, self._options
        set_clock(runtime, [self._sandbox], START)
        catalog = load_catalog(runtime.settings.plans.catalog)
        catalog_flow.apply(runtime.engine, catalog, now=START)
        self._money.prepare(options.seed, faults=options.faults)
        self._progress.doing = f"{options.subscriptions} customers subscribe"
        self._sales.done.redeemed += world.populate(
            runtime, catalog, options.subscriptions, START, self._rng
        )
        self._money.plan(self._sales.timetable(START, self._money.shop))
        if options.faults:
            world.order_faults(self._sandbox, options.seed)
        self._progress.doing = "time passes"
        self._pass_time(self._last_sale)
        ending.stop_selling(runtime, list(self._pays_later), self._last_sale)
        self._progress.doing = "the last money arrives"
        self._pass_time(self._end)
        self._sandbox.clear_faults()
        wait_until_done(runtime, self._end)
        self._progress.doing = "lost webhooks are found, the last payments settled"
        self._wait_for_the_provider()
        self._progress.doing = "the last cycles are closed"
        return self._report(self._wait_for_closing())

    def _pass_time(self, to: datetime) -> None:
        advance(
            self._runtime,
            to,
            step=STEP,
            stop_at=self._money.planned,
            progress=self._a_day_passed,
        )

    def _a_day_passed(self, now: datetime) -> None:
        self._days += 1
        with self._runtime.engine.connect() as conn:
            sums = totals(conn) if self._days % 5 == 0 else self._progress.totals
        self._progress.now = now
        self._progress.totals = sums
        self._money.a_day_passed(now)
        self._usage.a_day_passed(now)
        self._progress.given_back = self._money.in_words()
        wait_until_done(self._runtime, now)
        self._let_the_sweep_keep_up(now)
        if not self._options.faults:
            return
        world.change_some_cards(self._runtime, now, self._rng)
        world.double_messages(self._runtime, self._rng, self._injected)
        if self._days % 90 == 20:
            world.flush_redis(self._runtime, self._injected)
        if self._days % 200 == 60:
            self._kill_a_worker()
        self._progress.faults = sum(self._faults().values())

    def _let_the_sweep_keep_up(self, now: datetime) -> None:
        """Wait for a sweep where the clock is about to pass what the provider can remember."""
        with self._runtime.engine.connect() as conn:
            due = due_work.next_due_instant(conn)
            last = tasks.last_run(conn, SWEEP)
        # Before the test clock was set, the system's was read.
        swept_until = (
            START
            if last is None or last.watermark is None or last.watermark > now
            else last.watermark
        )
        if min(due or self._end, self._end) - swept_until > RETENTION / 2:
            self._wait_for(self._caught_up.swept_events)

    def _kill_a_worker(self) -> None:
        for child in self._parts.status():
            if child.name.startswith("worker") and child.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGKILL)
                    self._injected.workers_killed += 1
                return

    def _faults(self) -> dict[str, int]:
        done = self._injected
        webhooks = self._sandbox.webhooks()
        counts = {kind: int(n) for kind, n in self._sandbox.fired().items()}
        counts["webhook_lost"] = webhooks["deliveries"].get("lost", 0)
        counts["webhook_repeated"] = webhooks["repeated"]
        counts["webhook_held_back"] = webhooks["held_back"]
        counts["usage_answer_lost"] = self._usage.done.answers_lost
        counts["duplicated_message"] = done.duplicated_messages
        counts["redis_flushed"] = done.redis_flushed
        counts["worker_killed"] = done.workers_killed
        counts["paid_behind_our_back"] = done.paid_behind_our_back
        return {kind: n for kind, n in counts.items() if n}

    def _wait_for_the_provider(self) -> None:
        """Wait for every event that is on its way, then for a sweep and then for a settlement.

        What is missing after a while is a finding of the report.
        """
        for caught_up in self._caught_up.steps:
            self._wait_for(caught_up)
            wait_until_done(self._runtime, self._end)

    def _wait_for(self, caught_up: Callable[[datetime], bool]) -> None:
        since, deadline = self._runtime.clock.wall(), time.monotonic() + CLOSING_SECONDS
        while not caught_up(since) and time.monotonic() < deadline:
            time.sleep(0.1)

    def _wait_for_closing(self) -> int:
        """Wait until the reconciler has closed what is ready; return what it left."""
        wait_for_reconciler(self._runtime, self._end, CLOSING_SECONDS)
        with self._runtime.engine.connect() as conn:
            ready = len(cycles.closable(conn, self._end, limit=1000))
            return ready + due_work.unsettled(conn)

    def _report(self, unclosed: int) -> Report:
        stats, there = self._sandbox.stats(), self._sandbox.braintree("stats")
        promises = prove(self._runtime.engine, self._end)
        with self._runtime.engine.connect() as conn:
            sums = totals(conn)
            catalog = load_catalog(CATALOG)
            sold = sales_figures(conn, catalog, self._sales.done)
            used = usage_figures(conn, self._usage.done)
        return Report(
            totals=sums,
            subscriptions=sums.subscriptions,
            provider_captures=int(stats["captures"]) + int(there["captures"]),
            provider_captured_twice=int(stats["payment_intents_captured_more_than_once"])
            + int(there["orders_captured_more_than_once"]),
            missed_periods=sum(len(p.findings) for p in promises if p.promise == 1),
            faults_by_kind=self._faults() if self._options.faults else {},
            promises=promises,
            unclosed_but_ready=unclosed,
            seconds=time.monotonic() - self._started,
            months=self._options.months,
            seed=self._options.seed,
            captured_by_currency=_together(stats["captured_amount"], there["captured_amount"]),
            sales=sold,
            usage=used,
            money=figures(
                self._runtime,
                self._sandbox,
                self._money.done,
                paid_behind_our_back=self._injected.paid_behind_our_back,
                start=START,
                now=self._end,
            ),
        )


def _together(*captured: Mapping[str, int]) -> dict[str, int]:
    """Return the sums of what several providers captured, by currency in lower case."""
    sums: dict[str, int] = {}
    for each in captured:
        for currency, amount in each.items():
            sums[currency.lower()] = sums.get(currency.lower(), 0) + int(amount)
    return sums
