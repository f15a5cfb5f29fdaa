"""Taxes that a provider computes: asked before the invoice, stored, recorded, and taken back."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from billing.errors import BillingError, ErrorCode
from billing.flows import prove
from billing.flows.credit_notes import issuing as notes
from billing.flows.credit_notes.drafting import Asked
from billing.flows.invoices import ordering, voiding
from billing.flows.policy import ExternalTaxes, TaxPolicy
from billing.flows.taxes import asking, sending
from billing.ids import new_id
from billing.pricing import Return
from billing.queries import taxes
from billing.rules.credit_notes import Destination
from billing.rules.item_changes import Applies
from billing.rules.money import half_up
from billing.rules.promises import Finding, FindingKind
from billing.store.engine import make_engine
from billing.store.payments.credit_notes import CreditNote
from billing.store.payments.invoices import Invoice
from billing.tax import Seller
from tests.scenarios.test_item_changes import change
from tests.scenarios.test_one_off_invoices import order
from tests.scenarios.test_taxes import (
    CATALOG,
    OPERATOR,
    explained,
    invoiced,
    levied,
    owed,
    subscribed,
    taxed_in,
    taxes_of,
)
from tests.scenarios.world import World

CODES = {"books": "txcd_10302000", "services": "txcd_20030000"}
TWELVE = """
product = "Atlas"

[[plan]]
code = "atlas"
every = "1 month"

  [[plan.version]]
  effective = 2026-01-01
  tax = { class = "saas" }

    [[plan.version.item]]
    code = "base"
    price = { USD = "99.37" }

    [[plan.version.item]]
    code = "handbook"
    price = { USD = "12.49" }
    tax = { class = "books" }

    [[plan.version.item]]
    code = "support"
    price = { USD = "57.13" }
    tax = { class = "services" }

    [[plan.version.item]]
    code = "seats"
    per = "seat"
    quantity = { min = 0, max = 100, default = 3 }
    price = { USD = "9.99" }
"""
LOS_ANGELES = {"country": "US", "region": "CA", "postal_code": "91101"}
CALCULATE = "/v1/tax/calculations"
RECORD = "/v1/tax/transactions/create_from_calculation"
REVERSE = "/v1/tax/transactions/create_reversal"


@pytest.fixture
def world(world: World) -> World:
    world.publish(CATALOG)
    policy = TaxPolicy(Seller(""), external=ExternalTaxes(world.provider, CODES))
    world.policy = replace(world.policy, tax=policy)
    world.runtime.__dict__["policy"] = world.policy
    return world


def fault(world: World, kind: str, path: str, times: int = 1) -> None:
    match = {"method": "POST", "path": path}
    world.psp._control("POST", "faults", kind=kind, times=times, delay_ms=100, match=match)


def calls(world: World) -> list[tuple[str, str]]:
    """Return the kind and the state of every call about taxes, in the order in which they began."""
    query = text("SELECT kind, state FROM tax_calls ORDER BY asked_at, id")
    with world.engine.connect() as conn:
        return [(row.kind, row.state) for row in conn.execute(query)]


def recorded(world: World) -> dict[str, dict[str, Any]]:
    """Return the provider's transactions of taxes by their reference."""
    query = text("SELECT provider_ref FROM tax_calls WHERE kind <> 'calculation'")
    with world.engine.connect() as conn:
        names = list(conn.execute(query).scalars())
    found = [
        world.psp._http.get(
            f"{world.psp._url}/v1/tax/transactions/{name}",
            params={"expand[]": "line_items"},
            timeout=60,
        ).json()
        for name in names
    ]
    assert world.psp._control("GET", "stats")["objects"].get("tax.transaction", 0) == len(found)
    return {each["reference"]: each for each in found}


def taxes_at_provider(world: World) -> int:
    """Return the sum of all taxes that the provider has on record, what was taken back less."""
    return sum(
        line["amount_tax"]
        for each in recorded(world).values()
        for line in each["line_items"]["data"]
    )


def give_back(
    world: World, invoice: Invoice, *returns: Return, to: Destination = Destination.CREDIT
) -> CreditNote:
    with world.engine.begin() as conn:
        return notes.issue(
            conn,
            invoice.id,
            Asked(tuple(returns)),
            destination=to,
            reason="returned",
            actor=OPERATOR,
            now=world.now,
        )


