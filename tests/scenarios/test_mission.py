"""What the engine is for, clause by clause: each one told end to end, through public interfaces.

    Product teams write plans in TOML. A long-running scheduler daemon computes due renewals,
    opens one billing cycle per period and enqueues charge jobs, with an idempotency key that
    follows from subscription and period, to Dramatiq workers. They charge through Stripe and
    record double-entry ledger entries. A reconciler worker compares our books with the
    provider's settlement, corrects drift, alerts finance to what it cannot explain, and closes
    each cycle. Operators watch failed charges on Prometheus dashboards.

The Payment API around it is told in `test_mission_payments`.
"""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import redis
import requests
import stripe
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from billing.workers.daemons.reconciler import Reconciler
from billing.workers.daemons.scheduler import Scheduler
from billing.workers.runtime.health import HealthServer
from billing.workers.runtime.metrics import ProcessMetrics, StateCollector
from billing.workers.up.advance import set_clock
from tests.cli.world import Cli, environment
from tests.delivery.engine_under_test import START, EngineUnderTest
from tests.scenarios.money import NO_TRIAL
from tests.scenarios.queued import parts, through_queue, until_quiet, worker
from tests.scenarios.world import Subscriber, World, at
from tests.waiting import PATIENCE

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


@pytest.fixture
def world_with_queue(world: World, redis_url: str) -> World:
    """A world whose messages go through Valkey."""
    through_queue(world, redis_url)
    world.publish(NO_TRIAL)
    return world


def messages(redis_url: str) -> list[dict[str, Any]]:
    """Return what lies in the queue of charges."""
    with redis.Redis.from_url(redis_url) as client:
        (name,) = [key for key in client.keys("*:charges.msgs")] or [b"none"]
        return [json.loads(value) for value in client.hvals(name)]


def rows(world: World, query: str, **params: Any) -> list[Any]:
    with world.engine.connect() as conn:
        return list(conn.execute(text(query), params))


# --- product teams write plans in TOML ----------------------------------------------------------

GYM = """
product = "Gym"

[[plan]]
code = "gym-monthly"
every = "1 month"
retry_after = ["3d", "5d"]
then = "cancel"

  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "25.00", JPY = "3000" }
"""


def test_product_teams_write_plans_in_toml(world: World, db_url: str, tmp_path: Path) -> None:
    """They check, publish and sell a file; a mistake is told with its line and a remedy."""
    folder = tmp_path / "team"
    folder.mkdir()
    (folder / "config.toml").write_text('[plans]\ncatalog = "gym"\n')
    (folder / "gym").mkdir()
    file = folder / "gym" / "gym.toml"
    team = Cli(folder, dict(environment(
        database__url=db_url, providers__stripe__api_base=world.psp._url,
        providers__stripe__api_key="sk_test_team",
    )))  # fmt: skip

    file.write_text(GYM.replace("every", "evry"))
    mistaken = team.run("plans", "check")
    file.write_text(GYM)
    applied = team.run("plans", "apply", "--yes")

    assert mistaken.exit_code == 2
    assert "gym.toml:6" in mistaken.stderr
    assert "did you mean 'every'?" in mistaken.stderr
    assert applied.exit_code == 0, applied.output
    ada, carl = world.subscribed("gym-monthly"), world.subscribed("gym-monthly", currency="JPY")
    world.run_until("2026-02-15")
    assert [row.total for row in world.invoices(ada)] == [2500, 2500]
    assert [row.total for row in world.invoices(carl)] == [3000, 3000]
    world.assert_everything_adds_up()


# --- a long-running scheduler daemon ------------------------------------------------------------


def test_a_long_running_scheduler_daemon_computes_due_renewals(
    tmp_path: Path, db_url: str, redis_url: str
) -> None:
    """One process, as it is shipped, opens each month of three as the clock gets there."""
    with EngineUnderTest(
        tmp_path, workers=0, reconcilers=0, database__url=db_url, redis__url=redis_url
    ) as engine:
        engine.populate(3)

        def opened() -> int:
            return engine._count("SELECT count(*) FROM cycles")

        def still_due() -> int:
            return engine._count(
                "SELECT count(*) FROM subscriptions, test_clock WHERE renews_at <= now"
            )

        assert opened() == 0, "nothing is due before they begin"
        for months, day in enumerate(("2026-01-02", "2026-02-02", "2026-03-02"), start=1):
            set_clock(engine.runtime, [engine.sandbox], at(day))
            engine.wait_until(lambda: still_due() == 0)
            assert opened() == 3 * months == engine.regular_periods()

        assert engine.runtime.clock.now() - START > timedelta(days=59)
        assert engine.restarts()["scheduler-1"] == 0


