"""The adapter for Perennial: the engine itself, on a PostgreSQL and a sandbox of its own.

Every case has a database of its own. Its plan is published from TOML as the catalog's files are,
a customer subscribes, and the flows that the scheduler and the workers run open cycles, write
invoices and charge cards. What is answered was read back from the database, and for amounts that
are sent from the provider. Nothing is computed here.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from uuid import UUID

import psycopg
import requests
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, Row, text

from billing.config import load_settings
from billing.embedded.servers import EmbeddedPostgres
from billing.flows.customers import customers
from billing.flows.cycles import opening
from billing.flows.payments import collecting
from billing.flows.subscriptions import catalog, subscribing
from billing.flows.subscriptions.subscribing import SubscriptionOrder
from billing.plans.load import load_catalog
from billing.rules.actor import Actor, ActorKind
from billing.rules.periods import to_local, to_utc
from billing.sandbox import SandboxServer
from billing.store import clock as stored_clock
from billing.store import due_work
from billing.store.payments.attempts import Attempt
from billing.store.payments.attempts import of_payment as attempts_of
from billing.store.schema import migrate
from billing.store.subscriptions import cycles
from billing.store.subscriptions.cycles import Cycle
from billing.workers.daemons import charges
from billing.workers.runtime.metrics import ProcessMetrics
from billing.workers.runtime.runtime import Runtime

Answer = dict[str, Any]
Input = Mapping[str, Any]

KEY: Final = "sk_test_conformance"
TEMPLATE, CASE = "template_of_cases", "case_of_now"
ACTOR: Final = Actor(ActorKind.CLI, "conformance")
PLAN_KEYS: Final = ("every", "trial", "anchor_day", "anchor_month", "anchor_weekday")
HELLO: Final = {
    "protocol": 1,
    "engine": "Perennial",
    "version": version("perennial-billing"),
    "surface": "catalog, flows, PostgreSQL and the sandbox",
}


class Unsupported(Exception):
    """The engine has no such thing."""


# --- one case -----------------------------------------------------------------------------------


class Story:
    """A database in which one customer has one subscription, at the beginning of its time."""

    def __init__(
        self, runtime: Runtime, metrics: ProcessMetrics, psp: str, folder: Path, now: datetime
    ) -> None:
        self._runtime, self._metrics, self._psp, self._folder = runtime, metrics, psp, folder
        self.now = now
        self.subscription = UUID(int=0)
        self.pass_to(now)

    @property
    def engine(self) -> Engine:
        return self._runtime.engine

    def pass_to(self, now: datetime) -> None:
        """Let domain time be an instant, here and at the provider."""
        moment = {"now": int(now.timestamp())}
        requests.post(f"{self._psp}/_sandbox/clock", json=moment, timeout=60).raise_for_status()
        with self.engine.begin() as conn:
            stored_clock.put(conn, now)
        self.now = now

    def subscribe(self, plan: str, order: Input, card: str = "pm_card_visa") -> None:
        """Publish a catalog with the plan `case`, and subscribe a customer with a card to it."""
        (self._folder / "case.toml").write_text(f'product = "Case"\n\n[[plan]]\n{plan}')
        catalog.apply(self.engine, load_catalog(self._folder), now=self.now)
        customer = customers.create(self._runtime.context, name="Case", payment_method=card)
        asked = SubscriptionOrder(customer=str(customer), plan="case", **order)
        self.subscription = subscribing.subscribe(self.engine, asked, now=self.now, actor=ACTOR)

    def open_until(self, wanted: Callable[[list[Cycle]], bool]) -> list[Cycle]:
        """Open cycle after cycle, each at the instant at which it is due; return them all."""
        while not wanted(found := self.cycles()):
            self.pass_to(self.row("SELECT renews_at FROM subscriptions").renews_at)
            opened = opening.open_due_cycles(
                self.engine, now=self.now, limit=10, policy=self._runtime.policy
            )
            if opened.opened != 1:
                raise RuntimeError(f"opened {opened.opened} cycles at {self.now}: {opened.unable}")
        return found

    def collect(self) -> None:
        """Charge what is due now."""
        for payment in collecting.dispatch_due(self._runtime.context, limit=10):
            charges.charge(self._runtime, self._metrics, payment)

    def collect_until(self, end: datetime) -> None:
        """Charge what becomes due, at each instant at which something does."""
        self.collect()
        while True:
            with self.engine.connect() as conn:
                due = due_work.next_due_instant(conn)
            if due is None or due > end:
                break
            self.pass_to(max(due, self.now))
            self.collect()

    def cycles(self) -> list[Cycle]:
        with self.engine.connect() as conn:
            return cycles.of_subscription(conn, self.subscription)

    def rows(self, query: str) -> list[Row[Any]]:
        with self.engine.connect() as conn:
            return list(conn.execute(text(query)))

    def row(self, query: str) -> Row[Any]:
        (only,) = self.rows(query)
        return only

    def attempts(self) -> list[Attempt]:
        with self.engine.connect() as conn:
            return attempts_of(conn, self.row("SELECT id FROM payments").id)

    def charged(self) -> list[dict[str, Any]]:
        """Return the charges in the provider's books."""
        key = {"Authorization": f"Bearer {KEY}"}
        asked = requests.get(f"{self._psp}/v1/charges", headers=key, timeout=60)
        asked.raise_for_status()
        found: list[dict[str, Any]] = asked.json()["data"]
        return found


