"""Taxes, from the catalog to the invoice: decided first, stored, priced, and never left out."""

from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import text

from billing.errors import BadInput, BillingError, ErrorCode
from billing.flows.credit_notes import issuing as notes
from billing.flows.credit_notes import recomputing as noted
from billing.flows.credit_notes.drafting import Asked
from billing.flows.customers.tax_facts import TaxFactsOrder, set_facts
from billing.flows.cycles import recomputing
from billing.flows.invoices import ordering
from billing.flows.policy import TaxPolicy
from billing.ids import new_id
from billing.presenters.explain import sections
from billing.pricing import Return
from billing.queries import taxes
from billing.queries.explain import explain_invoice
from billing.rules.actor import Actor, ActorKind
from billing.rules.credit_notes import Destination
from billing.rules.item_changes import Applies
from billing.rules.money import Money, half_up
from billing.rules.promises import FindingKind
from billing.store.engine import make_engine
from billing.store.payments import invoices, tax_decisions
from billing.store.payments.invoices import Invoice
from billing.store.payments.tax_decisions import InvoiceTax
from billing.store.subscriptions import item_changes
from billing.tax import Seller
from tests.scenarios.money import (
    apply_events_of_refund,
    fail_at_provider,
    give_back,
    refund_row,
)
from tests.scenarios.test_item_changes import change
from tests.scenarios.test_one_off_invoices import order
from tests.scenarios.world import Subscriber, World, at

OPERATOR = Actor(ActorKind.CLI, "operator")
CATALOG = """
product = "Notes"

[[plan]]
code = "notes"
every = "1 month"

  [[plan.version]]
  effective = 2026-01-01
  tax = { class = "saas" }

    [[plan.version.item]]
    code = "base"
    price = { EUR = "100.00" }

    [[plan.version.item]]
    code = "seats"
    per = "seat"
    quantity = { min = 0, max = 100, default = 1 }
    price = { EUR = "9.99" }

[[plan]]
code = "notes-gross"
every = "1 month"

  [[plan.version]]
  effective = 2026-01-01
  tax = { class = "saas", included = true }

    [[plan.version.item]]
    code = "base"
    price = { EUR = "100.00" }

    [[plan.version.item]]
    code = "handbook"
    price = { EUR = "10.00" }
    tax = { class = "books" }

[[tax_rate]]
country = "DE"
class = "saas"
name = "USt"
rate = "19"
from = 2021-01-01

[[tax_rate]]
country = "DE"
class = "books"
name = "USt"
rate = "7"
from = 2021-01-01
treatment = "reduced"

[[tax_rate]]
country = "IT"
class = "saas"
name = "IVA"
rate = "22"
from = 2013-10-01

[[tax_rate]]
country = "IT"
class = "books"
name = "IVA"
rate = "4"
from = 2013-10-01
treatment = "reduced"

[[tax_rate]]
country = "DE"
class = "standard"
name = "USt"
rate = "19"
from = 2021-01-01
"""


@pytest.fixture
def world(world: World) -> World:
    world.publish(CATALOG)
    sell_from(world, Seller("DE"))
    return world


def sell_from(world: World, seller: Seller) -> None:
    world.policy = replace(world.policy, tax=TaxPolicy(seller))
    world.runtime.__dict__["policy"] = world.policy


def taxed_in(world: World, customer: str, **known: str | None) -> None:
    with world.engine.begin() as conn:
        set_facts(conn, TaxFactsOrder(customer, **known), now=world.now, actor=OPERATOR)  # type: ignore[arg-type]


def subscribed(world: World, plan: str = "notes", **known: str | None) -> Subscriber:
    customer_id, provider_id = world.customer()
    if known:
        taxed_in(world, str(customer_id), **known)
    return world.subscribe(customer_id, provider_id, plan, "EUR")


def invoiced(world: World, owner: Subscriber) -> list[Invoice]:
    with world.engine.connect() as conn:
        query = text("SELECT id FROM invoices WHERE customer_id = :id ORDER BY issued_at, number")
        ids = list(conn.execute(query, {"id": owner.customer_id}).scalars())
        found = [invoices.find(conn, str(each)) for each in ids]
    return [each for each in found if each is not None]


def taxes_of(world: World, invoice: Invoice) -> list[InvoiceTax]:
    with world.engine.connect() as conn:
        return tax_decisions.of_invoice(conn, invoice.id)


