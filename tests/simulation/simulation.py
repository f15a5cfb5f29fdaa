"""One story: an engine of several processes, its customers and its provider, from a seed.

Time goes from event to event and from one due instant to the next. In between the schedule lets
processes do what is due, in any order, and interrupts them. At the end nothing is interrupted any
more, until nothing is due; then `verdict` compares the engine, the provider and the model.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final
from zlib import crc32

import psycopg
from prometheus_client import CollectorRegistry
from psycopg import sql
from sqlalchemy import text

from billing.config import load_settings
from billing.flows.subscriptions import catalog
from billing.plans.load import load_catalog
from billing.store import clock as stored_clock
from billing.store import due_work
from billing.store.engine import make_engine
from billing.workers.runtime.metrics import ProcessMetrics
from tests.simulation import catalog as sold
from tests.simulation import strangers
from tests.simulation.asking import FLOWS, Asked, Asking, Fact
from tests.simulation.coverage import counted
from tests.simulation.crashes import as_finding, in_full
from tests.simulation.drawing import drawn
from tests.simulation.events import BEGINNING, LOST, TERMS, Event
from tests.simulation.processes import (
    ApiProcess,
    Loop,
    Process,
    ReconcilerProcess,
    SchedulerProcess,
    WebhookProcess,
    WorkerProcess,
    is_free,
)
from tests.simulation.refusals import Refusal
from tests.simulation.scenes import SCENES
from tests.simulation.schedule import At, Chances, Schedule
from tests.simulation.selling import id_of
from tests.simulation.taxing import REGISTERED, SELLER
from tests.simulation.using import UsageRow
from tests.simulation.wires import (
    CLOCKS,
    FAULTS,
    Json,
    Provider,
    Queue,
    Refused,
    SimulatedRuntime,
    Time,
    wired,
)

PROVIDER_REMEMBERS: Final = timedelta(days=25)  # its events, at the least
SELDOM: Final = timedelta(days=2)  # a loop that wasn't picked for so long is picked
TAXED: Final = 0.5  # of the stories
TAXES: Final = {
    "BILLING__TAX__PROVIDER": "table",
    "BILLING__TAX__COUNTRY": SELLER,
    "BILLING__TAX__REGISTRATIONS": REGISTERED,
}
EXCHANGING: Final = 0.4  # of the stories
IN_DOLLARS: Final[Json] = {
    "settlement_currency": {"jpy": "usd", "kwd": "usd"},
    "exchange_rates": {"jpy:usd": "0.0067", "kwd:usd": "3.2545"},
}
PATIENCE: Final = timedelta(days=4)  # an unknown outcome is decided when its key has expired
HURRIES: Final = 6  # short steps of time in a row, while somebody waits
ENDLESS: Final = 50_000  # jobs of one process at one instant: more than any story has


@dataclass(frozen=True)
class Size:
    """How long a story is, and which scenes are in it (`scenes.SCENES`, by number)."""

    customers: int = 8
    days: int = 150
    asks: int = 30
    scenes: Sequence[int] = ()


ALL_SCENES: Final = Size(len(SCENES), days=75, asks=8, scenes=range(len(SCENES)))
DENSE: Final = Size(customers=4, days=70, asks=70)
# Dense stories meet more, large ones are faster: what is due at one instant is many rows.
_SIZES: Final = (
    ALL_SCENES,
    Size(customers=8, days=150, asks=60),
    DENSE,
    Size(customers=14, days=100, asks=120),
)


def size_of(number: int) -> Size:
    """Return how long the story with a number is; one after the other has other scenes."""
    size = _SIZES[number % len(_SIZES)]
    if size.scenes:
        return size
    return replace(size, scenes=range(3 * number, 3 * number + size.customers // 3))


@dataclass
class Told:
    """What a story came to."""

    seed: object
    events: Sequence[Event]
    findings: list[str] = field(default_factory=list)
    cycles: int = 0
    points: int = 0
    deaths: int = 0
    happened: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    came: Counter[str] = field(default_factory=Counter)
    """How often each kind of thing came of it (`coverage.KINDS`)."""
    trace: list[str] = field(default_factory=list)
    fates: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Servers:
    """Where databases are made: the server, the name of a migrated database, a folder."""

    url_of: Callable[[str], str]
    admin: "psycopg.Connection[tuple[object, ...]]"
    template: str
    folder: Path


@dataclass(frozen=True)
class Backup:
    """A copy of the database, and how much was carried out and published by then."""

    name: str
    facts: int
    published: int
    at: datetime


class Simulation:
    """The world of one story."""

    def __init__(
        self,
        seed: object,
        servers: Servers,
        *,
        size: Size = Size(),
        events: Sequence[Event] | None = None,
        kept: Collection[int] | None = None,
        chances: Chances | None = None,
    ) -> None:
        self.seed = seed
        self._size = size
        self._chances = chances
        self.chance = Random(f"story {seed}")
        self.events = (
            drawn(
                seed,
                customers=size.customers,
                days=size.days,
                asks=size.asks,
                scenes=size.scenes,
            )
            if events is None
            else list(events)
        )
        self.ends = BEGINNING + timedelta(days=size.days)
        self.faulty = True
        self.taxed = self.chance.random() < TAXED
        self.loss = self.chance.choice((0.0, 0.05, 0.3))
        self.facts: list[Fact] = []
        self.refusals: list[Refusal] = []
        self.batches: dict[int, list[UsageRow]] = {}
        """What was sent of usage, by the number of its event."""
        self.asked: Counter[str] = Counter()
        self.products = dict(sold.PRODUCTS)
        self.published: list[tuple[datetime, str, sold.Price]] = []
        self.publications = 0
        self.downtimes: list[tuple[datetime, timedelta]] = []
        self.deliveries: list[Json] = []
        self.forgotten: set[int] = set()
        """The customers of whom something was forgotten in a restore, and asked for again."""
        self.forgets = False
        """Whether events weren't read for so long that the provider may have forgotten some."""
        self._backups: dict[int, Backup] = {}
        self.happenings = 0
        self._event = ""
        self._newest_event: str | None = None
        self._servers = servers
        self._database = f"simulation_{crc32(str(seed).encode())}"
        self.schedule = Schedule(
            seed,
            blocked=self._blocked,
            is_over=self._is_over,
            deadlocked=self._end_deadlock,
            kept=kept,
        )
        self.time = Time(self.schedule)
        self._stack = ExitStack()

    # --- the stage ------------------------------------------------------------------------------

    def __enter__(self) -> "Simulation":
        self._stack.enter_context(wired(self.schedule, self.time, self.seed))
        self._copy_database(self._servers.template, self._database)
        self._stack.callback(self._drop_database, self._database)
        made = TemporaryDirectory(dir=self._servers.folder)
        self._folder = Path(self._stack.enter_context(made))
        self.provider = Provider(self._folder / "provider", self.schedule)
        self._stack.callback(self.provider.close)
        self._settings = load_settings(
            None,
            {
                "BILLING__DATABASE__URL": self._url,
                "BILLING__DATABASE__POOL_SIZE": "3",
                "BILLING__PROVIDERS__STRIPE__API_BASE": self.provider.url,
                "BILLING__PROVIDERS__STRIPE__API_KEY": "sk_test_simulation",
                "BILLING__PROVIDERS__STRIPE__RATE_PER_SECOND": "100000",
                "BILLING__RECONCILER__SETTLE_EVERY": "0s",
                **(TAXES if self.taxed else {}),
            },
        )
        self.queue = Queue(self.schedule)
        self.metrics = ProcessMetrics(CollectorRegistry(), "simulation", "0")
        self.engine = make_engine(self._url)
        self._stack.callback(self.engine.dispose)
        if self.chance.random() < EXCHANGING or self._size.scenes == ALL_SCENES.scenes:
            self.provider.control("settings", **IN_DOLLARS)
        self._move_clock(BEGINNING)
        self.publish()
        self._make_processes()
        self._stack.callback(self._end_processes)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _make_processes(self) -> None:
        def apart() -> timedelta:
            return timedelta(seconds=self.chance.choice((0, 0, -90, 5, 60)))

        self.schedulers = [SchedulerProcess(self, f"scheduler {n}", apart()) for n in (1, 2)]
        self.workers = [WorkerProcess(self, f"worker {n}", apart()) for n in (1, 2, 3)]
        self.reconcilers = [ReconcilerProcess(self, f"reconciler {n}", apart()) for n in (1, 2)]
        self.webhooks = [WebhookProcess(self, f"webhooks {n}", apart()) for n in (1, 2)]
        self.apis = [ApiProcess(self, "api")]
        self.writers = [Asking(self, f"writer {n}") for n in (1, 2)]
        self.askers = [Asking(self, "operator"), Asking(self, "shop"), *self.writers]
        self.processes: list[Process] = [
            *self.schedulers,
            *self.workers,
            *self.reconcilers,
            *self.webhooks,
            *self.apis,
            *self.askers,
        ]

    def _end_processes(self) -> None:
        self.schedule.close()
        for process in self.processes:
            process.end()

    def make_runtime(self, apart: timedelta) -> SimulatedRuntime:
        return SimulatedRuntime(
            self._settings,
            provider=self.provider,
            queue=self.queue,
            time=self.time,
            apart=apart,
        )

    @property
    def _url(self) -> str:
        return self._servers.url_of(self._database)

    def _copy_database(self, template: str, name: str) -> None:
        self._servers.admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        self._servers.admin.execute(
            sql.SQL("ALTER DATABASE {} SET deadlock_timeout = '1h'").format(sql.Identifier(name))
        )

    def _drop_database(self, name: str) -> None:
        self._servers.admin.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )

    def _blocked(self, backends: Collection[int]) -> set[int]:
        rows = self._servers.admin.execute(
            "SELECT pid FROM unnest(%s::int[]) AS pid WHERE cardinality(pg_blocking_pids(pid)) > 0",
            [list(backends)],
        )
        return {int(str(row[0])) for row in rows}

    def _end_deadlock(self, backend: int) -> bool:
        """Cancel a statement that waits for itself; True where it does.

        The database would end one of them after some time, and which one would depend on the time.
        """
        rows = self._servers.admin.execute(_CANCELED, {"pid": backend}).fetchall()
        return bool(rows)

    def _is_over(self, backend: int) -> bool:
        """Tell whether a server process has ended, or has no transaction open."""
        rows = self._servers.admin.execute(
            "SELECT FROM pg_stat_activity WHERE pid = %s AND state <> 'idle'", [backend]
        )
        return rows.fetchone() is None

    # --- time -----------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        return self.time.wall

    def _move_clock(self, now: datetime) -> None:
        self.time.wall = now
        self.happenings += 1
        self.provider.control("clock", now=int(now.timestamp()))
        with self.engine.begin() as conn:
            stored_clock.put(conn, now)
            swept = conn.execute(_SWEPT, {"beginning": BEGINNING}).scalar_one()
        self.forgets |= now - swept > PROVIDER_REMEMBERS

    def _due(self) -> datetime | None:
        with self.engine.connect() as conn:
            return due_work.next_due_instant(conn)

    def _let_time_pass(self, moment: datetime) -> None:
        """Go from one due instant to the next until a moment, and let processes work at each.

        Whoever asks for something isn't left waiting for days, but for a while.
        """
        hurries = HURRIES
        while self.now < moment:
            due = self._due()
            step = timedelta(seconds=self.chance.choice((20, 130, 600, 1800)))
            if hurries and any(is_free(each) and each.waiting for each in self.askers):
                hurries -= 1
            elif due is not None and due > self.now:
                step += due - self.now
            elif due is None:
                step = moment - self.now
            to = min(self.now + step, moment)
            if to - self.now > timedelta(minutes=10):
                self._leave_nobody_in_the_middle()
            self._move_clock(to)
            self._work()

    def _leave_nobody_in_the_middle(self) -> None:
        """End those who are in the middle of something, or let them finish it."""
        while paused := self.schedule.those(At.PAUSED):
            actor = self.chance.choice(paused)
            if self.chance.random() < 0.1:
                self.schedule.kill(actor)
            else:
                self.schedule.resume(actor)
                self.schedule.judge()

    def _restart_who_died(self) -> None:
        for process in self.processes:
            if process.actor.at is At.DEAD:
                process.restart()

    # --- work -----------------------------------------------------------------------------------

    def _work(self) -> None:
        """Let processes work for a while, at one instant."""
        steps = 1 + int(self.chance.expovariate(1 / 5))
        for _ in range(steps):
            self._one_step()
        scheduler = self.chance.choice(self.schedulers)
        if is_free(scheduler) and not scheduler.is_quiet:
            self._begin(scheduler)
        for loop in (self.reconcilers[0], self.webhooks[0]):
            if is_free(loop) and self.now - loop.begun_at > SELDOM:
                self._begin(loop)
        while self.queue.messages and self._one_step():
            pass

    def _one_step(self) -> bool:
        """Let the schedule pick who goes on, or who begins something; False when nobody can."""
        choices: list[tuple[Process, float]] = []
        for process in self.processes:
            weight = self._weight(process)
            if weight:
                choices.append((process, weight))
        if not choices:
            return False
        (process,) = self.chance.choices(
            [each for each, _ in choices], [weight for _, weight in choices]
        )
        if process.actor.at is At.PAUSED:
            self.schedule.resume(process.actor)
        elif process.actor.at is At.DEAD:
            process.restart()
        else:
            self._begin(process)
        self.schedule.judge()
        return True

    def _weight(self, process: Process) -> float:
        actor = process.actor
        if actor.at is At.WAITING:
            return 0.0
        if actor.at is At.PAUSED:
            return 3.0
        if actor.at is At.DEAD:
            return 1.0
        if isinstance(process, Loop):
            return process.often * (0.1 if process.is_quiet else 1.0)
        return 2.0 if process.job() is not None else 0.0

    def _begin(self, process: Process) -> None:
        job = process.job()
        if job is not None:
            self.happenings += not isinstance(process, Loop)
            process.begun_at = self.now
            self.schedule.start(process.actor, job)
            self.schedule.judge()

    def _receive_events(self) -> None:
        """Let the provider send what happened there."""
        new = self.provider.after("events", self._newest_event)
        if new:
            self._newest_event = new[-1]["id"]
            self.deliveries += new

    # --- events ---------------------------------------------------------------------------------

    def tell(self) -> Told:
        """Tell the story, and judge it."""
        from tests.simulation.verdict import findings

        told = Told(self.seed, self.events)
        try:
            self.schedule.chances = self._chances or self._drawn_chances()
            for number, event in enumerate(self.events):
                self._event = f", event {number} ({event.kind} {event.who})"
                self._let_time_pass(event.at)
                self._happen(number, event)
                self._receive_events()
            self._event = ", at the end"
            self._let_time_pass(max(self.ends, self.now))
            self._come_to_rest()
            told.findings += findings(self)
            with self.engine.connect() as conn:
                told.came = counted(conn)
        except Exception as error:  # noqa: BLE001  whatever ends a story is a finding
            told.findings.append(as_finding(error, f"step {self.schedule.points}{self._event}"))
            self.schedule.trace += in_full(error)
        told.cycles = self._count_cycles()
        told.points, told.deaths = self.schedule.points, self.schedule.deaths
        told.happened, told.asked = self.schedule.happened, self.asked
        told.trace, told.fates = self.schedule.trace, self.schedule.fates
        return told

    def _count_cycles(self) -> int:
        with self.engine.connect() as conn:
            return int(conn.execute(text("SELECT count(*) FROM cycles")).scalar_one())

    def _drawn_chances(self) -> Chances:
        """Draw how much goes wrong; what never goes wrong in one story does so in another."""
        rate = self.chance.choice((0.002, 0.005, 0.02))
        faults = {
            fault: rate * self.chance.choice((0.0, 1.0, 1.0, 3.0)) for fault in sorted(FAULTS)
        }
        faults["deadlock"] /= 10  # at every statement
        return Chances(
            switch=self.chance.choice((0.05, 0.2, 0.5)),
            death=self.chance.choice((0.0, 0.002, 0.01)),
            faults=faults,
        )

    def _happen(self, number: int, event: Event) -> None:
        self.asked[event.kind] += 1
        self.schedule.tell(f"{self.now:%m-%d %H:%M} {event.kind} {event.who}")
        special = {
            "downtime": self._be_down,
            "price": self._change_price,
            "payout": self._pay_out,
            "dispute": self._dispute,
            "decide": self._decide_dispute,
            "backup": self._back_up,
            "restore": self._restore,
            "detach": self._detach,
            "wrong clock": self._have_a_wrong_clock,
            "correct price": self._correct_price,
            "stranger": self._charge_as_a_stranger,
            "terms": self._change_terms,
        }.get(event.kind)
        if special is not None:
            special(event)
        elif event.kind == "usage":
            for writer in self.writers if event.moves else self.writers[number % 2 :][:1]:
                writer.waiting.append(Asked(event, number))
            self._work()
        else:
            asker = self.askers[event.kind in ("subscribe", "new card", "charge", "change")]
            asker.waiting.append(Asked(event, number))
            self._work()

    def carried_out(self, fact: Fact) -> None:
        self.facts.append(fact)

    def refused(self, asked: Asked, error: Exception) -> None:
        code, words = getattr(error, "code", None), f"{type(error).__name__}: {error}"
        self.refusals.append(Refusal(asked.event, asked.at, code, words))

    def _be_down(self, event: Event) -> None:
        self._kill_all()
        if self.chance.random() < 0.5:
            self.queue.messages.clear()
        self.downtimes.append((self.now, timedelta(days=event.days)))
        self._move_clock(self.now + timedelta(days=event.days))

    def _kill_all(self) -> None:
        while paused := self.schedule.those(At.PAUSED):  # who waits for a lock is paused then
            self.schedule.kill(paused[0])

    def _change_price(self, event: Event) -> None:
        product = self.products[event.plan]
        assert event.effective is not None
        if any(event.effective <= price.effective for price in product.prices):
            return
        last = product.prices[-1]
        # Steps that every currency can be charged in.
        amounts = {currency: amount + 100 for currency, amount in last.amounts.items()}
        price = sold.Price(event.effective, amounts, event.moves)
        holds_at_once = price.effective <= (self.now + timedelta(days=2)).date()
        if holds_at_once:
            self._wait_for_clocks()
        self.products[event.plan] = product.with_price(price)
        self._publish_undisturbed()
        self.published.append((self.now, event.plan, price))
        if holds_at_once:
            self._wait_for_clocks()

    def _wait_for_clocks(self) -> None:
        """Let so much time pass that all clocks agree on what was before and what comes after."""
        self._leave_nobody_in_the_middle()
        self._move_clock(self.now + 2 * CLOCKS)

    def _correct_price(self, event: Event) -> None:
        """Publish a future price again, with other amounts: nobody has paid it yet."""
        tomorrow = (self.now + timedelta(days=2)).date()  # wherever the customer is
        coming = [
            each
            for each in self.products.values()
            if len(each.prices) > 1 and each.prices[-1].effective > tomorrow
        ]
        if not coming:
            return
        product = coming[event.who % len(coming)]
        last = product.prices[-1]
        amounts = {currency: amount + 10 for currency, amount in last.amounts.items()}
        price = sold.Price(last.effective, amounts, last.moves)
        self.products[product.code] = product.with_last_price(price)
        self._publish_undisturbed()
        self.published = [
            (at, plan, price if (plan, old) == (product.code, last) else old)
            for at, plan, old in self.published
        ]

    def _publish_undisturbed(self) -> None:
        with self.schedule.calm():
            self.schedule.finish()
            self.publish()

    def publish(self) -> None:
        """Publish the catalog as it is now."""
        folder = self._folder / "catalog"
        folder.mkdir(exist_ok=True)
        (folder / "catalog.toml").write_text(sold.as_files(self.products))
        catalog.apply(self.engine, load_catalog(folder), now=self.now)
        self.publications += 1

    def _pay_out(self, _: Event) -> None:
        try:
            self.provider.control("payouts", currency="usd")
        except Refused:
            self.asked["payout"] -= 1

    def _dispute(self, event: Event) -> None:
        intents = self.provider.all("payment_intents")
        mine = [each for each in intents if each["status"] == "succeeded" and each["customer"]]
        if not mine:
            return
        intent = mine[event.who % len(mine)]
        try:
            self.provider.control("disputes", payment_intent=intent["id"])
        except Refused:
            self.asked["dispute"] -= 1

    def _decide_dispute(self, event: Event) -> None:
        disputes = self.provider.all("disputes")
        undecided = [each for each in disputes if each["status"] == "needs_response"]
        if undecided:
            chosen = undecided[event.who % len(undecided)]
            outcome = "won" if event.moves else "lost"
            self.provider.control(f"disputes/{chosen['id']}", outcome=outcome)

    def _charge_as_a_stranger(self, event: Event) -> None:
        """Let another engine charge at the same account of the provider."""
        strangers.charge(self.provider, event, self.asked["stranger"])

    def _change_terms(self, event: Event) -> None:
        self.provider.control("settings", **TERMS[event.then])

    def _detach(self, event: Event) -> None:
        """Let a customer's card be taken away at the provider."""
        with self.engine.connect() as conn:
            card = conn.execute(_CARD, {"who": f"c{event.who}"}).scalar()
        if card is None:
            return
        try:
            self.provider.act(f"payment_methods/{card}/detach")
        except Refused:
            return  # it was detached before
        self.carried_out(Fact(self.now, event, -1))

    def _have_a_wrong_clock(self, event: Event) -> None:
        """Let a scheduler tick once with a clock that is far off."""
        scheduler = self.schedulers[event.who % len(self.schedulers)]
        self.schedule.finish()
        if not is_free(scheduler):
            return
        with self.schedule.calm():
            right = scheduler.apart
            scheduler.set_clock(timedelta(days=event.days))
            self._begin(scheduler)
            scheduler.set_clock(right)
        self.happenings += 1

    # --- backups --------------------------------------------------------------------------------

    def _back_up(self, event: Event) -> None:
        """Copy the database, between two transactions of everybody, who know what they did."""
        self.schedule.finish()
        self._restart_who_died()
        self._disconnect()
        name = f"{self._database}_backup_{event.who}"
        self._copy_database(self._database, name)
        self._stack.callback(self._drop_database, name)
        self._backups[event.who] = Backup(name, len(self.facts), self.publications, self.now)

    def _restore(self, event: Event) -> None:
        """Put an earlier state of the database in its place, while nothing runs; then recover.

        Who asked for something since then asks for it again. Where a subscription, a grant of
        credit, a price, or what was sold and invoiced would be lost, nothing is restored: those
        come from other systems.
        """
        backup = self._backups.pop(event.who, None)
        if backup is None or self.publications > backup.published:
            return
        self._kill_all()
        self._restart_who_died()
        lost = self.facts[backup.facts :]
        if any(self._is_for_others(fact, backup) for fact in lost):
            return
        self._disconnect()
        self._drop_database(self._database)
        self._copy_database(backup.name, self._database)
        self._move_clock(self.now)
        self.schedule.happened["database restored"] += 1
        stays = [fact for fact in lost if fact.event.kind not in FLOWS]  # at the provider
        self.facts = self.facts[: backup.facts] + stays
        self.forgotten |= {fact.event.who for fact in lost}
        again = [Asked(fact.event, fact.number) for fact in lost if fact not in stays]
        self.askers[0].waiting[:0] = [Asked(Event(self.now, "recover"), -1), *again]
        self._work()

    def _is_for_others(self, fact: Fact, backup: Backup) -> bool:
        """Tell whether what is lost has to come from other systems, and isn't asked for again.

        Usage is sent again; but an invoice that billed it can't be issued again before it is.
        """
        if fact.event.kind == "usage":
            with self.engine.connect() as conn:
                return bool(conn.execute(_CLOSED_SINCE, {"at": backup.at - CLOCKS}).scalar_one())
        if fact.event.kind == "change":
            with self.engine.connect() as conn:
                values = {"id": id_of(self.seed, "change", fact.number), "now": self.now}
                return not conn.execute(_HOLDS_LATER, values).scalar_one()
        return fact.event.kind in LOST

    def _disconnect(self) -> None:
        for process in self.processes:
            process.end()
        self.engine.dispose()

    # --- the end --------------------------------------------------------------------------------

    def _come_to_rest(self) -> None:
        """Let everything be done that is due, undisturbed."""
        self.faulty, self.loss = False, 0.0
        self.schedule.chances = Chances()
        self.schedule.finish()
        self.time.clocks_differ = False
        self._move_clock(self.now + CLOCKS)
        gives_up = self.now + PATIENCE
        rests, pause = 0, timedelta(minutes=30)
        while True:
            rests = rests + 1 if self._at_rest() else 0
            if rests == 2:  # what was done last has events, too
                return
            assert self.now < gives_up, f"something stays due: {self._what_is_left()}"
            self._move_clock(self.now + pause)
            pause = min(pause * 2, timedelta(hours=8))

    def _at_rest(self) -> bool:
        """Do all that is due now; True when nothing is left."""
        self._restart_who_died()
        self._receive_events()
        self.askers[0].waiting.append(Asked(Event(self.now, "release"), -1))
        for process in self.processes:
            self._to_its_end(process)
        for reconciler in self.reconcilers[:1]:
            self._to_its_end(reconciler)
        return not self._what_is_left()

    def _to_its_end(self, process: Process) -> None:
        """Let a process do what there is to do; whoever asks does so once, and then lets time pass.

        What isn't answered now may be once others have worked. Raises `AssertionError` where the
        work never ends.
        """
        if isinstance(process, Asking):
            jobs = len(process.waiting)
        else:
            jobs = ENDLESS if isinstance(process, WorkerProcess | ApiProcess) else 1
        for _ in range(jobs):
            if process.job() is None:
                return
            self._begin(process)
        assert jobs < ENDLESS, f"{process.actor.name} has work for ever"

    def _what_is_left(self) -> dict[str, object]:
        """Return what is due, and what somebody asks for and got no answer to."""
        unanswered = [
            f"{asked.event.kind} {asked.event.who}"
            for asker in self.askers
            for asked in asker.waiting
        ]
        return {**self._what_is_due(), **({"asked for": unanswered} if unanswered else {})}

    def _what_is_due(self) -> dict[str, int]:
        with self.engine.connect() as conn:
            row = conn.execute(_DUE, {"now": self.now}).mappings().one()
        return {name: int(count) for name, count in row.items() if count}