def test_an_invoice_is_issued_once_the_provider_has_computed_its_taxes(world: World) -> None:
    ada = subscribed(world, country="DE")

    assert world.open().waiting
    assert invoiced(world, ada) == []
    assert world.send_taxes() == 1
    world.run_until("2026-01-02")

    (invoice,) = invoiced(world, ada)
    assert (invoice.net, invoice.tax, invoice.total) == (10999, 2090, 13089)
    assert levied(world, invoice) == [("DE", "standard", "19", 10999, 2090)]
    assert "VAT in DE, standard, 19 % of 109.99 EUR, on top: 20.90 EUR." in explained(
        world, invoice
    )
    assert list(recorded(world)) == [str(invoice.id)]
    assert world.psp.captures(ada) == 1
    assert (owed(world), taxes_at_provider(world)) == (2090, 2090)
    world.assert_everything_adds_up()


def test_a_price_may_contain_what_the_provider_computes(world: World) -> None:
    ada = subscribed(world, "notes-gross", country="DE")

    world.run_until("2026-01-02")

    (invoice,) = invoiced(world, ada)
    assert levied(world, invoice) == [
        ("DE", "standard", "19", 8403, 1597),
        ("DE", "reduced", "7", 935, 65),
    ]
    assert (invoice.net, invoice.tax, invoice.total) == (9338, 1662, 11000)
    give_back(world, invoice, Return(0, 5000))
    world.run_until("2026-01-03")
    assert owed(world) == taxes_at_provider(world)
    world.assert_everything_adds_up()


def test_twelve_taxes_of_four_places_sum_to_what_is_printed_and_so_do_their_notes(
    world: World,
) -> None:
    world.publish(TWELVE)
    customer_id, provider_id = world.customer()
    taxed_in(world, str(customer_id), **LOS_ANGELES)
    ada = world.subscribe(customer_id, provider_id, "atlas", "USD")
    world.run_until("2026-01-02")

    (invoice,) = invoiced(world, ada)
    taxes = taxes_of(world, invoice)
    assert len(taxes) == 12
    assert len({each.name for each in taxes}) == 4
    assert sum(each.amount for each in taxes) == invoice.tax
    assert invoice.total == invoice.net + invoice.tax
    assert taxes_at_provider(world) == invoice.tax == owed(world)

    first = give_back(world, invoice, Return(0, 3333), Return(1), Return(3, 1001))
    world.run_until("2026-01-03")
    assert taxes_at_provider(world) == invoice.tax - first.tax == owed(world)
    second = give_back(world, invoice, Return(0), Return(2), Return(3))
    world.run_until("2026-01-04")
    assert (first.net + second.net, first.tax + second.tax) == (invoice.net, invoice.tax)
    assert taxes_at_provider(world) == owed(world) == 0
    world.assert_everything_adds_up()


def test_a_month_of_customers_in_four_places_is_on_record_as_it_is_owed(world: World) -> None:
    places = [
        {"country": "DE"},
        {"country": "US", "region": "NY", "postal_code": "10001"},
        {"country": "CA", "region": "QC", "postal_code": "H2X"},
        {"country": "FR", "vat_id": "FR40303265045"},
    ]
    for place in places:
        subscribed(world, **place)

    world.run_until("2026-02-02")

    assert len(recorded(world)) == 8
    assert taxes_at_provider(world) == owed(world) > 0
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    ("known", "expected", "said"),
    [
        (
            {"country": "FR", "vat_id": "FR40303265045"},
            ("FR", "reverse_charge", "0", 10999, 0),
            "reverse charge",
        ),
        (
            {"country": "DE", "exempt": "a school"},
            ("DE", "exempt", "0", 10999, 0),
            "customer_exempt",
        ),
        ({"country": "JP"}, ("JP", "not_registered", "0", 10999, 0), "isn't registered"),
    ],
)
def test_why_nothing_is_levied_is_kept_and_told(
    world: World, known: dict[str, str], expected: tuple[str, str, str, int, int], said: str
) -> None:
    ada = subscribed(world, **known)

    world.run_until("2026-01-02")

    (invoice,) = invoiced(world, ada)
    assert levied(world, invoice) == [expected]
    assert said in explained(world, invoice)
    world.assert_everything_adds_up()


@pytest.mark.parametrize("kind", ["reset_before", "reset_after_commit", "error_500", "hang_before"])
@pytest.mark.parametrize("path", [CALCULATE, RECORD, REVERSE])
def test_a_lost_answer_is_asked_for_and_never_failed(world: World, kind: str, path: str) -> None:
    ada = subscribed(world, country="DE")
    fault(world, kind, path)

    world.run_until("2026-01-02")
    (invoice,) = invoiced(world, ada)
    give_back(world, invoice, Return(0))
    world.run_until("2026-01-04")

    assert calls(world) == [
        ("calculation", "answered"),
        ("record", "answered"),
        ("reversal", "answered"),
    ]
    assert taxes_at_provider(world) == owed(world) == 190
    world.assert_everything_adds_up()