def explained(world: World, invoice: Invoice) -> str:
    with world.engine.connect() as conn:
        found = sections(explain_invoice(conn, invoice.id, world.now))
    return "\n".join(sentence for section in found for sentence in section.sentences)


def owed(world: World) -> int:
    """Return what the journal says of taxes that are owed, in minor units."""
    query = text(
        "SELECT coalesce(-sum(l.amount), 0) FROM ledger.postings l"
        "  JOIN ledger.accounts a ON a.id = l.account_id WHERE a.code = 'tax_payable'"
    )
    with world.engine.connect() as conn:
        return int(conn.execute(query).scalar_one())


def levied(world: World, invoice: Invoice) -> list[tuple[str, str, str, int, int]]:
    return [
        (each.jurisdiction, each.treatment, each.rate, each.base, each.amount)
        for each in taxes_of(world, invoice)
    ]


def test_tax_comes_on_top_of_prices_and_is_collected(world: World) -> None:
    ada = subscribed(world, country="DE")

    world.run_until("2026-02-15")

    first, second = invoiced(world, ada)
    assert (first.net, first.tax, first.total, first.due) == (10999, 2090, 13089, 13089)
    assert levied(world, first) == [("DE", "standard", "19", 10999, 2090)]
    assert second.tax == 2090
    assert world.psp.captures(ada) == 2
    assert "USt in DE, standard, 19 % of 109.99 EUR, on top: 20.90 EUR." in explained(world, first)
    assert owed(world) == 2 * 2090
    world.assert_everything_adds_up()


def test_a_price_may_contain_its_tax_and_each_class_has_its_rate(world: World) -> None:
    ada = subscribed(world, "notes-gross", country="DE")

    world.run_until("2026-01-15")

    (invoice,) = invoiced(world, ada)
    # 100.00 x 19/119 = 15.966..., 10.00 x 7/107 = 0.654...
    assert levied(world, invoice) == [
        ("DE", "standard", "19", 8403, 1597),
        ("DE", "reduced", "7", 935, 65),
    ]
    assert (invoice.net, invoice.tax, invoice.total) == (9338, 1662, 11000)
    world.assert_everything_adds_up()


def test_a_business_of_another_member_state_owes_the_tax_itself(world: World) -> None:
    ada = subscribed(world, country="IT", vat_id="IT 00743110157")

    world.run_until("2026-01-15")

    (invoice,) = invoiced(world, ada)
    assert levied(world, invoice) == [("IT", "reverse_charge", "0", 10999, 0)]
    assert invoice.total == 10999
    assert "reverse charge, VAT id IT00743110157" in explained(world, invoice)
    world.assert_everything_adds_up()


PLACES = {
    "TX-031: at home": ({"country": "DE"}, ("DE", "standard", "19")),
    "TX-032: in another member state": ({"country": "IT"}, ("IT", "standard", "22")),
    "TX-033: a business there": (
        {"country": "IT", "vat_id": "IT00743110157"}, ("IT", "reverse_charge", "0"),
    ),
    "TX-034: a business at home": (
        {"country": "DE", "vat_id": "DE136695976"}, ("DE", "standard", "19"),
    ),
    "outside the EU": ({"country": "US", "region": "NY"}, ("US", "exempt", "0")),
    "TX-027: an exemption": ({"country": "DE", "exempt": "a school"}, ("DE", "exempt", "0")),
}  # fmt: skip


@pytest.mark.parametrize(("known", "expected"), PLACES.values(), ids=PLACES)
def test_where_something_is_taxed(
    world: World, known: dict[str, str], expected: tuple[str, str, str]
) -> None:
    ada = subscribed(world, **known)

    world.run_until("2026-01-02")

    (invoice,) = invoiced(world, ada)
    assert [each[:3] for each in levied(world, invoice)] == [expected]
    world.assert_everything_adds_up()


def test_an_invoice_waits_until_its_tax_can_be_decided(world: World) -> None:
    ada = subscribed(world)

    world.run_until("2026-01-03")

    assert invoiced(world, ada) == []
    assert world.subscription(ada).parked_reason == "tax_undecided"

    taxed_in(world, ada.customer, country="DE")
    world.run_until("2026-01-04")

    (invoice,) = invoiced(world, ada)
    assert invoice.tax == 2090
    assert world.subscription(ada).parked_at is None
    world.assert_everything_adds_up()


