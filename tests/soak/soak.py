"""A long run: the engine's processes under traffic and strikes, sampled and judged at its end."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from unittest.mock import patch

from sqlalchemy import Connection, text

from billing.workers.runtime.broker import redis_client
from billing.workers.runtime.runtime import database_url, redis_url
from tests.delivery import forking
from tests.delivery.agreement import disagreements
from tests.delivery.chaos import CARDS, PLANS
from tests.delivery.engine_under_test import EngineUnderTest, patiently
from tests.delivery.provider_side import ProviderSide
from tests.delivery.shop import CHARGES, Shop
from tests.delivery.test_webhook_chaos import (
    LOSING,
    RECONCILER_TICK,
    SWEEP_EVERY,
    let_pass,
    prepare,
    settle_down,
)
from tests.delivery.traffic import OPEN_DISPUTES, Bank, Salesman, Taken
from tests.soak.flatness import Verdict, verdict
from tests.soak.samples import JUDGED_BYTES, Samples, held_by, queue_memory, stored_in
from tests.soak.strikes import Strikes, pids

SALESMEN: Final = 2
STRIDE: Final = timedelta(days=5)
SUBSCRIBED_MAX: Final = 150
ASKED_AGAIN_MAX: Final = 300
"""How many requests are repeated at the end: each has to be answered as it was the first time."""

_EVIDENCE: Final = {
    "parked": "SELECT * FROM subscriptions WHERE parked_at IS NOT NULL",
    "parked payment": "SELECT * FROM payments WHERE parked_at IS NOT NULL",
    "open call": "SELECT * FROM provider_calls WHERE finished_at IS NULL",
}

Told = Callable[[str], None]


@dataclass
class Result:
    """What a soak did, and what was found."""

    seconds: float = 0.0
    until: datetime | None = None
    struck: dict[str, int] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    figures: str = ""
    requests: str = ""
    not_struck: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    small_tables: int = 0
    dead_rows: int = 0

    @property
    def growing(self) -> list[Verdict]:
        """What grew."""
        return [each for each in self.verdicts if each.grows]

    @property
    def holds(self) -> bool:
        """Whether nothing was lost, nothing doubled and nothing grew."""
        return not self.findings and not self.growing


class Subscriber:
    """Lets customers subscribe over the API, and cancels the oldest when there are many."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._made = 0
        self._subscribed: list[str] = []

    def work(self, over: threading.Event) -> None:
        """Work until it is over."""
        while not over.wait(self._shop.rng.uniform(0.2, 1.0)):
            self._subscribe()
            if len(self._subscribed) > SUBSCRIBED_MAX:
                self._cancel(self._subscribed.pop(0))

    def _subscribe(self) -> None:
        rng, self._made = self._shop.rng, self._made + 1
        name = f"subscriber-{self._made}"
        card = {"name": name, "external_id": name, "payment_method": rng.choice(CARDS)}
        if self._shop.post("/v1/customers", card).status != 201:
            return
        plan, currency = rng.choice(PLANS)
        order = {"customer": name, "plan": plan, "currency": currency, "external_id": name}
        if self._shop.post("/v1/subscriptions", order).status == 201:
            self._subscribed.append(name)

    def _cancel(self, name: str) -> None:
        how = {"at_period_end": self._shop.rng.random() < 0.7, "reason": "moved away"}
        self._shop.post(f"/v1/subscriptions/{name}/cancel", how)


class NearBank(Bank):
    """Decides the newest disputes alone: a long run has too many to list them twice a second."""

    def work(self, over: threading.Event) -> None:
        """Work until it is over."""
        while not over.wait(0.5):
            for dispute in self._provider.show("disputes", limit="100")["data"]:
                if dispute["status"] in OPEN_DISPUTES and self._rng.random() < 0.2:
                    self._decide(dispute)
            if self._rng.random() < 0.3:
                self._pay_out()