class World:
    """The servers, and a fresh story for each case.

    All databases have one name, so that one engine serves them and compiles a statement once.
    """

    def __init__(self, folder: Path, postgres: EmbeddedPostgres, sandbox: SandboxServer) -> None:
        self._folder, self._postgres, self._psp = folder, postgres, sandbox.url
        self._admin(f"CREATE DATABASE {TEMPLATE}")
        migrate(postgres.url(TEMPLATE))
        environment = {
            "BILLING__DATABASE__URL": postgres.url(CASE),
            "BILLING__PROVIDERS__STRIPE__API_BASE": sandbox.url,
            "BILLING__PROVIDERS__STRIPE__API_KEY": KEY,
            "BILLING__PROVIDERS__STRIPE__RATE_PER_SECOND": "10000",
        }
        self._runtime = Runtime(load_settings(None, environment))
        self._metrics = ProcessMetrics(CollectorRegistry(), "conformance", "0")

    def _admin(self, statement: str) -> None:
        with psycopg.connect(self._postgres.url(), autocommit=True) as conn:
            conn.execute(statement.encode())

    @contextmanager
    def story(self, now: datetime) -> Iterator[Story]:
        self._admin(f"CREATE DATABASE {CASE} TEMPLATE {TEMPLATE} STRATEGY file_copy")
        try:
            requests.post(f"{self._psp}/_sandbox/reset", timeout=60).raise_for_status()
            yield Story(self._runtime, self._metrics, self._psp, self._folder, now)
        finally:
            self._runtime.close()
            self._admin(f"DROP DATABASE {CASE} WITH (FORCE)")


@contextmanager
def world() -> Iterator[World]:
    with TemporaryDirectory(prefix="perennial-conformance-") as name:
        folder = Path(name)
        postgres = EmbeddedPostgres(folder, durable=False)
        try:
            postgres.start()
            with SandboxServer(folder / "sandbox") as sandbox:
                catalog_folder = folder / "catalog"
                catalog_folder.mkdir()
                yield World(catalog_folder, postgres, sandbox)
        finally:
            postgres.destroy()


# --- the kinds of cases -------------------------------------------------------------------------


def plan_of(given: Input, price: str, currency: str) -> str:
    """Return the plan of a case as a catalog writes it."""
    keys = {"code": "case", **{key: given[key] for key in PLAN_KEYS if given.get(key) is not None}}
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    effective = given["start"][:10]
    lines += [
        "[[plan.version]]",
        f"effective = {effective}",
        f'price = {{ {currency} = "{price}" }}',
    ]
    return "\n".join(lines) + "\n"


@contextmanager
def subscribed(world: World, given: Input) -> Iterator[Story]:
    """Yield the story of a case that says when a subscription starts, and how often it renews."""
    start = datetime.fromisoformat(given["start"])
    currency = given.get("currency", "USD")
    with world.story(to_utc(start, given["zone"])) as story:
        order = {
            "currency": currency,
            "zone": given["zone"],
            "starts": start,
            "quantity": given.get("quantity", 1),
        }
        story.subscribe(plan_of(given, given.get("price", "10.00"), currency), order)
        yield story


def billed(world: World, given: Input) -> list[Cycle]:
    """Return the first periods of a case that are billed, as many as it asks for."""
    with subscribed(world, given) as story:
        regular = story.open_until(lambda found: len(regular_of(found)) == given["count"])
    return regular_of(regular)


def regular_of(found: list[Cycle]) -> list[Cycle]:
    return [cycle for cycle in found if cycle.kind == "regular"]


def day(at: datetime, zone: str) -> str:
    return str(to_local(at, zone).date())


def billing_dates(world: World, given: Input) -> Answer:
    return {"dates": [day(each.period_start, given["zone"]) for each in billed(world, given)]}


def billing_instants(world: World, given: Input) -> Answer:
    starts = [each.period_start.astimezone(UTC) for each in billed(world, given)]
    return {"instants": [f"{start:%Y-%m-%dT%H:%M:%SZ}" for start in starts]}