def test_the_scheduler_opens_one_billing_cycle_per_period(world_with_queue: World) -> None:
    """However many schedulers tick at once, and whoever tries to write a second one."""
    subscribers = [world_with_queue.subscribed("monthly") for _ in range(10)]
    world_with_queue.jump_to("2026-03-15")  # three months of downtime

    with parts(world_with_queue) as (one, metrics), parts(world_with_queue) as (other, _):
        schedulers = [Scheduler(runtime, metrics) for runtime in (one, other) for _ in range(2)]
        with ThreadPoolExecutor(4) as pool:
            done = list(pool.map(lambda scheduler: scheduler.tick(), schedulers * 3))

    assert sum(tick.opened for tick in done) == 30
    for each in subscribers:
        assert world_with_queue.starts(each) == ["2026-01-01", "2026-02-01", "2026-03-01"]
        ends = [cycle.period_end for cycle in world_with_queue.cycles(each)]
        assert ends[:-1] == [cycle.period_start for cycle in world_with_queue.cycles(each)][1:]
    copied = (
        "INSERT INTO cycles (id, subscription_id, n, kind, period_start, period_end, plan,"
        " plan_version, opened_at) SELECT gen_random_uuid(), subscription_id, n, kind,"
        " period_start, period_end, plan, plan_version, opened_at FROM cycles LIMIT 1"
    )
    with (
        world_with_queue.engine.begin() as conn,
        pytest.raises(DBAPIError, match="unique constraint"),
    ):
        conn.execute(text(copied))
    world_with_queue.settle()
    world_with_queue.assert_everything_adds_up()


def test_it_enqueues_charge_jobs_to_dramatiq_workers(
    world_with_queue: World, redis_url: str
) -> None:
    subscribers = [world_with_queue.subscribed("monthly") for _ in range(5)]
    due: set[str] = set()

    with parts(world_with_queue) as (runtime, metrics):
        scheduler = Scheduler(runtime, metrics)
        assert scheduler.tick().enqueued == 5
        queued = messages(redis_url)
        due = {str(world_with_queue.payment(each).id) for each in subscribers}
        assert {message["args"][0] for message in queued} == due
        assert {message["actor_name"] for message in queued} == {"charge"}
        assert {world_with_queue.payment(each).state for each in subscribers} == {"CREATED"}
        assert world_with_queue.psp.sends() == 0, "the scheduler charges nobody itself"

        with worker(world_with_queue):
            until_quiet(world_with_queue, scheduler)

    assert {world_with_queue.payment(each).state for each in subscribers} == {"CAPTURED"}
    assert messages(redis_url) == []
    world_with_queue.assert_everything_adds_up()


def test_the_idempotency_key_follows_from_subscription_and_period(
    world_with_queue: World, redis_url: str
) -> None:
    """The same key whenever it is sent, seen at the provider: messages lost, doubled, late."""
    ada = world_with_queue.subscribed("monthly", card="pm_sbx_decline_1_then_ok")
    world_with_queue.psp.lose_next_answer(after_commit=True)

    with parts(world_with_queue) as (runtime, metrics), worker(world_with_queue):
        scheduler = Scheduler(runtime, metrics)
        scheduler.tick()
        with redis.Redis.from_url(redis_url) as client:
            client.flushall()
        for _ in range(3):
            charges_again(world_with_queue, ada)
        for day in ("2026-01-01", "2026-01-04", "2026-02-01"):
            world_with_queue.jump_to(day)
            until_quiet(world_with_queue, scheduler)

    keys = [
        f"sandbox:{ada.reference}:{period}:a{n}"
        for period, n in (("20260101T000000Z", 1), ("20260101T000000Z", 2), ("20260201T000000Z", 1))
    ]
    kept = [row.idempotency_key for n in (0, 1) for row in world_with_queue.attempts(ada, n)]
    assert kept == keys
    assert keys_seen_at_provider(world_with_queue) == set(keys)
    assert world_with_queue.psp.captures(ada) == 2
    world_with_queue.assert_everything_adds_up()


def charges_again(world: World, subscriber: Subscriber) -> None:
    """Do what a message that came twice leads to."""
    world.charge(world.payment(subscriber).id)


def keys_seen_at_provider(world: World) -> set[str]:
    """Return the Idempotency-Key headers of charges, as the provider's events tell them."""
    found = world.psp._http.get(f"{world.psp._url}/v1/events", params={"limit": "100"}).json()
    return {
        event["request"]["idempotency_key"]
        for event in found["data"]
        if event["type"] in ("payment_intent.succeeded", "payment_intent.payment_failed")
    }


# --- workers charge and record ------------------------------------------------------------------