@pytest.mark.parametrize("kind", ["calculation", "record", "reversal"])
def test_a_worker_that_dies_between_the_answer_and_its_commit_loses_nothing(
    world: World, kind: str
) -> None:
    ada = subscribed(world, country="DE")
    world.open()
    if kind != "calculation":
        world.send_taxes()
        world.open()
    if kind == "reversal":
        world.run_until("2026-01-02")
        give_back(world, invoiced(world, ada)[0], Return(0))
    (call_id,) = sending.dispatch_due(world.context(), limit=5)
    sent = sending.begin(world.context(), call_id)
    assert sent is not None
    assert sent.call.kind == kind
    sending.attempt(world.context(), sent)  # and dies

    assert sending.begin(world.context(), call_id) is None, "it is leased"
    world.wait(world.policy.lease)
    world.run_until("2026-01-03")

    assert all(state == "answered" for _, state in calls(world))
    assert taxes_at_provider(world) == owed(world)
    world.assert_everything_adds_up()


def test_a_message_that_comes_twice_and_late_changes_nothing(world: World) -> None:
    ada = subscribed(world, country="DE")
    world.open()
    (call_id,) = sending.dispatch_due(world.context(), limit=5)
    sent = sending.begin(world.context(), call_id)
    assert sent is not None
    answer = sending.attempt(world.context(), sent)

    states = [sending.finish(world.context(), sent, answer) for _ in range(2)]
    assert sending.begin(world.context(), call_id) is None
    world.run_until("2026-01-02")

    assert states == ["answered", "answered"]
    assert len(invoiced(world, ada)) == 1
    assert len(recorded(world)) == 1
    world.assert_everything_adds_up()


def test_a_silent_provider_makes_the_invoice_wait_and_never_untaxed(world: World) -> None:
    ada = subscribed(world, country="DE")
    fault(world, "reset_before", CALCULATE, times=1000)

    world.open()
    for _ in range(20):
        world.send_taxes()
        world.wait(world.policy.unknown_backoff_max)
    assert not world.open().seen
    assert invoiced(world, ada) == []
    assert world.subscription(ada).parked_at is None
    with world.engine.connect() as conn:
        (waiting,) = taxes.waiting(conn)
    assert (waiting.kind, waiting.state, waiting.error_class) == (
        "calculation",
        "open",
        "connection",
    )
    world.assert_promises_hold()

    world.psp.heal()
    world.run_until("2026-01-02")
    assert [each.tax for each in invoiced(world, ada)] == [2090]
    world.assert_everything_adds_up()


def test_a_calculation_without_an_answer_for_half_a_day_is_asked_for_anew(world: World) -> None:
    ada = subscribed(world, country="DE")
    fault(world, "reset_before", CALCULATE, times=1000)
    world.open()
    world.send_taxes()
    world.jump_to("2026-01-01 12:00")
    world.wait(world.policy.unknown_backoff_max)
    world.psp.heal()

    world.run_until("2026-01-04")

    assert calls(world)[:2] == [("calculation", "lapsed"), ("calculation", "answered")]
    assert [each.tax for each in invoiced(world, ada)] == [2090]
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ({"country": "US", "region": "CA"}, "place_refused"),
        ({"country": "KP"}, "place_not_supported"),
    ],
)
def test_a_place_that_the_provider_refuses_waits_for_a_person(
    world: World, known: dict[str, str], why: str
) -> None:
    ada = subscribed(world, **known)

    world.run_until("2026-01-02")

    assert invoiced(world, ada) == []
    parked = world.subscription(ada)
    assert parked.parked_reason == "tax_undecided"
    with world.engine.connect() as conn:
        facts = conn.execute(text("SELECT parked_facts FROM subscriptions")).scalar_one()
    assert facts["why"] == why
    world.assert_promises_hold()

    taxed_in(world, ada.customer, **LOS_ANGELES)
    world.run_until("2026-01-03")
    (invoice,) = invoiced(world, ada)
    assert len(taxes_of(world, invoice)) == 4
    world.assert_everything_adds_up()


def test_who_asks_for_an_invoice_gets_its_taxes_at_once(world: World) -> None:
    customer_id, _ = world.customer()
    taxed_in(world, str(customer_id), country="DE")
    asked = order(customer_id, currency="EUR")

    def create() -> Invoice:
        with world.engine.begin() as conn:
            return ordering.create(conn, asked, new_id(), now=world.now, policy=world.policy)

    made = asking.with_taxes(world.context(), create)

    assert made.tax == 3781
    with world.engine.begin() as conn:
        voiding.void(conn, made.id, now=world.now, actor=OPERATOR, why="a mistake")
    world.run_until("2026-01-02")
    assert set(recorded(world)) == {str(made.id), f"{made.id}:void"}
    assert taxes_at_provider(world) == owed(world) == 0
    world.assert_everything_adds_up()


