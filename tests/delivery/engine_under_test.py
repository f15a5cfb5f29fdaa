"""The whole engine as processes that may be killed, and what has to be true when it is quiet.

PostgreSQL, Valkey, the sandbox and every role run as children of the test, are restarted when
they fall, and are gone when the test is over, however it ends. The books are read from outside:
the provider's own lists, the rows and the journal have to agree.
"""

import contextlib
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import redis
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from billing.config import load_settings
from billing.embedded.servers import EmbeddedPostgres, EmbeddedValkey, free_port
from billing.errors import Unavailable
from billing.flows.customers import customers
from billing.flows.prove import prove
from billing.flows.service import api_keys
from billing.flows.service.api_keys import Scope
from billing.flows.subscriptions import catalog
from billing.flows.subscriptions.subscribing import SubscriptionOrder, subscribe
from billing.gateway import ProviderCharge
from billing.gateway.stripe.amounts import from_stripe
from billing.plans.load import load_catalog
from billing.presenters.findings import in_words
from billing.queries.totals import totals
from billing.rules.actor import Actor, ActorKind
from billing.rules.periods import number_containing
from billing.store import due_work
from billing.store.access import events
from billing.store.settlement import breaks
from billing.store.subscriptions import cycles, subscriptions
from billing.workers.demo.sandbox import SandboxControl
from billing.workers.demo.settings import SHORT_INTERVALS
from billing.workers.runtime.broker import redis_client
from billing.workers.runtime.clock import SystemClock
from billing.workers.runtime.peppers import pepper
from billing.workers.runtime.runtime import Runtime, redis_url, sandbox_url
from billing.workers.up.advance import advance, reconciler_is_done, set_clock
from billing.workers.up.child_spec import ChildSpec, Pauses
from billing.workers.up.supervisor import Supervisor
from billing.workers.up.up import children
from tests.delivery import forking
from tests.waiting import PATIENCE, patient

ROOT: Final = Path(__file__).parents[2]
CATALOG: Final = ROOT / "plans" / "catalog"
START: Final = datetime(2026, 1, 1, tzinfo=UTC)
DAY: Final = timedelta(days=1)
NO_GRACE: Final = timedelta(0)
LOG_LINES_SHOWN: Final = 8

# A dead worker's attempt is taken up after the lease, which outlives the deadline of a call.
SETTINGS: Final = SHORT_INTERVALS | {
    "BILLING__PROVIDERS__STRIPE__TIMEOUT_CONNECT": "1s",
    "BILLING__PROVIDERS__STRIPE__TIMEOUT_READ": "1s",
    "BILLING__PROVIDERS__STRIPE__DEADLINE": "1200ms",
    "BILLING__CHARGES__LEASE": "1500ms",
    "BILLING__RECONCILER__LEASE": "3s",
    "BILLING__SCHEDULER__TICK": "60ms",
    "BILLING__RECONCILER__TICK": "300ms",
    "BILLING__PLANS__CATALOG": str(CATALOG),
}
WEBHOOK_SECRET: Final = "whsec_of_the_engine_under_test"
# With the API: its endpoint for webhooks, and callers who are never too many.
API_SETTINGS: Final = {
    "api__rate_per_second": "10000",
    "webhooks__secrets": WEBHOOK_SECRET,
    "webhooks__tick": "100ms",
}
CHARGING: Final = {"method": "POST", "path": "/v1/payment_intents"}

T = TypeVar("T")
Command = Callable[[str], Sequence[str]]


def as_shipped(role: str) -> Sequence[str]:
    """Return the command that runs a role."""
    return [sys.executable, "-m", "billing.cli", role]


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """Return an environment in which nothing of ours is set but this: `charges__lease="2s"`."""
    given = {f"BILLING__{name.upper()}": value for name, value in settings.items()}
    folders = {"BILLING__EMBEDDED__DIR": str(folder / "servers")}
    return {**foreign(), **SETTINGS, **folders, **given}