def test_workers_charge_through_stripe(world_with_queue: World) -> None:
    """What a worker did is read back by the unmodified SDK, over HTTP."""
    ada = world_with_queue.subscribed("monthly")

    with parts(world_with_queue) as (runtime, metrics), worker(world_with_queue):
        until_quiet(world_with_queue, Scheduler(runtime, metrics))

    with requests.Session() as session:
        client = stripe.StripeClient(
            "sk_test_mission",
            base_addresses={"api": world_with_queue.psp._url},
            http_client=stripe.RequestsClient(session=session),
        )
        payment = world_with_queue.payment(ada)
        found = client.v1.payment_intents.retrieve(str(payment.provider_payment_id))
        charge = client.v1.charges.retrieve(str(found.latest_charge))
    assert (found.status, found.amount_received, found.currency) == ("succeeded", 3100, "usd")
    assert (found.customer, charge.id) == (ada.provider_customer_id, payment.provider_charge_id)
    assert found.metadata["subscription"] == ada.reference
    assert found.metadata["payment"] == str(payment.id)
    assert (charge.captured, charge.amount_captured) == (True, 3100)
    world_with_queue.assert_everything_adds_up()


def test_workers_record_double_entry_ledger_entries(world_with_queue: World) -> None:
    ada = world_with_queue.subscribed("monthly")
    with parts(world_with_queue) as (runtime, metrics), worker(world_with_queue):
        until_quiet(world_with_queue, Scheduler(runtime, metrics))

    lines = rows(
        world_with_queue,
        "SELECT e.kind, a.code, p.amount, p.currency FROM ledger.entries e"
        " JOIN ledger.postings p ON p.entry_id = e.id JOIN ledger.accounts a ON a.id = p.account_id"
        " ORDER BY e.posted_at, e.id, p.line",
    )

    assert sorted(tuple(line) for line in lines) == [
        ("invoice_issued", "deferred_revenue", -3100, "USD"),
        ("invoice_issued", "receivable", 3100, "USD"),
        ("payment_captured", "psp_clearing", 3100, "USD"),
        ("payment_captured", "receivable", -3100, "USD"),
    ]
    assert world_with_queue.payment(ada).amount_captured == 3100
    world_with_queue.assert_books_balance()
    world_with_queue.assert_everything_adds_up()


# --- the reconciler worker ----------------------------------------------------------------------


def test_a_reconciler_worker_compares_our_books_with_the_providers_settlement(
    world: World,
) -> None:
    """Every night, as shipped: what was captured is settled, its fee booked, the balance tied."""
    daily = world.runtime.settings.reconciler.model_copy(update={"settle_every": timedelta(days=1)})
    nightly = world.runtime.settings.model_copy(update={"reconciler": daily})
    world.runtime.__dict__["settings"] = nightly
    reconciler = Reconciler(world.runtime, world.metrics)
    world.publish(NO_TRIAL)
    ada = world.subscribed("monthly")
    world.settle()

    runs = []
    for moment in ("2026-01-01 06:00", "2026-01-01 23:00", "2026-01-02 00:00", "2026-01-02 12:00",
                   "2026-01-03 00:05"):  # fmt: skip
        world.jump_to(moment)
        reconciler.tick()
        runs.append(len(rows(world, "SELECT 1 FROM reconciliation_runs")))

    assert runs == [1, 1, 2, 2, 3], "one a night, and one for the night before the first"
    assert world.payment(ada).state == "SETTLED"
    assert world.gateway.balance() == {"USD": 3100 - 120}, "2.9 % and 30 cents are the provider's"
    assert world.entries("fee_settled") == 1
    world.assert_everything_adds_up()


def pay_behind_our_back(world: World, customer: Subscriber) -> None:
    """Let a customer pay at the provider what we have given up."""
    intent = world.payment(customer).provider_payment_id
    card = world.psp.post(
        "payment_methods/pm_card_visa/attach", customer=customer.provider_customer_id
    )
    world.psp.post(
        f"payment_intents/{intent}/confirm", payment_method=card["id"], off_session="true"
    )


def test_it_corrects_drift_with_evidence(world: World) -> None:
    world.publish(NO_TRIAL)
    ada = world.subscribed("monthly", card="pm_sbx_stolen_card")
    world.run_until("2026-01-02")
    assert world.payment(ada).state == "FAILED"
    pay_behind_our_back(world, ada)

    world.close_books()

    payment = world.payment(ada)
    (forced,) = rows(world, "SELECT * FROM payment_transitions WHERE cause = 'forced_correction'")
    assert (forced.from_state, forced.to_state) == ("FAILED", "CAPTURED")
    assert forced.evidence["charge"] == payment.provider_charge_id
    assert (forced.evidence["was"], forced.evidence["amount"]) == ("FAILED", 3100)
    assert (payment.state, world.invoices(ada)[0].status) == ("SETTLED", "paid")
    world.assert_everything_adds_up()


