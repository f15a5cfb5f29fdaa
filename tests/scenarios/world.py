"""A world to tell stories in: real Postgres, a real provider over HTTP, and time that obeys.

Domain time is the test clock, pinned in Postgres and at the sandbox; real time, which leases and
dispatch windows live by, is `wall` and passes only when a story says so or everybody waits. The
part of the daemons is played by loops over the very functions they call.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn
from uuid import UUID

import requests
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, Row, text

from billing.config import load_settings
from billing.flows import prove
from billing.flows.context import Context, StoppedClock
from billing.flows.customers import customers
from billing.flows.cycles import opening
from billing.flows.cycles.closing import Closed
from billing.flows.cycles.opening import Opened
from billing.flows.payments import collecting
from billing.flows.payments.collecting import ChargeSend
from billing.flows.refunds import sending as refund_sending
from billing.flows.settlement import tie_out
from billing.flows.settlement.charge_list import ConfirmRun
from billing.flows.subscriptions import catalog, cheaper_usage
from billing.flows.subscriptions import subscribing as subscribe
from billing.flows.taxes import sending as tax_sending
from billing.gateway import Gateway
from billing.gateway.gateways import Gateways
from billing.gateway.stripe.amounts import from_stripe
from billing.ledger.findings import Severity
from billing.plans.load import load_catalog
from billing.presenters import decisions
from billing.presenters.findings import in_words
from billing.rules.actor import Actor, ActorKind
from billing.store import clock as stored_clock
from billing.store import due_work
from billing.store.journal import checks, reads
from billing.store.payments import attempts, payments
from billing.store.payments.attempts import Attempt
from billing.store.payments.payments import Payment
from billing.store.settlement import breaks
from billing.store.settlement import tie_out as stored_tie_out
from billing.store.settlement.breaks import Break
from billing.store.subscriptions import customers as stored_customers
from billing.store.subscriptions import cycles, subscriptions
from billing.store.subscriptions.cycles import Cycle
from billing.store.subscriptions.subscriptions import Subscription
from billing.workers.daemons import charges, refunds, taxes
from billing.workers.daemons.reconciler import Reconciler
from billing.workers.runtime.clock import StoredClock
from billing.workers.runtime.metrics import ProcessMetrics
from billing.workers.runtime.runtime import Runtime
from tests.settings import with_provider
from tests.waiting import PATIENCE, held_back, patient

SHIPPED = Path(__file__).resolve().parents[2] / "plans" / "catalog"
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
ROUNDS = 30  # at one instant; what is due then takes more than waiting
STUCK = timedelta(days=2)  # an unknown is decided when the provider has forgotten the key


def at(moment: str) -> datetime:
    """Return the instant (UTC) of "2026-03-01" or "2026-03-01 10:30"."""
    return datetime.fromisoformat(moment).replace(tzinfo=UTC)


@dataclass(frozen=True)
class Subscriber:
    """A customer, here and at the provider, with a subscription."""

    customer_id: UUID
    provider_customer_id: str
    subscription_id: UUID

    @property
    def customer(self) -> str:
        return str(self.customer_id)

    @property
    def reference(self) -> str:
        return str(self.subscription_id)


class Killed(BaseException):
    """The process died: nothing is noted down any more."""


def die(*_args: object, **_options: object) -> NoReturn:
    """Stand for any function, in which the process dies."""
    raise Killed


class Psp:
    """The provider as stories talk about it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = requests.Session()
        self._http.trust_env = False  # each request would look through the environment for proxies
        self._http.headers["Authorization"] = "Bearer sk_test_story"

    def _control(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        answer = self._http.request(
            method, f"{self._url}/_sandbox/{path}", json=body, timeout=PATIENCE
        )
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def pin(self, now: datetime) -> None:
        self._control("POST", "clock", now=int(now.timestamp()))

    def fault(self, kind: str, times: int = 1, delay_ms: int = 100) -> None:
        """Let the next charges meet a fault."""
        charging = {"method": "POST", "path": "/v1/payment_intents"}
        self._control("POST", "faults", kind=kind, times=times, delay_ms=delay_ms, match=charging)

    def holding_charges(self, times: int = 1) -> AbstractContextManager[Callable[[], None]]:
        """Keep the next charges waiting until the block is left; yields what waits for them."""
        return held_back(self._control, "/v1/payment_intents", times=times)

    def lose_next_answer(self, *, after_commit: bool) -> None:
        self.fault("reset_after_commit" if after_commit else "reset_before")

    def heal(self) -> None:
        self._control("DELETE", "faults")

    def sends(self, start: str = "POST /v1/payment_intents") -> int:
        """Count the requests of a kind that arrived, charges by default, whatever came of them."""
        requests_by_name = self._control("GET", "stats")["requests"]
        return sum(
            sum(outcomes.values())
            for name, outcomes in requests_by_name.items()
            if name.startswith(start)
        )

    def charges(self, subscriber: Subscriber) -> list[dict[str, Any]]:
        """Return a customer's charges in the provider's own books, declined ones too."""
        params = {"customer": subscriber.provider_customer_id, "limit": "100"}
        answer = self._http.get(f"{self._url}/v1/charges", params=params, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["data"]
        return found

    def payments(self) -> list[dict[str, Any]]:
        """Return all payments in the provider's own books."""
        answer = self._http.get(f"{self._url}/v1/payment_intents", timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["data"]
        return found

    def customer(self, subscriber: Subscriber) -> dict[str, Any]:
        """Return a customer in the provider's own books."""
        url = f"{self._url}/v1/customers/{subscriber.provider_customer_id}"
        found: dict[str, Any] = self._http.get(url, timeout=PATIENCE).json()
        return found

    def captures(self, subscriber: Subscriber) -> int:
        """Count how often a customer's money was taken."""
        return sum(charge["captured"] and charge["paid"] for charge in self.charges(subscriber))

    def captured(self) -> dict[str, int]:
        """Return all money taken, by currency, in our minor units."""
        amounts: dict[str, int] = self._control("GET", "stats")["captured_amount"]
        return {
            currency.upper(): from_stripe(amount, currency).amount
            for currency, amount in amounts.items()
        }

    def captured_twice(self) -> int:
        doubled: int = self._control("GET", "stats")["payment_intents_captured_more_than_once"]
        return doubled

    def take_money(self, amount: int, currency: str = "usd", **more: Any) -> None:
        """Take money that the engine knows nothing of."""
        self._control("POST", "payment_intents", amount=amount, currency=currency, **more)

    def forget_everything(self) -> None:
        """Lose the provider's books, as if we had asked another account."""
        self._control("POST", "reset")

    def post(self, path: str, **form: str) -> dict[str, Any]:
        """Do something in the provider's dashboard."""
        answer = self._http.post(f"{self._url}/v1/{path}", data=form, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def close(self) -> None:
        self._http.close()


class Till(Psp):
    """The provider that makes a transaction of each attempt, in the same sandbox."""

    MERCHANT = "merchant"

    def fault(self, kind: str, times: int = 1, delay_ms: int = 100) -> None:
        """Let the next sales meet a fault."""
        self._fault("transactions$", kind, times, delay_ms)

    def fault_refunds(self, kind: str) -> None:
        """Let the next refund meet a fault."""
        self._fault("transactions/*/refund$", kind)

    def fault_customers(self, kind: str) -> None:
        """Let the making of the next customer meet a fault."""
        self._fault("customers$", kind)

    def _fault(self, path: str, kind: str, times: int = 1, delay_ms: int = 100) -> None:
        match = {"method": "POST", "path": f"/merchants/{self.MERCHANT}/{path}"}
        self._control("POST", "faults", kind=kind, times=times, delay_ms=delay_ms, match=match)

    def nonce(self) -> str:
        """Return what a customer's browser makes of a card: good for once."""
        card = {"number": "4111111111111111", "expiration_date": "12/2040"}
        path = f"merchants/{self.MERCHANT}/client_api/v1/payment_methods/credit_cards.json"
        answer = requests.post(
            f"{self._url}/{path}",
            json={"credit_card": card},
            auth=("public", "private"),
            timeout=PATIENCE,
        )
        assert answer.status_code == 202, answer.text
        return str(answer.json()["creditCards"][0]["nonce"])

    def charge_back(self, transaction: str) -> str:
        """Let a bank take a settled sale back; return the dispute."""
        opened = self._control("POST", "braintree/disputes", transaction=transaction)
        return str(opened["id"])

    def dispute_again(self, transaction: str) -> str:
        """Let a bank go on with a dispute that was won, before arbitration; return the new one."""
        kind = "pre_arbitration"
        opened = self._control("POST", "braintree/disputes", transaction=transaction, kind=kind)
        return str(opened["id"])

    def decide(self, dispute: str, status: str) -> None:
        """End a dispute: "won", "lost"."""
        self._control("POST", f"braintree/disputes/{dispute}", status=status)

    def alter(self, transaction: str, **changes: Any) -> None:
        """Let the provider's books differ: `amount`, `settlement_amount`, `hidden`."""
        self._control("POST", f"braintree/transactions/{transaction}", **changes)

    def tell(self, **settings: Any) -> None:
        """Change how it settles."""
        self._control("POST", "braintree/settings", **settings)

    def sold(self) -> int:
        """Count the sales that took money."""
        count: int = self._control("GET", "braintree/stats")["captures"]
        return count

    def captured(self) -> dict[str, int]:
        amounts = self._control("GET", "braintree/stats")["captured_amount"]
        return {str(currency): int(amount) for currency, amount in amounts.items()}

    def captured_twice(self) -> int:
        doubled = self._control("GET", "braintree/stats")["orders_captured_more_than_once"]
        return int(doubled)


def only_account(gateway: Gateway) -> Gateways:
    """Return the accounts of a configuration that has this one alone, under the usual name."""
    return Gateways(["stripe"], "stripe", lambda _: gateway)


def decision_of(payment: Payment) -> str:
    """Return the last decision on a payment as it is told."""
    return str(decisions.in_words(payment.decision, payment.decision_facts))


class WorldClock(StoredClock):
    """The test clock, and real time as the story tells it."""

    def __init__(self, engine: Engine, world: "World") -> None:
        super().__init__(engine)
        self._world = world

    def wall(self) -> datetime:
        return self._world.wall


@dataclass(frozen=True)
class WorldRuntime(Runtime):
    """The parts of a process, with real time in the story's hands."""

    world: "World | None" = None

    @cached_property
    def clock(self) -> StoredClock:
        assert self.world is not None
        return WorldClock(self.engine, self.world)


def prepare(engine: Engine) -> None:
    """Put the beginning and the shipped catalog into a migrated database."""
    with engine.begin() as conn:
        stored_clock.put(conn, BEGINNING)
    catalog.apply(engine, load_catalog(SHIPPED), now=BEGINNING)


def _account(name: str, url: str) -> Iterator[tuple[str, str]]:
    """Yield the settings of one more account, which is of the kind that its name says."""
    key = f"BILLING__PROVIDERS__{name.upper()}__"
    yield f"{key}API_BASE", url
    yield f"{key}RATE_PER_SECOND", "10000"
    if name == "braintree":
        yield f"{key}MERCHANT_ID", Till.MERCHANT
        yield f"{key}PUBLIC_KEY", "public"
        yield f"{key}PRIVATE_KEY", "private"
    else:
        yield f"{key}KIND", "stripe"
        yield f"{key}API_KEY", f"sk_test_world_{name}"
    yield "BILLING__PROVIDERS__STRIPE__DEFAULT", "true"


class World:
    """Everything a story needs; time begins on 2026-01-01, midnight UTC.

    One that is `continued` goes on with what database and provider hold, at their own time; one
    that is `prepared` finds the clock and the shipped catalog in its database. `more` has further
    accounts at the provider, the address of each by its name.
    """

    def __init__(
        self,
        database_url: str,
        psp_url: str,
        folder: Path,
        *,
        continued: bool = False,
        prepared: bool = False,
        more: Mapping[str, str] = MappingProxyType({}),
        **settings_too: str,
    ) -> None:
        settings = load_settings(
            None,
            {
                "BILLING__DATABASE__URL": database_url,
                "BILLING__PROVIDERS__STRIPE__API_BASE": psp_url,
                "BILLING__PROVIDERS__STRIPE__API_KEY": "sk_test_world",
                "BILLING__PROVIDERS__STRIPE__RATE_PER_SECOND": "10000",
                "BILLING__RECONCILER__SETTLE_EVERY": "0s",
                **{key: value for name, url in more.items() for key, value in _account(name, url)},
                **settings_too,
            },
        )
        self.wall = datetime(2030, 1, 1, tzinfo=UTC)
        self.runtime = WorldRuntime(patient(settings), world=self)
        self._own_runtime = self.runtime  # a story may put another in its place
        self.policy = self.runtime.policy
        self.engine = self.runtime.engine
        self.gateway = self.runtime.gateway
        self.gateways = self.runtime.gateways
        self.provider = self.gateways.default_account
        self.metrics = ProcessMetrics(CollectorRegistry(), "world", "0", accounts={})
        self.psp = Psp(psp_url)
        others = {
            name: Till(url) if name == "braintree" else Psp(url) for name, url in more.items()
        }
        self.psps = {self.provider: self.psp, **others}
        self.now = self._left_at() if continued else BEGINNING
        self._reconciler = Reconciler(self.runtime, self.metrics)
        self._folder = folder
        if not continued:
            self._pin_providers(BEGINNING)
        if not (continued or prepared):
            prepare(self.engine)

    def close(self) -> None:
        for psp in self.psps.values():
            psp.close()
        self.runtime.close()
        self._own_runtime.close()

    # --- setting the scene ----------------------------------------------------------------------

    def earn_daily(self) -> None:
        """Let revenue be earned day by day, and no longer at the end of each period."""
        self.policy = replace(self.policy, recognise="daily")
        self.runtime.__dict__["policy"] = self.policy

    def number_in_series(self, prefix: str) -> None:
        """Number invoices of all subscriptions in one series from now on."""
        self.policy = replace(self.policy, numbering="series", number_prefix=prefix)
        self.runtime.__dict__["policy"] = self.policy

    def publish(self, toml: str) -> None:
        """Publish a catalog file of the story's own."""
        self._folder.mkdir(exist_ok=True)
        (self._folder / "story.toml").write_text(toml)
        catalog.apply(self.engine, load_catalog(self._folder), now=self.now)

    def differences(self, toml: str) -> list[catalog.CatalogChange]:
        """Return what publishing a catalog file of the story's own would change of its plans."""
        self._folder.mkdir(exist_ok=True)
        (self._folder / "story.toml").write_text(toml)
        with self.engine.connect() as conn:
            return catalog.diff(conn, load_catalog(self._folder), now=self.now)

    def customer(
        self, card: str | None = "pm_card_visa", provider: str | None = None
    ) -> tuple[UUID, str]:
        """Make a customer, and return their ids here and at the provider."""
        customer_id = customers.create(
            self.context(), name="Ada", payment_method=card, provider=provider
        )
        with self.engine.connect() as conn:
            row = stored_customers.find(conn, str(customer_id))
        assert row is not None
        assert row.provider_customer_id is not None
        return customer_id, row.provider_customer_id

    def subscribed(
        self, plan: str, card: str | None = "pm_card_visa", currency: str = "USD", **order: Any
    ) -> Subscriber:
        """Make a customer and let them subscribe now; the first cycle isn't opened yet."""
        return self.subscribe(*self.customer(card), plan, currency, **order)

    def subscribe(
        self,
        customer_id: UUID,
        provider_id: str,
        plan: str,
        currency: str = "USD",
        **order: Any,
    ) -> Subscriber:
        subscription_id = subscribe.subscribe(
            self.engine,
            subscribe.SubscriptionOrder(
                customer=str(customer_id), plan=plan, currency=currency, **order
            ),
            now=self.now,
            actor=Actor(ActorKind.CLI, "operator"),
        )
        return Subscriber(customer_id, provider_id, subscription_id)

    def spoil(self, update: str, subscriber: Subscriber) -> None:
        """Write to a subscription what no flow ever writes."""
        with self.engine.begin() as conn:
            conn.execute(text(f"{update} WHERE id = :id"), {"id": subscriber.subscription_id})

    def rename_at_provider(self, subscriber: Subscriber, provider_customer_id: str) -> None:
        """Write another id of a customer at the provider: one that isn't there is refused."""
        with self.engine.begin() as conn:
            conn.execute(
                text("UPDATE provider_customers SET provider_customer_id = :name WHERE id = :id"),
                {"name": provider_customer_id, "id": subscriber.customer_id},
            )

    def new_card(self, subscriber: Subscriber, card: str = "pm_card_visa") -> int:
        """Change a customer's card and return how many payments are tried again."""
        _, retried = customers.set_payment_method(self.context(), subscriber.customer, card)
        return retried

    # --- letting time pass ----------------------------------------------------------------------

    def _left_at(self) -> datetime:
        with self.engine.connect() as conn:
            now = stored_clock.read(conn)
        assert now is not None, "a world that goes on has a clock"
        return now

    def _pin(self, now: datetime) -> None:
        self._pin_providers(now)
        with self.engine.begin() as conn:
            stored_clock.put(conn, now)
        self.now = now

    def _pin_providers(self, now: datetime) -> None:
        for psp in self.psps.values():
            psp.pin(now)

    def jump_to(self, moment: str) -> None:
        """Move domain time while nobody works: a downtime."""
        self._pin(at(moment))

    def run_until(self, moment: str) -> None:
        """Walk through every due instant up to a moment, in order, doing all that is due."""
        end = at(moment)
        quiet_at = self.now
        while True:
            if self.settle():
                quiet_at = self.now
            assert self.now - quiet_at < STUCK, f"something stays due since {quiet_at}"
            with self.engine.connect() as conn:
                due = due_work.next_due_instant(conn)
            if due is None or due > end or self.now == end:
                break
            # What stays unknown here and now needs time to pass at the provider too.
            self._pin(due if due > self.now else min(self.now + timedelta(hours=1), end))
        self._pin(end)
        assert self.settle(), f"something stays due at {end}"

    def settle(self) -> bool:
        """Do all that is due now; when everybody only waits, real time passes.

        False when something stays due, because its outcome stays unknown.
        """
        for _ in range(ROUNDS):
            did = self.tick()
            with self.engine.connect() as conn:
                if due_work.nothing_due(conn, self.now):
                    return True
            if not did:
                self.wait(self.policy.unknown_backoff_max)
        return False

    def tick(self) -> bool:
        """Let a scheduler tick once and workers do what it dispatched; False for nothing."""
        opened = self.open()
        payments = self.dispatch()
        for payment_id in payments:
            self.charge(payment_id)
        asked_back = self.dispatch_refunds()
        for refund_id in asked_back:
            self.refund(refund_id)
        return bool(opened.seen or payments or asked_back or self.send_taxes())

    def send_taxes(self) -> int:
        """Send what a provider is to be asked, or told, about taxes; return how much that was."""
        if not tax_sending.any_open(self.context()):
            return 0
        calls = tax_sending.dispatch_due(self.context(), limit=500)
        for call_id in calls:
            taxes.send(self.runtime, call_id)
        return len(calls)

    def open(self) -> Opened:
        opened = opening.open_due_cycles(self.engine, now=self.now, limit=500, policy=self.policy)
        for subscription_id, billed_in in opened.cheaper:
            cheaper_usage.give_back(
                self.engine, subscription_id, billed_in, now=self.now, policy=self.policy
            )
        return opened

    def dispatch(self) -> list[UUID]:
        return collecting.dispatch_due(self.context(), limit=500)

    def charge(self, payment_id: UUID) -> None:
        charges.charge(self.runtime, self.metrics, payment_id)

    def dispatch_refunds(self) -> list[UUID]:
        return refund_sending.dispatch_due(self.context(), limit=500)

    def refund(self, refund_id: UUID) -> None:
        refunds.refund(self.runtime, self.metrics, refund_id)

    def wait(self, pause: timedelta) -> None:
        """Let real time pass."""
        self.wall += pause

    def context(self) -> Context:
        """Return what flows work with, at this instant."""
        clock = StoppedClock(self.now, self.wall)
        return Context(self.engine, self.policy, clock, self.gateways)

    # --- a charge, piece by piece ---------------------------------------------------------------

    def begin(self, payment_id: UUID) -> ChargeSend | None:
        return collecting.begin(self.context(), payment_id)

    def send(self, sending: ChargeSend) -> Any:
        return collecting.attempt(self.context(), sending)

    def finish(self, sending: ChargeSend, outcome: Any) -> None:
        collecting.finish(self.context(), sending, outcome)

    # --- reading --------------------------------------------------------------------------------

    @contextmanager
    def impatient(self) -> Iterator[None]:
        """Give the provider up, for a while, when it doesn't answer at once."""
        calm = self.runtime
        hasty = with_provider(calm.settings, timeout_read=timedelta(milliseconds=300))
        self.runtime = WorldRuntime(hasty, world=self)
        try:
            yield
        finally:
            self.runtime.close()
            self.runtime = calm

    def subscription(self, subscriber: Subscriber) -> Subscription:
        with self.engine.connect() as conn:
            found = subscriptions.find(conn, subscriber.reference)
        assert found is not None
        return found

    def status(self, subscriber: Subscriber) -> str:
        return str(self.subscription(subscriber).status)

    def events(self, subscriber: Subscriber) -> list[str]:
        with self.engine.connect() as conn:
            return [row.kind for row in subscriptions.events(conn, subscriber.subscription_id)]

    def cycles(self, subscriber: Subscriber) -> list[Cycle]:
        with self.engine.connect() as conn:
            return cycles.of_subscription(conn, subscriber.subscription_id)

    def kinds(self, subscriber: Subscriber) -> list[str]:
        return [cycle.kind for cycle in self.cycles(subscriber)]

    def starts(self, subscriber: Subscriber) -> list[str]:
        """Return the first day (UTC) of every cycle."""
        return [f"{cycle.period_start:%Y-%m-%d}" for cycle in self.cycles(subscriber)]

    def payments(self, subscriber: Subscriber) -> list[Payment]:
        with self.engine.connect() as conn:
            return payments.page(conn, subscription_id=subscriber.subscription_id)

    def payment(self, subscriber: Subscriber, n: int = -1) -> Payment:
        return self.payments(subscriber)[n]

    def attempts(self, subscriber: Subscriber, n: int = -1) -> list[Attempt]:
        with self.engine.connect() as conn:
            return attempts.of_payment(conn, self.payment(subscriber, n).id)

    def sent_on(self, subscriber: Subscriber, n: int = -1) -> list[str]:
        """Return when a payment's attempts were first sent."""
        return [f"{row.first_sent_at:%Y-%m-%d}" for row in self.attempts(subscriber, n)]

    def invoices(self, subscriber: Subscriber) -> list[Row[Any]]:
        with self.engine.connect() as conn:
            rows = conn.execute(
                text("SELECT * FROM invoices WHERE subscription_id = :id ORDER BY issued_at, id"),
                {"id": subscriber.subscription_id},
            )
            return list(rows)

    def payment_methods(self, subscriber: Subscriber) -> list[str]:
        """Return the provider's ids of a customer's cards, oldest first."""
        with self.engine.connect() as conn:
            rows = stored_customers.payment_methods_of(conn, subscriber.customer_id)
        return [row.provider_payment_method_id for row in rows]

    def breaks(self) -> list[Break]:
        with self.engine.connect() as conn:
            return breaks.page(conn)

    def entries(self, kind: str) -> int:
        """Count the journal's entries of a kind."""
        with self.engine.connect() as conn:
            count = conn.execute(
                text("SELECT count(*) FROM ledger.entries WHERE kind = :kind"), {"kind": kind}
            )
            return int(count.scalar_one())

    # --- the books ------------------------------------------------------------------------------

    def close_books(self) -> tuple[ConfirmRun, Closed]:
        """Compare with the provider and close what is ready, as the reconciler does."""
        return self._reconciler.tick()

    def assert_books_balance(self) -> None:
        """The journal verifies and the trial balance sums to zero in every currency."""
        with self.engine.connect() as conn:
            errors = [f for f in checks.verify(conn) if f.severity is Severity.ERROR]
        assert errors == []
        self._assert_trial_balance()

    def _assert_trial_balance(self) -> None:
        with self.engine.connect() as conn:
            trial = reads.trial_balance(conn)
        for currency in {row.currency for row in trial}:
            assert sum(row.balance for row in trial if row.currency == currency) == 0

    def findings(self) -> list[str]:
        """Return in words everything that the proof of the promises complains about."""
        results = prove.prove(self.engine, self.now)
        return [in_words(finding) for result in results for finding in result.findings]

    def assert_promises_hold(self) -> None:
        """No promise is broken and the books balance; differences may stand open as breaks."""
        assert self.findings() == []  # the journal's among them
        self._assert_trial_balance()
        assert [psp.captured_twice() for psp in self.psps.values()] == [0] * len(self.psps)

    def assert_everything_adds_up(self) -> None:
        """Close the books; then our payments, the journal and the provider hold the same money."""
        self.close_books()
        self.assert_promises_hold()
        assert [row.kind for row in self.breaks()] == []
        assert self.captured() == self._captured_at_providers()
        for account, gateway in self.gateways:
            if not gateway.capabilities.lists_balance:
                continue
            with self.engine.connect() as conn:
                lines = tie_out.compare_balances(conn, account, gateway.balance())
                held = stored_tie_out.clearing(conn, account)
            assert {line.currency: line.unexplained for line in lines if line.unexplained} == {}
            assert held == {line.currency: line.provider for line in lines}, account

    def _captured_at_providers(self) -> dict[str, int]:
        sums: dict[str, int] = {}
        for psp in self.psps.values():
            for currency, amount in psp.captured().items():
                sums[currency] = sums.get(currency, 0) + amount
        return sums

    def captured(self) -> dict[str, int]:
        with self.engine.connect() as conn:
            rows = conn.execute(
                text(
                    "SELECT currency, sum(amount_captured) AS amount FROM payments"
                    " WHERE captured_at IS NOT NULL GROUP BY currency"
                )
            )
            return {row.currency: int(row.amount) for row in rows}


def moments(rows: Sequence[Any], name: str) -> list[str]:
    """Return one column of instants as days, to compare with what a story says."""
    return [f"{getattr(row, name):%Y-%m-%d}" for row in rows]