def foreign() -> dict[str, str]:
    """Return the environment without what concerns us, and with the way to our packages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BILLING_")}
    return {**kept, "PYTHONPATH": str(ROOT)}


class EngineUnderTest:
    """Everything `billing up` runs, in any number, for the length of a `with` block.

    Use it from the main thread: children are tied to the thread that starts them. What takes
    time is `run` in another thread, while this one restarts what falls.
    """

    def __init__(
        self,
        folder: Path,
        *,
        schedulers: int = 1,
        workers: int = 1,
        reconcilers: int = 1,
        apis: int = 0,
        command: Command = as_shipped,
        **settings: str,
    ) -> None:
        self._folder = folder
        self._config = folder / "config.toml"
        self._config.touch()  # so that nobody reads the one of the working directory
        if apis:
            assert apis == 1, "it keeps its ports over restarts"
            ports = {"api__port": str(free_port()), "api__grpc_port": str(free_port())}
            settings = API_SETTINGS | ports | settings
        self._env = environment(folder, **settings)
        self._command = command
        self.settings = load_settings(self._config, self._env)
        self.runtime = Runtime(patient(self.settings))
        counts = {
            "scheduler": schedulers, "worker": workers, "reconciler": reconcilers, "api": apis,
        }  # fmt: skip
        self._roles = [
            (role, f"{role}-{n}") for role, count in counts.items() for n in range(1, count + 1)
        ]
        self._supervisor: Supervisor | None = None

    # --- running --------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            error.add_note("\n".join(self._last_words()))
        self._stop()

    def _start(self) -> None:
        self.settings.embedded.dir.mkdir(parents=True, exist_ok=True)
        servers = [
            spec
            for spec in children(self.settings, self._config, self._env, durable=False)
            if spec.name in ("postgres", "valkey", "sandbox")
        ]
        self._supervisor = Supervisor(
            [*servers, *(self._role(role, name) for role, name in self._roles)],
            wall=SystemClock().wall,
            log_dir=self._folder / "logs",
            echo=None,
            pauses=Pauses(first=0.1, longest=1.0, steady=5.0),
        )
        self._supervisor.start()
        url = sandbox_url(self.settings)
        assert url is not None
        self.sandbox = SandboxControl(url, PATIENCE)
        set_clock(self.runtime, [self.sandbox], START)
        catalog.apply(self.runtime.engine, load_catalog(CATALOG), now=START)

    def _role(self, role: str, name: str) -> ChildSpec:
        """No readiness check, so that all roles start at once; the work shows whether they run."""
        command, env, cwd = self._command(role), self._env, self._folder
        return ChildSpec(
            name=name, command=command, env=env, cwd=cwd,
            start=partial(forking.start, command, env, cwd) if forking.AVAILABLE else None,
            stop_signal=signal.SIGKILL,  # nothing may be lost by it
        )  # fmt: skip

    def _stop(self) -> None:
        if self._supervisor is not None:
            self._supervisor.stop()
        self.runtime.close()
        EmbeddedPostgres(self.settings.embedded.dir).destroy()
        EmbeddedValkey(self.settings.embedded.dir).destroy()

    def run(self, work: Callable[[], T], meanwhile: Callable[[], None] | None = None) -> T:
        """Return what `work` returns; it runs in a thread while children are restarted."""
        assert self._supervisor is not None
        with ThreadPoolExecutor(1, thread_name_prefix="work") as pool:
            running = pool.submit(work)
            while not running.done():
                self._supervisor.pump(0.02)
                if meanwhile is not None:
                    meanwhile()
            return running.result()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Return when something has become true, while children are restarted."""
        self.run(lambda: patiently(condition))

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the roles, for a command beside them."""
        return dict(self._env)

    # --- the API --------------------------------------------------------------------------------

    @property
    def http_url(self) -> str:
        """Where the API listens, if one runs."""
        return f"http://127.0.0.1:{self.settings.api.port}"

    @property
    def rpc_address(self) -> str:
        """Where the API listens for gRPC."""
        return f"127.0.0.1:{self.settings.api.grpc_port}"

    def api_key(self, name: str) -> str:
        """Make a key that opens everything."""
        _, key = api_keys.create(
            self.runtime.engine,
            name=name,
            scopes=(Scope.ADMIN,),
            pepper=pepper(self.settings),
            wall=self.runtime.clock.wall(),
            actor=Actor(ActorKind.CLI, "test"),
        )
        return key

    # --- injected ----------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """Everything that can be killed."""
        assert self._supervisor is not None
        return [child.name for child in self._supervisor.status()]

    def kill(self, name: str) -> bool:
        """Send SIGKILL to a child, if it is up at the moment."""
        return self._signal(name, signal.SIGKILL) is not None

    def end(self, name: str) -> None:
        """Let a child finish what it has begun, and return when it has ended."""
        ending = self._signal(name, signal.SIGTERM)
        self.wait_until(lambda: ending is None or self._pid(name) != ending)

    def _signal(self, name: str, signum: signal.Signals) -> int | None:
        """Send a signal to a child, if it is up at the moment, and return its process id."""
        pid = self._pid(name)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)
        return pid

    def _pid(self, name: str) -> int | None:
        assert self._supervisor is not None
        (child,) = [child for child in self._supervisor.status() if child.name == name]
        return child.pid

    def restarts(self) -> dict[str, int]:
        """Return how often each child was started again."""
        assert self._supervisor is not None
        return {child.name: child.restarts for child in self._supervisor.status()}

    def flush(self) -> bool:
        """Make Redis forget everything, if it answers."""
        try:
            with redis_client(redis_url(self.settings)) as client:
                client.flushall()
        except (redis.RedisError, Unavailable):
            return False
        return True

    def fault(self, kind: str, **spec: Any) -> None:
        """Order a fault on charges."""
        self.sandbox.fault(kind=kind, match=CHARGING, **spec)

    # --- what happens ---------------------------------------------------------------------------

    def populate(
        self,
        count: int,
        *,
        cards: Sequence[str] = ("pm_card_visa",),
        plans: Sequence[tuple[str, str]] = (("video-premium", "USD"),),
        spread: timedelta = timedelta(hours=1),
        accounts: Sequence[str | None] = (None,),
    ) -> None:
        """Let customers subscribe to plans (with a currency); all begin within `spread`.

        The first begins an hour from now, so that the clock has to move before any work is due.
        Cards, plans and accounts take turns.
        """
        now = self.runtime.clock.now()
        for number in range(count):
            reference = f"customer-{number}"
            customers.create(
                self.runtime.context,
                name=f"Customer {number}",
                external_id=reference,
                payment_method=cards[number % len(cards)],
                provider=accounts[number % len(accounts)],
            )
            plan, currency = plans[number % len(plans)]
            starts = now + timedelta(hours=1) + spread * number // count
            order = SubscriptionOrder(
                customer=reference,
                plan=plan,
                currency=currency,
                starts=starts.replace(tzinfo=None, microsecond=0),
                external_id=reference,
            )
            subscribe(self.runtime.engine, order, now=now, actor=Actor(ActorKind.CLI, "test"))

    def let_pass(
        self, time_: timedelta, on_stop: Callable[[datetime], None] | None = None
    ) -> datetime:
        """Move the clock through all that is due, whatever falls meanwhile, and return the time."""
        to = patiently(self.runtime.clock.now) + time_
        patiently(lambda: advance(self.runtime, to, step=DAY, progress=on_stop))
        return to

    def wait_until_quiet(self) -> None:
        """Return when everything due is done and every cycle that can be closed is closed."""
        self.wait_until(lambda: self._is_quiet() and self._heard_all())

    def _is_quiet(self) -> bool:
        now = self.runtime.clock.now()
        with self.runtime.engine.connect() as conn:
            if not due_work.nothing_due(conn, now) or due_work.unsettled(conn):
                return False
        return reconciler_is_done(self.runtime, now)

    def _heard_all(self) -> bool:
        with self.runtime.engine.connect() as conn:
            return not events.page(conn, unhandled=True, limit=1)

    # --- what has to be true --------------------------------------------------------------------

    def provider_charges(self) -> list[ProviderCharge]:
        """Return every capture in the providers' own lists."""
        return [
            charge
            for _, gateway in self.runtime.gateways
            for page in gateway.list_charges(since=START - DAY)
            for charge in page
            if charge.captured
        ]

    def attempts(self) -> int:
        """Count the attempts there ever were."""
        return self._count("SELECT count(*) FROM attempts")

    def sends(self) -> int:
        """Count the sends of all attempts, as they were written down before each."""
        return self._count("SELECT sum(sends) FROM provider_calls WHERE kind = 'charge'")

    def _count(self, query: str) -> int:
        with self.runtime.engine.connect() as conn:
            return int(conn.execute(text(query)).scalar_one())

    def regular_periods(self) -> int:
        """Count the periods that have begun, from the schedules alone, trials aside."""
        now = self.runtime.clock.now()
        with self.runtime.engine.connect() as conn:
            started = [
                number_containing(subscription.schedule, now) + (subscription.trial is None)
                for subscription in _all_subscriptions(conn)
            ]
        return sum(started)

    def figures(self) -> str:
        """Return in a line what was done so far."""
        with self.runtime.engine.connect() as conn:
            sums = totals(conn)
        return (
            f"until {self.runtime.clock.now():%Y-%m-%d}: {sums.cycles_opened} cycles opened,"
            f" {sums.cycles_closed} closed, {sums.captured_payments} captures,"
            f" {sums.declines} declines, {sums.attempts} attempts in {self.sends()} sends"
        )

    def assert_everything_adds_up(self) -> None:
        """Wait for quiet, then compare provider, rows and journal; no hand has to help."""
        self.wait_until_quiet()
        found = self.findings()
        assert not found, "\n".join(found)

    def findings(self) -> list[str]:
        """Return in words all that doesn't add up now."""
        now = self.runtime.clock.now()
        results = prove(self.runtime.engine, now, grace=NO_GRACE, reconcile_grace=NO_GRACE)
        found = [in_words(finding) for result in results for finding in result.findings]
        found += self._differences_with_provider()
        with self.runtime.engine.connect() as conn:
            found += _left_over(conn)
            found += _missed_periods(conn, now)
        return found

    def _differences_with_provider(self) -> Iterator[str]:
        stats, sold = self.sandbox.stats(), self.sandbox.braintree("stats")
        charges = self.provider_charges()
        with self.runtime.engine.connect() as conn:
            sums = totals(conn)
            booked = _money(conn, _CAPTURED)
            journal = _money(conn, _CAPTURED_IN_JOURNAL)
        counts = {
            "captures at the provider": int(stats["captures"]) + int(sold["captures"]),
            "charges in its list": len(charges),
            "paid there": int(stats["captured_payment_intents"]) + int(sold["captures"]),
            "captured payments": sums.captured_payments,
            "entries in the journal": sums.captured_in_journal,
        }
        if len(set(counts.values())) != 1:
            yield f"captures differ: {counts}"
        provider = Counter[str](sold["captured_amount"])
        for currency, amount in stats["captured_amount"].items():
            provider[currency.upper()] += from_stripe(amount, currency).amount
        if not dict(provider) == booked == journal:
            yield f"money differs: provider {dict(provider)}, payments {booked}, journal {journal}"
        if stats["payment_intents_captured_more_than_once"]:
            yield "a PaymentIntent was captured more than once"
        if sold["orders_captured_more_than_once"]:
            yield "an attempt was sold more than once"
        for what in ("period", "payment"):
            yield from _more_than_once(what, charges)

    def _still_due(self) -> Iterator[str]:
        now = self.runtime.clock.now()
        with self.runtime.engine.connect() as conn:
            for query in _STILL_DUE:
                for row in conn.execute(text(query), {"now": now} if ":now" in query else {}):
                    yield f"still due: {row._asdict()}"

    def _last_words(self) -> Iterator[str]:
        """Yield what helps to understand a failure."""
        if self._supervisor is None:
            return
        yield f"restarts: { {name: n for name, n in self.restarts().items() if n} }"
        with contextlib.suppress(SQLAlchemyError, Unavailable):
            yield from self._still_due()
        for log in sorted((self._folder / "logs").glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
            yield "\n  ".join([f"{log.name}:", *lines])


_STILL_DUE: Final = (
    "SELECT p.*, a.n AS open_attempt, a.sends, a.error_class, a.error_message FROM payments p"
    "  LEFT JOIN provider_calls a"
    "    ON a.subject_id = p.id AND a.kind = 'charge' AND a.finished_at IS NULL"
    " WHERE p.next_attempt_at <= :now AND p.parked_at IS NULL",
    "SELECT * FROM refunds WHERE next_attempt_at <= :now",
    "SELECT event_id, type, tries, last_error FROM provider_events WHERE next_try_at IS NOT NULL",
)


def patiently(call: Callable[[], T]) -> T:
    """Repeat a call until it returns something but False; servers may be down meanwhile."""
    deadline = time.monotonic() + PATIENCE
    why: Exception | None = None
    while True:
        try:
            found = call()
            if found is not False:
                return found
        except (SQLAlchemyError, Unavailable, redis.RedisError) as error:
            why = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {PATIENCE:g} s") from why
        time.sleep(0.05)


_CAPTURED = text(
    "SELECT currency, sum(amount_captured) AS amount FROM payments"
    " WHERE captured_at IS NOT NULL GROUP BY currency"
)


_CAPTURED_IN_JOURNAL = text(
    """
    SELECT a.currency, sum(l.amount) AS amount
      FROM ledger.entries e
      JOIN ledger.postings l ON l.entry_id = e.id
      JOIN ledger.accounts a ON a.id = l.account_id AND a.code = 'psp_clearing'
     WHERE e.kind = 'payment_captured' GROUP BY a.currency
    """
)


def _money(conn: Connection, statement: Any) -> dict[str, int]:
    return {row.currency: int(row.amount) for row in conn.execute(statement)}


def _more_than_once(what: str, charges: Sequence[ProviderCharge]) -> Iterator[str]:
    """A cycle is named by subscription and period in what the provider keeps with a charge."""
    names = [
        (charge.metadata["subscription"], charge.metadata[what])
        for charge in charges
        if "subscription" in charge.metadata
    ]
    for (subscription, name), captures in Counter(names).items():
        if captures > 1:
            yield f"{captures} captures for {what} {name} of subscription {subscription}"


_LEFT_OVER: Final = {
    "attempts without an end": "SELECT count(*) FROM attempts WHERE finished_at IS NULL",
    # A customer's and a card's call is asked about by its caller, who may have his answer from
    # another process by now.
    "calls without an end": "SELECT count(*) FROM provider_calls"
    " WHERE finished_at IS NULL AND kind NOT IN ('customer', 'payment_method')",
    "payments parked": "SELECT count(*) FROM payments WHERE parked_at IS NOT NULL",
    "subscriptions parked": "SELECT count(*) FROM subscriptions WHERE parked_at IS NOT NULL",
    "payments leased": "SELECT count(*) FROM payments WHERE lease_until > now()",
    "refunds without an end": "SELECT count(*) FROM refunds WHERE finished_at IS NULL",
    "events not handled": "SELECT count(*) FROM provider_events WHERE next_try_at IS NOT NULL",
}


def _left_over(conn: Connection) -> Iterator[str]:
    for what, query in _LEFT_OVER.items():
        count = conn.execute(text(query)).scalar_one()
        if count:
            yield f"{count} {what}"
    for row in breaks.page(conn, limit=1_000):
        yield f"break {row.kind}: ours {row.ours}, the provider's {row.provider}"


def _missed_periods(conn: Connection, now: datetime) -> Iterator[str]:
    for subscription in _all_subscriptions(conn):
        if subscription.renews_at is None:
            continue
        opened = [row.n for row in cycles.of_subscription(conn, subscription.id)]
        begun = list(range(number_containing(subscription.schedule, now) + 1))
        if opened != begun:
            yield f"subscription {subscription.id}: cycles {opened}, periods begun {begun}"


def _all_subscriptions(conn: Connection) -> list[subscriptions.Subscription]:
    found = []
    for row in conn.execute(text("SELECT id FROM subscriptions ORDER BY id")).all():
        subscription = subscriptions.find(conn, str(row.id))
        assert subscription is not None
        found.append(subscription)
    return found