def test_a_country_without_a_rate_waits_for_one(world: World) -> None:
    ada = subscribed(world, country="FR")

    world.run_until("2026-01-03")

    assert invoiced(world, ada) == []
    rates = """
[[tax_rate]]
country = "FR"
class = "{0}"
name = "TVA"
rate = "20"
from = 2014-01-01
"""
    world.publish(CATALOG + "".join(rates.format(each) for each in ("saas", "books", "standard")))
    world.run_until("2026-01-04")

    (invoice,) = invoiced(world, ada)
    assert levied(world, invoice) == [("FR", "standard", "20", 10999, 2200)]


def test_who_moves_is_taxed_elsewhere_from_the_next_invoice_on(world: World) -> None:
    ada = subscribed(world, country="DE")
    world.run_until("2026-01-15")
    taxed_in(world, ada.customer, country="IT")

    world.run_until("2026-02-15")

    first, second = invoiced(world, ada)
    assert levied(world, first)[0][:3] == ("DE", "standard", "19")
    assert levied(world, second)[0][:3] == ("IT", "standard", "22")
    with world.engine.begin() as conn:
        note = notes.issue(
            conn,
            first.id,
            Asked(),
            destination=Destination.CREDIT,
            reason="a gift",
            actor=OPERATOR,
            now=world.now,
        )
    assert (note.net, note.tax) == (first.net, first.tax)
    world.assert_everything_adds_up()


def test_taxes_are_summed_up_by_place_with_what_was_taken_back(world: World) -> None:
    ada, bob = subscribed(world, country="DE"), subscribed(world, country="IT")
    world.run_until("2026-01-15")
    (invoice,) = invoiced(world, ada)
    with world.engine.begin() as conn:
        notes.issue(
            conn,
            invoice.id,
            Asked([Return(0, 5000)]),
            destination=Destination.CREDIT,
            reason="half",
            actor=OPERATOR,
            now=world.now,
        )
    world.run_until("2026-02-15")

    with world.engine.connect() as conn:
        every = taxes.totals(conn, None, None)
        february = taxes.totals(conn, at("2026-02-01"), None)
        payable = taxes.payable(conn)

    assert [
        (each.jurisdiction, each.invoices, each.base, each.amount, each.base_back, each.amount_back)
        for each in every
    ] == [("DE", 2, 21998, 4180, 5000, 950), ("IT", 2, 21998, 4840, 0, 0)]
    assert [(each.jurisdiction, each.base, each.owed) for each in february] == [
        ("DE", 10999, 2090),
        ("IT", 10999, 2420),
    ]
    owed = sum(each.owed for each in every)
    assert [(each.currency, each.owed, each.otherwise) for each in payable] == [("EUR", owed, 0)]
    assert len(invoiced(world, bob)) == 2
    world.assert_everything_adds_up()


def test_a_refund_without_a_note_is_told_apart(world: World) -> None:
    ada = subscribed(world, country="DE")
    world.run_until("2026-01-15")
    give_back(world, world.payment(ada).id)
    world.settle()

    with world.engine.connect() as conn:
        (total,), (payable,) = taxes.totals(conn, None, None), taxes.payable(conn)

    assert (total.amount, total.refunded, total.base_lost, total.owed) == (2090, 2090, 10999, 0)
    assert (payable.owed, payable.otherwise) == (0, 0)
    world.assert_everything_adds_up()


CANADIAN = """
[[tax_rate]]
country = "CA"
class = "saas"
name = "GST"
rate = "5"
from = 2021-01-01

[[tax_rate]]
country = "CA"
region = "QC"
class = "saas"
name = "QST"
rate = "9.975"
from = 2021-01-01
"""


