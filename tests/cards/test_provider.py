"""Card numbers in what comes from the provider: answers, webhooks, settlement reports.

Nobody is there to be refused, and the books have to go on: so words that hold one are taken out,
an id that is one is none, and what can't be taken without it is refused whole.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from billing.cli.remedies import remedy_of
from billing.errors import BillingError
from billing.flows.settlement import report_source, runs
from billing.gateway.gateways import NO_GATEWAYS
from billing.gateway.registry import report_reader
from billing.gateway.reports import ReportFile
from billing.gateway.stripe import objects as reading
from billing.gateway.stripe.methods import read_payment_method
from billing.gateway.untrusted import Malformed
from billing.sandbox import SandboxServer
from tests.cards.indiscreet import Indiscreet
from tests.cards.spelled import SPELLINGS, VISA, found_in
from tests.cards.traces import assert_no_trace, dump
from tests.scenarios.money import (
    apply_events_of_dispute,
    decide,
    give_back,
    open_dispute,
    paid,
    usd,
)
from tests.scenarios.webhook_deliveries import WebhookDeliveries, webhooks_delivered_to
from tests.scenarios.world import World
from tests.waiting import PATIENCE
from tests.webhook_endpoint import event

Json = dict[str, Any]


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every text below a value."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from leaves(part, (*path, name))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from leaves(part, (*path, index))
    elif isinstance(value, str):
        yield path


def spoilt_at(value: Any, path: tuple[Any, ...], leaf: object) -> Any:
    """Return a copy with `leaf` at the end of the way."""
    if not path:
        return leaf
    if isinstance(value, dict):
        return {n: spoilt_at(p, path[1:], leaf) if n == path[0] else p for n, p in value.items()}
    return [spoilt_at(p, path[1:], leaf) if i == path[0] else p for i, p in enumerate(value)]


# --- answers ------------------------------------------------------------------------------------

READERS: dict[str, Callable[[Any], object]] = {
    "payment_intents": reading.read_payment,
    "charges": reading.read_charge,
    "refunds": reading.read_refund,
    "disputes": reading.read_dispute,
    "payouts": reading.read_payout,
    "events": reading.read_event,
    "balance_transactions?expand[]=data.source": reading.read_balance_transaction,
    "payment_methods?type=card": read_payment_method,
    "customers": reading.read_customer,
}


def busy(world: World) -> None:
    """Let the provider have some of everything."""
    ada = paid(world)
    bob = world.subscribed("monthly")
    world.subscribed("monthly", card="pm_card_chargeCustomerFail")
    world.settle()
    give_back(world, world.payment(ada).id, usd(100))
    world.settle()
    world.jump_to("2026-01-12")
    world.psp._control("POST", "payouts", currency="usd")
    open_dispute(world, world.payment(bob).id)


@pytest.mark.parametrize("collection", READERS)
def test_nothing_read_of_an_object_holds_a_card_number(world: World, collection: str) -> None:
    """Whichever text of whichever object the provider puts one into."""
    busy(world)
    joint = "&" if "?" in collection else "?"
    customers = world.psp._http.get(f"{world.psp._url}/v1/customers").json()["data"]
    of_one = f"customer={customers[-1]['id']}&" if "methods" in collection else ""
    url = f"{world.psp._url}/v1/{collection}{joint}{of_one}limit=100"
    page = json.loads(world.psp._http.get(url).text, parse_float=str)
    read, spellings, asked = READERS[collection], cycle(SPELLINGS), 0

    for thing in page["data"]:
        for path in leaves(thing):
            asked += 1
            try:
                found = repr(read(spoilt_at(thing, path, next(spellings))))
            except (Malformed, ValueError) as error:
                found = str(error)
            assert not found_in(found), (path, found)

    assert asked >= 10


def test_the_books_of_a_provider_that_talks_are_kept_without_a_card_number(
    db_url: str, sandbox: SandboxServer, tmp_path: Path, logs: io.StringIO
) -> None:
    """Charges, declines, refunds, disputes, unknown money: all is booked, and no number kept."""
    with (
        Indiscreet(sandbox.url) as provider,
        closing(World(db_url, provider.url, tmp_path / "catalog")) as world,
    ):
        world.publish(PLAIN)
        ada = world.subscribed("plain")
        bob = world.subscribed("plain", card="pm_sbx_decline_2_then_ok")
        world.run_until("2026-01-10")
        give_back(world, world.payment(ada).id, usd(300))
        dispute = open_dispute(world, world.payment(bob).id)
        apply_events_of_dispute(world, dispute)
        world.psp.take_money(700)
        world.run_until("2026-02-15")
        world.close_books()
        decide(world, dispute, "lost")
        apply_events_of_dispute(world, dispute)
        world.psp._control("POST", "payouts", currency="usd")
        world.run_until("2026-03-15")
        world.close_books()

        assert provider.said > 15
        assert world.status(ada) == "active"
        assert [row.last4 for row in cards(world)] == ["4242", "4242"]
        messages = [row.message for row in world.attempts(bob, 0) if row.outcome == "declined"]
        assert messages == ["[card number removed]"] * 2
        assert [row.kind for row in world.breaks()] == ["unknown_at_provider"]
        world.assert_promises_hold()
        assert_no_trace(database=dump(db_url), logs=logs.getvalue() or "no line")


PLAIN = """
product = "Stories"