class Soak:
    """One run."""

    def __init__(
        self, engine: EngineUnderTest, seed: int, seconds: float, every: float, told: Told
    ) -> None:
        self._engine, self._seed, self._seconds, self._every = engine, seed, seconds, every
        self._told = told
        self._samples = Samples()
        self._strikes = Strikes(engine, LOSING, seed, seconds)
        self._provider = ProviderSide(engine.sandbox.url)
        self._begin = time.monotonic()
        self._next_sample = 0.0
        self._result = Result()

    @property
    def _at(self) -> float:
        """The seconds since the begin."""
        return time.monotonic() - self._begin

    def run(self) -> Result:
        """Run for the time asked for, become quiet, check the books and judge the samples."""
        prepare(self._engine, self._provider, self._seed)
        key = self._engine.api_key("soak")
        shops = [
            Shop(self._engine.http_url, self._engine.rpc_address, key, self._seed * 100 + n)
            for n in range(SALESMEN + 1)
        ]
        self._told("waiting until the API answers")
        self._engine.run(lambda: shops[0].found("/v1/subscriptions", limit="1"))
        over = threading.Event()
        sampler = threading.Thread(target=self._sample_servers, args=[over], daemon=True)
        self._begin = time.monotonic()
        sampler.start()
        try:
            self._engine.run(lambda: self._time_goes_by(shops), meanwhile=self._meanwhile)
            self._result.seconds = self._at
            over.set()
            sampler.join()
            self._become_quiet(shops)
        finally:
            over.set()
            for shop in shops:
                shop.close()
        self._judge(shops)
        return self._result

    # --- while it lasts -------------------------------------------------------------------------

    def _meanwhile(self) -> None:
        if self._at < self._seconds:
            self._strikes.strike(self._at)
        if self._at >= self._next_sample:
            self._next_sample = self._at + self._every
            for name, pid in pids(self._engine).items():
                held = held_by(pid)
                if held is not None:
                    self._samples.processes.setdefault(name, []).append((self._at, held))

    def _sample_servers(self, over: threading.Event) -> None:
        database = database_url(self._engine.settings, owner=True)
        with redis_client(redis_url(self._engine.settings)) as client:
            while not over.wait(self._every):
                stored, memory = stored_in(database), queue_memory(client)
                if memory is not None:
                    self._samples.queue_memory.append((self._at, memory))
                if stored is None:
                    continue
                self._samples.stored.append((self._at, stored))
                self._told(
                    f"{self._at:.0f} s of {self._seconds:.0f}: {stored.cycles} cycles,"
                    f" {self._strikes.struck.total()} strikes,"
                    f" {stored.connections} connections, {stored.dead_rows} dead rows"
                )

    def _time_goes_by(self, shops: list[Shop]) -> None:
        over, taken = threading.Event(), Taken()
        *selling, subscribing = shops
        busy: list[Salesman | Bank | Subscriber] = [
            *(Salesman(self._engine, shop, taken) for shop in selling),
            Subscriber(subscribing),
            NearBank(self._engine, self._seed),
        ]
        with ThreadPoolExecutor(len(busy)) as pool:
            at_work = [pool.submit(each.work, over) for each in busy]
            try:
                while self._at < self._seconds:
                    self._result.until = let_pass(self._engine, STRIDE)
                    for done in (each for each in at_work if each.done()):
                        done.result()
            finally:
                over.set()
            for each in at_work:
                each.result()

    # --- afterwards -----------------------------------------------------------------------------

    def _become_quiet(self, shops: list[Shop]) -> None:
        self._told("quiet: waiting until everything due is done")
        self._engine.run(lambda: settle_down(self._engine, self._provider))
        self._engine.wait_until_quiet()
        self._told("quiet: comparing the books, the provider and the promises")
        with self._engine.runtime.engine.connect() as conn:
            found = [*self._engine.findings(), *disagreements(conn, self._provider)]
            found += [f"{what}: {row}" for what, row in left_over(conn)] if found else []
        found += self._engine.run(lambda: [each for shop in shops for each in changed(shop)])
        self._result.findings = found
        self._result.figures = patiently(self._engine.figures)

    def _judge(self, shops: list[Shop]) -> None:
        result, strikes = self._result, self._strikes
        result.struck, result.not_struck = dict(strikes.struck), strikes.missing()
        result.restarts = self._engine.restarts()
        for name in strikes.spared:
            ends = self._samples.ended(name, 0, result.seconds)
            if ends:
                result.findings.append(
                    f"{name} ended by itself {ends} times: nobody struck it then"
                )
        answered, asked = sum(len(s.answered) for s in shops), sum(s.asked for s in shops)
        result.requests = f"{answered} requests answered in {asked} sends"
        for _, last in self._samples.stored[-1:]:
            result.dead_rows = last.dead_rows
            spaces = last.tables.values()
            result.small_tables = sum(space.heap < JUDGED_BYTES for space in spaces)
        figures = self._samples.figures(strikes.spared, 0, result.seconds)
        result.verdicts = [verdict(each) for each in figures]


def left_over(conn: Connection) -> Iterator[tuple[str, str]]:
    """Yield the rows that help to understand a finding: the database is gone afterwards."""
    for what, query in _EVIDENCE.items():
        for row in conn.execute(text(query)):
            yield what, str(row._asdict())


def changed(shop: Shop) -> Iterator[str]:
    """Repeat requests that were answered, and yield each that is answered otherwise now."""
    known = shop.answered
    if len(known) > ASKED_AGAIN_MAX:
        known = shop.rng.sample(known, ASKED_AGAIN_MAX)
    for request, told in known:
        again = shop.repeated(request)
        if (again.status, again.body) != (told.status, told.body):
            yield f"{request} was answered {told}, and now {again}"
        if request.path == CHARGES:
            other = shop.over_the_other_face(request)
            if (other.payment["id"], other.status) != (told.payment["id"], told.status):
                yield f"{request} was answered {told}, and over the other interface {other}"


@contextmanager
def engine_of(folder: Path) -> Iterator[EngineUnderTest]:
    """Run the processes as they are shipped: several of each role, and the API."""
    with (
        patch.object(forking, "AVAILABLE", False),
        EngineUnderTest(
            folder,
            schedulers=2,
            workers=3,
            reconcilers=2,
            apis=1,
            webhooks__sweep_every=SWEEP_EVERY,
            reconciler__tick=RECONCILER_TICK,
        ) as engine,
    ):
        yield engine