def test_what_went_back_is_split_over_the_taxes_of_its_lines(world: World) -> None:
    """A third of what was paid goes back, and a month later the refund fails."""
    plan, _, _ = CATALOG.partition('[[plan]]\ncode = "notes-gross"')
    canadian = plan.replace("EUR", "CAD").replace('"notes"', '"notes-ca"')
    world.publish(canadian + CANADIAN)
    sell_from(world, Seller("CA", frozenset({"CA-QC"})))
    customer_id, provider_id = world.customer()
    taxed_in(world, str(customer_id), country="CA", region="QC")
    ada = world.subscribe(customer_id, provider_id, "notes-ca", "CAD")
    world.run_until("2026-01-15")
    refund = give_back(world, world.payment(ada).id, Money(4215, "CAD"))
    world.settle()

    assert lost_by(world) == [("CA", "GST", 3666, 184), ("CA-QC", "QST", 3666, 365)]
    world.run_until("2026-02-15")
    fail_at_provider(world, refund)
    apply_events_of_refund(world, provider_refund_of(world, refund))

    assert lost_by(world) == [("CA", "GST", 0, 0), ("CA-QC", "QST", 0, 0)]
    assert lost_by(world, since="2026-02-01") == [
        ("CA", "GST", -3666, -184), ("CA-QC", "QST", -3666, -365),
    ]  # fmt: skip
    world.assert_everything_adds_up()


def lost_by(world: World, since: str | None = None) -> list[tuple[str, str, int, int]]:
    with world.engine.connect() as conn:
        found = taxes.totals(conn, None if since is None else at(since), None)
        assert [each.otherwise for each in taxes.payable(conn)] == [0]
    return [(each.jurisdiction, each.name, each.base_lost, each.lost) for each in found]


def provider_refund_of(world: World, refund_id: UUID) -> str | None:
    return refund_row(world, refund_id).provider_refund_id


def test_a_write_off_is_lost_where_it_was_taxed(world: World) -> None:
    customer_id, provider_id = world.customer("pm_card_chargeCustomerFail")
    taxed_in(world, str(customer_id), country="IT")
    world.subscribe(customer_id, provider_id, "notes", "EUR")

    world.run_until("2026-03-15")

    with world.engine.connect() as conn:
        (total,), (payable,) = taxes.totals(conn, None, None), taxes.payable(conn)
    assert (total.jurisdiction, total.base_lost, total.written_off) == ("IT", 10999, 2420)
    assert (total.owed, payable.owed, payable.otherwise) == (0, 0, 0)
    world.assert_everything_adds_up()


def test_equal_invoices_of_a_day_have_one_decision(world: World) -> None:
    several = [subscribed(world, country="DE") for _ in range(3)]

    world.run_until("2026-01-02")

    decisions = {
        tax.decision_id
        for each in several
        for invoice in invoiced(world, each)
        for tax in taxes_of(world, invoice)
    }
    assert len(decisions) == 1


def test_a_change_now_is_taxed_as_its_period_and_its_notes_return_the_tax(world: World) -> None:
    ada = subscribed(world, country="DE")
    world.run_until("2026-01-16")

    change(world, ada, Applies.NOW, items={"seats": 11})
    world.run_until("2026-01-17")

    _, more = invoiced(world, ada)
    assert more.tax == half_up(more.net * 19, 100, 1)
    change(world, ada, Applies.NOW, items={"seats": 1})
    world.run_until("2026-01-18")
    world.assert_everything_adds_up()


def test_a_one_off_invoice_is_taxed_by_the_usual_class(world: World) -> None:
    customer_id, _ = world.customer()
    asked = order(customer_id, currency="EUR")
    with pytest.raises(BillingError) as refused, world.engine.begin() as conn:
        ordering.create(conn, asked, new_id(), now=world.now, policy=world.policy)
    assert refused.value.code is ErrorCode.TAX_UNDECIDED

    taxed_in(world, str(customer_id), country="DE")
    with world.engine.begin() as conn:
        made = ordering.create(conn, asked, new_id(), now=world.now, policy=world.policy)
    world.settle()

    assert (made.net, made.tax) == (19900, 3781)
    world.assert_everything_adds_up()


BAD: dict[str, tuple[dict[str, str], ErrorCode]] = {
    "no country": ({"country": "XX"}, ErrorCode.TAX_PLACE),
    "no region": ({"country": "US", "region": "ZZ"}, ErrorCode.TAX_PLACE),
    "no region of Spain": ({"country": "ES", "region": "ZZ"}, ErrorCode.TAX_PLACE),
    "Northern Ireland": ({"country": "XI"}, ErrorCode.TAX_PLACE),
    "a region of nothing": ({"region": "NY"}, ErrorCode.TAX_PLACE),
    "a wrong check digit": ({"country": "DE", "vat_id": "DE136695978"}, ErrorCode.VAT_ID),
    "an id of another country": ({"country": "IT", "vat_id": "DE136695976"}, ErrorCode.VAT_ID),
    "no such ids": ({"country": "US", "vat_id": "US123456789"}, ErrorCode.VAT_ID),
}