def test_who_asks_while_the_provider_is_silent_is_told_so_and_nothing_is_issued(
    world: World,
) -> None:
    customer_id, _ = world.customer()
    taxed_in(world, str(customer_id), country="DE")
    asked = order(customer_id, currency="EUR")
    fault(world, "reset_before", CALCULATE)

    def create() -> Invoice:
        with world.engine.begin() as conn:
            return ordering.create(conn, asked, new_id(), now=world.now, policy=world.policy)

    with pytest.raises(BillingError) as refused:
        asking.with_taxes(world.context(), create)
    assert refused.value.code is ErrorCode.TAX_UNDECIDED
    assert refused.value.facts["why"] == "answer_missing"

    world.wait(world.policy.unknown_backoff_max)
    assert asking.with_taxes(world.context(), create).tax == 3781
    assert calls(world)[0] == ("calculation", "answered")
    world.run_until("2026-01-02")
    world.assert_everything_adds_up()


def test_a_change_is_taxed_for_what_it_charges(world: World) -> None:
    ada = subscribed(world, country="DE")
    world.run_until("2026-01-16")

    def more() -> None:
        change(world, ada, Applies.NOW, items={"seats": 11})

    asking.with_taxes(world.context(), more)
    world.run_until("2026-01-17")

    _, added = invoiced(world, ada)
    assert added.tax == half_up(added.net * 19, 100, 1)
    asking.with_taxes(world.context(), lambda: change(world, ada, Applies.NOW, items={"seats": 1}))
    world.run_until("2026-02-02")
    assert taxes_at_provider(world) == owed(world)
    world.assert_everything_adds_up()


def test_what_the_provider_refuses_to_record_waits_for_a_person(world: World) -> None:
    ada = subscribed(world, country="DE")
    world.open()
    world.send_taxes()
    world.open()
    world.psp.forget_everything()
    world.send_taxes()

    assert calls(world) == [("calculation", "answered"), ("record", "refused")]
    with world.engine.connect() as conn:
        (waiting,) = taxes.waiting(conn)
    assert waiting.refusal == "calculation_expired"
    assert len(invoiced(world, ada)) == 1
    assert {each.kind for each in broken(world)} == {FindingKind.TAXES_NOT_RECORDED}


SPOILT = {
    "the record is gone": (
        "DELETE FROM tax_calls WHERE kind = 'record'",
        {FindingKind.TAXES_NOT_RECORDED},
    ),
    "another calculation is recorded": (
        "UPDATE tax_calls SET request = 'taxcalc_other' WHERE kind = 'record'",
        {FindingKind.TAXES_NOT_RECORDED},
    ),
    "another amount was decided": (
        "UPDATE tax_decisions SET response = replace(response, '1900', '1901')",
        {FindingKind.FACTS_AGAINST_DECISION},
    ),
    "another line was asked about": (
        """UPDATE tax_decisions SET request = r.changed,
                  request_digest = encode(sha256(convert_to(r.changed, 'UTF8')), 'hex')
             FROM (SELECT id, replace(request, '"2"', '"3"') AS changed FROM tax_decisions) r
            WHERE r.id = tax_decisions.id""",
        {FindingKind.DECISION_AGAINST_REQUEST, FindingKind.DECISION_AGAINST_CALL},
    ),
    "the calculation is another one": (
        "UPDATE tax_decisions SET provider_ref = 'taxcalc_other'",
        {FindingKind.DECISION_AGAINST_REQUEST, FindingKind.DECISION_AGAINST_CALL},
    ),
}


def broken(world: World) -> list[Any]:
    return [
        finding
        for result in prove.prove(world.engine)
        for finding in result.findings
        if isinstance(finding, Finding)
    ]


@pytest.mark.parametrize(("attack", "expected"), SPOILT.values(), ids=SPOILT)
def test_the_proof_names_what_was_changed_behind_our_back(
    world: World, db_url: str, attack: str, expected: set[FindingKind]
) -> None:
    subscribed(world, country="DE")
    world.run_until("2026-01-02")
    assert broken(world) == []
    owner = make_engine(db_url, role=None)

    with owner.connect() as conn, conn.begin():
        for table in ("tax_decisions", "tax_calls"):
            conn.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
        conn.execute(text(attack))
    owner.dispose()

    assert {finding.kind for finding in broken(world)} == expected