_CANCELED: Final = """
    WITH RECURSIVE waits_for(pid) AS (
        SELECT unnest(pg_blocking_pids(%(pid)s))
        UNION SELECT unnest(pg_blocking_pids(pid)) FROM waits_for)
    SELECT pg_cancel_backend(pid) FROM waits_for WHERE pid = %(pid)s
"""
_CARD: Final = text(
    "SELECT m.provider_payment_method_id FROM customers c"
    "  JOIN provider_customers t ON t.customer_id = c.id AND t.provider = c.provider"
    "  JOIN payment_methods m ON m.id = t.payment_method_id WHERE c.external_id = :who"
)
_CLOSED_SINCE: Final = text("SELECT EXISTS (SELECT FROM usage_closings WHERE at >= :at)")
_HOLDS_LATER: Final = text(
    "SELECT coalesce(bool_and(holds_from > CAST(:now AS timestamptz) + interval '1 hour'), true)"
    "  FROM subscription_changes WHERE change_id = :id"
)
_SWEPT: Final = text(
    "SELECT coalesce(max(watermark), :beginning) FROM tasks WHERE task = 'webhook_sweep'"
)
_DUE: Final = text(
    """
    SELECT (SELECT count(*) FROM subscriptions
             WHERE parked_at IS NULL AND opens_at IS NOT NULL AND opens_at <= :now) AS renewals,
           (SELECT count(*) FROM subscriptions
             WHERE parked_at IS NULL AND usage_due_at <= :now) AS usage,
           (SELECT count(*) FROM payments
             WHERE next_attempt_at IS NOT NULL AND parked_at IS NULL
               AND next_attempt_at <= :now) AS attempts,
           (SELECT count(*) FROM refunds
             WHERE next_attempt_at IS NOT NULL AND next_attempt_at <= :now) AS refunds,
           (SELECT count(*) FROM provider_calls
             WHERE finished_at IS NULL AND kind IN ('charge', 'refund')) AS calls,
           (SELECT count(*) FROM provider_events WHERE handled_at IS NULL) AS events,
           (SELECT count(*) FROM payments p WHERE captured_at IS NOT NULL AND settled_at IS NULL
              AND NOT EXISTS (SELECT FROM breaks b
                               WHERE b.payment_id = p.id AND b.resolved_at IS NULL)) AS captures
    """
)


def told(
    seed: object,
    servers: Servers,
    size: Size,
    events: Sequence[Event] | None = None,
    kept: Collection[int] | None = None,
) -> Told:
    """Tell the story of a seed; one that doesn't come about is a finding, too."""
    found = Told(seed, events or ())
    try:
        with Simulation(seed, servers, size=size, events=events, kept=kept) as simulation:
            found = simulation.tell()
    except Exception as error:  # noqa: BLE001  whatever ends a story is a finding
        found.findings.append(as_finding(error, "around the story"))
        found.trace += in_full(error)
    return found