@pytest.mark.parametrize(("known", "code"), BAD.values(), ids=BAD)
def test_what_can_not_be_is_refused(world: World, known: dict[str, str], code: ErrorCode) -> None:
    customer_id, _ = world.customer()

    with pytest.raises(BadInput) as refused:
        taxed_in(world, str(customer_id), **known)

    assert refused.value.code is code


def test_a_special_territory_is_not_taxed_as_the_mainland(world: World) -> None:
    there = subscribed(world, country="DE", region="BW", postal_code="78266")
    mainland = subscribed(world, country="DE", region="BW", postal_code="78224")
    monaco = subscribed(world, country="MC", vat_id="FR53000004605")
    world.settle()

    assert [levied(world, invoice)[0][:2] for invoice in invoiced(world, there)] == [
        ("DE-BUS", "exempt")
    ]
    assert [levied(world, invoice)[0][:2] for invoice in invoiced(world, mainland)] == [
        ("DE", "standard")
    ]
    assert [levied(world, invoice)[0][:2] for invoice in invoiced(world, monaco)] == [
        ("FR", "reverse_charge")
    ]
    world.assert_everything_adds_up()


def test_a_rate_that_has_begun_does_not_change(world: World) -> None:
    with pytest.raises(BillingError) as refused:
        world.publish(CATALOG.replace('rate = "22"', 'rate = "23"'))
    assert refused.value.code is ErrorCode.VERSION_PUBLISHED

    later = (
        CATALOG
        + """
[[tax_rate]]
country = "IT"
class = "saas"
name = "IVA"
rate = "23"
from = 2026-02-01
"""
    )
    world.publish(later)
    world.publish(later.replace('"23"', '"24"'))
    ada = subscribed(world, country="IT")
    world.run_until("2026-02-15")

    assert [levied(world, each)[0][2] for each in invoiced(world, ada)] == ["22", "24"]


SPOILT = {
    "another rate is decided": (
        "UPDATE tax_decisions SET response = replace(response, '\"19\"', '\"18\"')",
        {FindingKind.DECISION_AGAINST_REQUEST, FindingKind.FACTS_AGAINST_DECISION},
    ),
    "a tax has another name": (
        "UPDATE invoice_taxes SET name = 'VAT'",
        {FindingKind.INVOICE_AGAINST_FACTS},
    ),
    "a tax is of more": (
        "UPDATE invoice_taxes SET base = base + 1",
        {FindingKind.INVOICE_AGAINST_FACTS},
    ),
    "a note takes back another share": (
        "UPDATE credit_note_taxes SET base = base + 1",
        {FindingKind.NOTE_AGAINST_FACTS},
    ),
    "a tax is gone": (
        "DELETE FROM credit_note_taxes; DELETE FROM invoice_taxes",
        {
            FindingKind.INVOICE_AGAINST_FACTS,
            FindingKind.FACTS_AGAINST_DECISION,
            FindingKind.NOTE_AGAINST_FACTS,
        },
    ),
}


@pytest.mark.parametrize(("attack", "expected"), SPOILT.values(), ids=SPOILT)
def test_the_proof_names_what_was_changed_behind_our_back(
    world: World, db_url: str, attack: str, expected: set[FindingKind]
) -> None:
    ada = subscribed(world, country="DE")
    world.run_until("2026-01-15")
    (invoice,) = invoiced(world, ada)
    with world.engine.begin() as conn:
        notes.issue(
            conn,
            invoice.id,
            Asked(),
            destination=Destination.CREDIT,
            reason="all",
            actor=OPERATOR,
            now=world.now,
        )
    owner = make_engine(db_url, role=None)

    with owner.connect() as conn, conn.begin():
        for table in ("tax_decisions", "invoice_taxes", "credit_note_taxes"):
            conn.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
        for statement in attack.split(";"):
            conn.execute(text(statement))
        changes = item_changes.of_all(conn)
        found = {finding.kind for finding in recomputing.differing(conn, changes)}
        found |= {finding.kind for finding in noted.differing(conn)}
    owner.dispose()

    assert found == expected