[[plan]]
code = "plain"
every = "1 month"
retry_after = ["1d", "1d"]
then = "unpaid"

  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "31.00" }
"""


def cards(world: World) -> list[Any]:
    with world.engine.connect() as conn:
        return list(conn.execute(text("SELECT * FROM payment_methods ORDER BY created_at, id")))


def test_a_refusal_of_the_provider_repeats_no_card_number(
    db_url: str, sandbox: SandboxServer, tmp_path: Path, logs: io.StringIO
) -> None:
    with (
        Indiscreet(sandbox.url) as provider,
        closing(World(db_url, provider.url, tmp_path / "catalog")) as world,
    ):
        for token in ("pm_card_visa_chargeDeclined", "pm_nobody_has_this"):
            with pytest.raises(BillingError) as refused:
                world.customer(token)
            assert "[card number removed]" in refused.value.what
            assert not found_in(
                f"{refused.value}{remedy_of(refused.value)}{refused.value.where}{refused.value.facts}"
            )
        assert_no_trace(database=dump(db_url), logs=logs.getvalue() or "no line")


# --- webhooks -----------------------------------------------------------------------------------


@pytest.fixture
def deliveries(world: World) -> Iterator[WebhookDeliveries]:
    """A world whose provider delivers webhooks."""
    with webhooks_delivered_to(world) as deliveries:
        yield deliveries


def test_a_signed_event_with_a_card_number_leaves_none(
    world: World, deliveries: WebhookDeliveries, db_url: str, logs: io.StringIO
) -> None:
    """In every text of the provider's own events, in names, and in what no event has."""
    paid(world)
    deliveries.arrive()
    events = {each["type"]: each for each in deliveries.listed()}
    assert len(events) > 3
    spellings, answers = cycle(SPELLINGS), set()

    for n, whole in enumerate(events.values()):
        odd = [spoilt_at(whole, path, next(spellings)) for path in leaves(whole)]
        odd += [whole | {VISA: 1}, whole | {"note": [VISA]}, whole | {"created": int(VISA)}]
        for m, made in enumerate(odd):
            if made["id"] == whole["id"]:
                made = made | {"id": f"evt_{n}_{m}"}
            answer = deliveries.endpoint.deliver(made)
            answers.add(answer.status_code)
            assert not found_in(answer.text + str(answer.headers))
    for body in (VISA, f'"{VISA}"', f'{{"id": "{VISA}"', f"[{VISA}]"):
        answer = deliveries.endpoint.post(
            body.encode(), content_type="application/json", stripe_signature=f"t={VISA[:10]},v1=a"
        )
        assert (answer.status_code, found_in(answer.text)) == (400, set())
    deliveries.handle()

    assert answers == {200, 400}
    assert len(deliveries.inbox()) > 20
    assert_no_trace(database=dump(db_url), logs=logs.getvalue())
    world.assert_promises_hold()