def test_it_alerts_finance_to_what_it_cannot_explain(world: World) -> None:
    """A charge of nobody's is a break, a figure that is scraped, and a rule that fires on it."""
    world.publish(NO_TRIAL)
    world.subscribed("monthly")
    world.settle()
    registry = CollectorRegistry()
    registry.register(StateCollector(world.runtime))
    name = "billing_reconciliation_breaks_open"
    labels = {"provider": "stripe", "kind": "unknown_at_provider"}
    world.close_books()
    before = registry.get_sample_value(name, labels)
    world.psp.take_money(700)

    world.close_books()

    (found,) = world.breaks()
    assert (found.kind, found.theirs["amount"], found.ours) == ("unknown_at_provider", 700, {})
    assert (before, registry.get_sample_value(name, labels)) == (0, 1)
    rule = (DEPLOY / "prometheus" / "rules.yml").read_text().split("alert: BillingBreaksOpen")[1]
    assert f"expr: max by (provider, kind) ({name}) > 0" in rule.split("alert:")[0]
    world.assert_promises_hold()


def test_it_closes_each_cycle(world: World) -> None:
    """Paid or written off, resolved, and settled: then nothing is posted to it any more."""
    world.publish(NO_TRIAL)
    ada = world.subscribed("monthly")
    bob = world.subscribed("monthly", card="pm_sbx_stolen_card")
    world.settle()
    assert {cycle.state for each in (ada, bob) for cycle in world.cycles(each)} == {"opened"}

    world.run_until("2026-02-02")
    world.close_books()

    closed = [cycle for each in (ada, bob) for cycle in world.cycles(each)]
    assert [cycle.state for cycle in closed] == ["closed"] * 3
    assert all(re.fullmatch("[0-9a-f]{64}", cycle.digest or "") for cycle in closed)
    late = text(
        "INSERT INTO ledger.entries (kind, source_key, payload_hash, effective_at, cycle_id)"
        " VALUES ('late', 'late:1', sha256('x'), now(), :cycle)"
    )
    with pytest.raises(DBAPIError, match="closed"), world.engine.begin() as conn:
        post_late(conn, late, closed[0].id)
    world.assert_everything_adds_up()


def post_late(conn: Connection, entry: Any, cycle_id: Any) -> None:
    conn.execute(entry, {"cycle": cycle_id})
    conn.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))


# --- operators watch ----------------------------------------------------------------------------


def failed_charge_panels() -> dict[str, list[str]]:
    """Return the metrics that each panel about failed charges asks for."""
    dashboard = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
    panels = [each for row in dashboard["panels"] for each in (row, *row.get("panels", ()))]
    found = {
        panel["title"]: [
            name
            for target in panel.get("targets", ())
            for name in re.findall(r"\bbilling_charge_(?:failures|rejections)\w+", target["expr"])
        ]
        for panel in panels
    }
    return {title: names for title, names in found.items() if names}


def scraped(server: HealthServer) -> dict[str, float]:
    """Return what a page of metrics shows, added up over labels."""
    with urlopen(f"{server.url}/metrics", timeout=PATIENCE) as answer:
        page = answer.read().decode()
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0) + sample.value
            for label in ("decline_class", "decline_code"):
                if label in sample.labels:
                    name = f"{sample.name} by {sample.labels[label]}"
                    sums[name] = sums.get(name, 0) + sample.value
    return sums


def test_operators_watch_failed_charges_on_prometheus_dashboards(world: World) -> None:
    """Each metric of each panel about failed charges is exported, and moves when one fails."""
    panels = failed_charge_panels()
    assert set(panels) >= {"Attempts and failures", "Failed charges by class",
                           "Failed charges by code"}  # fmt: skip
    world.publish(NO_TRIAL)
    world.subscribed("monthly")
    world.subscribed("monthly", card="pm_sbx_insufficient_1_then_ok")
    world.rename_at_provider(world.subscribed("monthly"), "cus_gone")
    world.metrics = ProcessMetrics(CollectorRegistry(), "world", "0")  # as a process begins

    with HealthServer(world.metrics.registry) as server:
        before = scraped(server)
        world.settle()
        after = scraped(server)

    moved = {name: after[name] - before.get(name, 0) for name in after}
    for title, names in panels.items():
        for name in names:
            assert name in before, f"{title} asks for {name}, which nobody exports"
            assert moved[name] == 1, f"{title}: {name}"
    assert moved["billing_charge_failures_total by insufficient_funds"] == 1
    assert moved["billing_charge_failures_total by soft"] == 1
    assert moved["billing_charge_attempts_total"] == 3
    world.run_until("2026-01-10")
    world.close_books()
    world.assert_promises_hold()