def period_containing(world: World, given: Input) -> Answer:
    zone = given["zone"]
    at = to_utc(datetime.fromisoformat(given["at"]), zone)
    with subscribed(world, given) as story:
        found = story.open_until(lambda found: bool(found) and found[-1].period_end > at)[-1]
    return {"start": day(found.period_start, zone), "end": day(found.period_end, zone)}


def printed_days(world: World, given: Input) -> Answer:
    with subscribed(world, given) as story:
        story.open_until(lambda found: len(regular_of(found)) == given["count"])
        lines = story.rows(
            "SELECT description FROM invoice_lines JOIN invoices ON invoices.id = invoice_id"
            " ORDER BY issued_at"
        )
    return {"days": [re.findall(r"\d{4}-\d{2}-\d{2}", line.description) for line in lines]}


def amounts(world: World, given: Input) -> Answer:
    with subscribed(world, given) as story:
        story.open_until(lambda found: len(regular_of(found)) == given["count"])
        invoices = story.rows("SELECT total FROM invoices ORDER BY issued_at")
    return {"amounts": [invoice.total for invoice in invoices]}


JANUARY: Final = {"start": "2026-01-01T00:00", "zone": "UTC", "every": "1 month", "count": 1}


def minor_units(world: World, given: Input) -> Answer:
    asked = {**JANUARY, "price": given["amount"], "currency": given["currency"]}
    return {"minor": amounts(world, asked)["amounts"][0]}


def charge_amount(world: World, given: Input) -> Answer:
    asked = {**JANUARY, "price": given["amount"], "currency": given["currency"]}
    with subscribed(world, asked) as story:
        story.open_until(lambda found: len(found) == 1)
        story.collect()
        (charge,) = story.charged()
    return {"amount": charge["amount"]}


@contextmanager
def failing(world: World, card: str, ladder: list[str]) -> Iterator[Story]:
    """Yield the story of a card that declines, after its first charge."""
    keys = f'retry_after = {json.dumps(ladder)}\nthen = "cancel"\n[[plan.version]]'
    plan = plan_of(JANUARY, "10.00", "USD").replace("[[plan.version]]", keys)
    with world.story(datetime(2026, 1, 1, tzinfo=UTC)) as story:
        story.subscribe(plan, {"currency": "USD"}, card)
        story.open_until(lambda found: len(found) == 1)
        story.collect()
        yield story


def decline(world: World, given: Input) -> Answer:
    """Charge a card that declines with the code, and see what the engine makes of it."""
    if given["provider"] != "stripe":
        raise Unsupported("the sandbox plays Stripe's codes alone")
    code = given["decline_code"]
    card = "needs_authentication" if code == "authentication_required" else code
    with failing(world, f"pm_sbx_{card}", ["3 days"]) as story:
        given_up = story.row("SELECT state FROM payments").state == "FAILED"
        story.collect_until(story.now + timedelta(days=3))
        attempts = story.attempts()
    if {attempt.decline_code for attempt in attempts} != {code}:
        raise RuntimeError(f"the sandbox declined with {attempts}")
    if len(attempts) > 1:
        return {"retry": "later"}
    return {"retry": "never" if given_up else "after_customer"}


def retry_days(world: World, given: Input) -> Answer:
    with failing(world, "pm_sbx_insufficient", given["after"]) as story:
        story.collect_until(story.now + timedelta(days=30))
        sent = [attempt.first_sent_at for attempt in story.attempts()]
    return {"days": [(each - sent[0]).days for each in sent[1:]]}


def plan_change(_world: World, _given: Input) -> Answer:
    raise Unsupported("a plan can't be changed within a period")


KINDS: Final[Mapping[str, Callable[[World, Input], Answer]]] = {
    "billing_dates": billing_dates,
    "billing_instants": billing_instants,
    "period_containing": period_containing,
    "service_days": printed_days,
    "amounts": amounts,
    "minor_units": minor_units,
    "charge_amount": charge_amount,
    "decline": decline,
    "retry_days": retry_days,
    "plan_change": plan_change,
}


def answer(world: World, question: Input) -> Answer:
    kind = KINDS.get(question["kind"])
    if kind is None:
        return {"unsupported": "a kind of case that this adapter doesn't know"}
    try:
        return {"result": kind(world, question["input"])}
    except Unsupported as reason:
        return {"unsupported": str(reason)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    with world() as servers:
        for line in sys.stdin:
            question = json.loads(line)
            reply = HELLO if "protocol" in question else answer(servers, question)
            print(json.dumps({"id": question.get("id"), **reply}), flush=True)


if __name__ == "__main__":
    main()