def test_an_event_about_a_card_number_is_about_nothing(
    world: World, deliveries: WebhookDeliveries
) -> None:
    answer = deliveries.endpoint.deliver(
        event(kind="payment_method.updated", data={"object": {"object": "card", "id": VISA}})
    )

    assert answer.status_code == 200
    (kept,) = deliveries.inbox()
    assert (kept.object_id, kept.handling) == ("", "ignored")


# --- settlement reports -------------------------------------------------------------------------

COLUMNS = (
    "automatic_payout_id", "balance_transaction_id", "created", "available_on", "currency",
    "gross", "fee", "net", "reporting_category", "description", "source_id", "charge_id",
    "payment_intent_id", "customer_facing_amount", "customer_facing_currency",
    "payment_metadata[payment]", "refund_metadata[refund]", "customer_name", "card_number",
)  # fmt: skip
UNREAD = {"description", "customer_name", "card_number", "payment_metadata[payment]",
          "refund_metadata[refund]"}  # fmt: skip


def report(world: World) -> list[dict[str, str]]:
    """Return the provider's own report, with columns beside it that people might add."""
    shown = [name for name in COLUMNS if name not in ("customer_name", "card_number")]
    parameters = {"interval_end": int(world.now.timestamp()), "columns": shown}
    made = world.psp._control(
        "POST", "reports", report_type="ending_balance_reconciliation.itemized.4",
        parameters=parameters,
    )  # fmt: skip
    answer = world.psp._http.get(made["result"]["url"], timeout=PATIENCE)
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    return [dict.fromkeys(COLUMNS, "") | row for row in rows]


def imported(world: World, rows: list[dict[str, str]], file: Path) -> runs.Worked:
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    report = ReportFile(file, report_reader("stripe"))
    run_id = report_source.begin(world.engine, "stripe", report, now=world.now, complete=False)
    return runs.work(run_id, replace(world.runtime.context, gateways=NO_GATEWAYS), report=report)


def test_a_report_with_a_card_number_leaves_none(
    world: World, tmp_path: Path, db_url: str, logs: io.StringIO
) -> None:
    """In every cell the engine reads the report is refused; in others it is read by nobody."""
    subscriber = world.subscribed("video-premium")
    world.run_until("2026-01-02")
    good = report(world)
    spellings = cycle(SPELLINGS)

    for column in COLUMNS:
        for n in range(4):
            bad = [good[0] | {column: next(spellings)}, *good[1:]]
            done = imported(world, bad, tmp_path / f"{COLUMNS.index(column)}-{n}.csv")
            if column in UNREAD or column == "customer_facing_currency":
                continue
            assert done.state == "failed", column
            assert "looks like a card number" in str(done.error), (column, done.error)
            assert f"column {column}" in str(done.error)
            assert not found_in(str(done.error))
    done = imported(world, good, tmp_path / "good.csv")

    assert done.state == "succeeded"
    assert world.payment(subscriber).state == "SETTLED"
    assert_no_trace(database=dump(db_url), logs=logs.getvalue() or "no line")
    world.assert_everything_adds_up()


def test_a_card_number_in_the_header_of_a_report_is_not_repeated(
    world: World, tmp_path: Path
) -> None:
    file = tmp_path / "odd.csv"
    for header in (VISA, f"balance_transaction_id,{VISA}", f'"{VISA}\n'):
        file.write_text(f"{header}\n{VISA}\n")
        odd = ReportFile(file, report_reader("stripe"))
        with pytest.raises(BillingError) as refused:
            report_source.begin(world.engine, "stripe", odd, now=world.now, complete=False)
        assert not found_in(
            f"{refused.value}{remedy_of(refused.value)}{refused.value.where}{refused.value.facts}"
        )
