"""Credit notes: parts and wholes, to credit, to the card and outside, and never too much."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from billing.errors import BadInput, Conflict
from billing.flows.credit_notes import issuing
from billing.flows.credit_notes.drafting import Asked, NotCreditable
from billing.flows.refunds.requesting import NotRefundable
from billing.flows.subscriptions import lifecycle
from billing.ids import new_id
from billing.ledger.accounts import AccountCode
from billing.presenters.explain import sections
from billing.pricing import Return
from billing.queries.explain import explain_payment
from billing.queries.timeline import timeline
from billing.rules.actor import Actor, ActorKind
from billing.rules.credit_notes import Destination
from billing.store.payments import credit, credit_notes, invoices, refunds
from billing.store.payments.credit_notes import CreditNote
from billing.store.payments.refunds import Refund
from billing.tax import Seller
from tests.scenarios.money import (
    apply_events_of_dispute,
    apply_events_of_refund,
    at_provider,
    balance,
    balances,
    decide,
    fail_at_provider,
    give_back,
    open_dispute,
    paid,
    payment_row,
    recognised,
    settings,
    usd,
)
from tests.scenarios.test_catalog_items import SPRING, redeem
from tests.scenarios.test_facts import TEAM
from tests.scenarios.test_taxes import sell_from, taxed_in
from tests.scenarios.world import Subscriber, World

OPERATOR = Actor(ActorKind.CLI, "operator")
ALL = Asked()


def part(gross: int, line: int = 0) -> Asked:
    return Asked(lines=[Return(line, gross)])


def noted(
    world: World,
    customer: Subscriber,
    asked: Asked = ALL,
    to: Destination = Destination.CREDIT,
    *,
    n: int = -1,
    note_id: UUID | None = None,
) -> CreditNote:
    """Issue a credit note of the customer's last invoice, or of the n-th."""
    with world.engine.begin() as conn:
        return issuing.issue(
            conn,
            world.invoices(customer)[n].id,
            asked,
            destination=to,
            reason="an outage",
            actor=OPERATOR,
            now=world.now,
            note_id=note_id,
        )


def left(world: World, customer: Subscriber) -> list[int]:
    with world.engine.connect() as conn:
        found = credit.lock_left(conn, [customer.customer_id])
    return [grant.left for grant in found.get(customer.customer_id, ())]


def refund_of(world: World, note: CreditNote) -> Refund:
    with world.engine.connect() as conn:
        (row,) = [
            each
            for each in refunds.page(conn, payment_id=payment_of(world, note))
            if each.note_id == note.id
        ]
    return row


def payment_of(world: World, note: CreditNote) -> UUID:
    with world.engine.connect() as conn:
        query = text("SELECT id FROM payments WHERE invoice_id = :invoice")
        found: UUID = conn.execute(query, {"invoice": note.invoice_id}).scalar_one()
    return found


# --- to credit ----------------------------------------------------------------------------------


def test_a_part_to_credit_pays_the_next_invoice(world: World) -> None:
    ada = paid(world)

    note = noted(world, ada, part(1000))
    world.run_until("2026-02-02")
    world.close_books()

    assert (note.total, note.net, note.tax, note.recognised, note.deferred) == (
        1000,
        1000,
        0,
        0,
        1000,
    )
    assert [each.credit for each in world.invoices(ada)] == [0, 1000]
    assert left(world, ada) == [0]
    assert recognised(world, ada, 0) == [("2026-02-01", 2100)], "what was given back isn't earned"
    world.assert_everything_adds_up()


def test_what_was_earned_lowers_revenue_and_what_was_not_is_no_longer_to_be_earned(
    world: World,
) -> None:
    world.earn_daily()
    ada = paid(world)
    world.run_until("2026-01-11 12:00")
    world.close_books()

    note = noted(world, ada, part(310))

    assert (note.recognised, note.deferred) == (100, 210), "10 of 31 days are over"
    assert balance(world, AccountCode.CREDITS_CONTRA) == 100
    world.run_until("2026-02-02")
    world.close_books()
    assert sum(amount for _, amount in recognised(world, ada, 0)) == 3100 - 210
    world.assert_everything_adds_up()


def test_notes_are_numbered_in_a_series_of_their_own(world: World) -> None:
    ada, bob = paid(world), paid(world)

    numbers = [noted(world, ada, part(100)).number for _ in range(3)]
    other = noted(world, bob, part(100)).number

    prefix = world.invoices(ada)[0].number.rpartition("-")[0]
    assert numbers == [f"{prefix}-C0001", f"{prefix}-C0002", f"{prefix}-C0003"]
    assert other.endswith("-C0001")
    world.assert_everything_adds_up()


def test_the_rest_is_what_notes_before_left(world: World) -> None:
    ada = paid(world)

    notes = [noted(world, ada, each) for each in (part(1), part(999), ALL)]

    assert [note.total for note in notes] == [1, 999, 2100]
    assert balance(world, AccountCode.DEFERRED_REVENUE) == 0
    with pytest.raises(NotCreditable, match="give nothing back"):
        noted(world, ada)
    world.run_until("2026-02-02")
    world.assert_everything_adds_up()


def test_a_share_of_an_invoice_is_a_share_of_each_line(world: World) -> None:
    ada = paid(world)

    assert noted(world, ada, Asked(share=(17, 31))).total == 1700
    with pytest.raises(NotCreditable, match="more is to be given back of a line"):
        noted(world, ada, Asked(share=(17, 31)))
    world.assert_everything_adds_up()


def test_an_invoice_that_credit_paid_is_given_back_as_credit_and_not_as_money(
    world: World,
) -> None:
    ada = paid(world)
    noted(world, ada)
    world.run_until("2026-02-02")

    assert world.invoices(ada)[1].due == 0
    for to in (Destination.REFUND, Destination.OUTSIDE):
        with pytest.raises(NotRefundable, match="was paid by credit"):
            noted(world, ada, to=to)
    noted(world, ada, part(500))
    assert left(world, ada) == [0, 500]
    world.assert_everything_adds_up()


def test_a_period_that_was_given_back_as_a_whole_is_not_paid(world: World) -> None:
    ada = paid(world)

    def paid_until() -> str | None:
        with world.engine.connect() as conn:
            found = invoices.paid_until(conn, ada.subscription_id)
        return None if found is None else f"{found:%Y-%m-%d}"

    noted(world, ada, part(3099))
    assert paid_until() == "2026-02-01"
    noted(world, ada, part(1))
    assert paid_until() is None


# --- to the card --------------------------------------------------------------------------------


def test_a_part_to_the_card_is_refunded_and_revenue_is_lowered_once(world: World) -> None:
    ada = paid(world)

    note = noted(world, ada, part(1000), Destination.REFUND)
    assert balances(world)["refund_payable"] == -1000, "promised, not paid yet"
    assert balances(world)["deferred_revenue"] == -2100
    world.settle()

    assert refund_of(world, note).state == "succeeded"
    assert [entry["amount"] for entry in at_provider(world, payment_of(world, note))] == [1000]
    assert "refund_payable" not in balances(world)
    assert world.entries("refund_requested") == 0
    world.run_until("2026-02-02")
    world.close_books()
    assert recognised(world, ada, 0) == [("2026-02-01", 2100)]
    world.assert_everything_adds_up()


def test_all_to_the_card_ends_the_payment_refunded(world: World) -> None:
    ada = paid(world)

    note = noted(world, ada, to=Destination.REFUND)
    world.settle()

    assert payment_row(world, payment_of(world, note)).state == "REFUNDED"
    assert balances(world) == {}
    world.assert_everything_adds_up()


def test_a_refund_that_fails_leaves_the_note_and_becomes_credit(world: World) -> None:
    ada = paid(world)
    settings(world, refunds="pending", refund_delay_seconds=3 * 86_400)
    note = noted(world, ada, part(1000), Destination.REFUND)
    world.settle()
    refund = refund_of(world, note)
    fail_at_provider(world, refund.id)

    apply_events_of_refund(world, refund.provider_refund_id)

    assert refund_of(world, note).state == "failed"
    assert left(world, ada) == [1000]
    assert "refund_payable" not in balances(world)
    assert payment_row(world, payment_of(world, note)).amount_refunded == 0
    world.assert_everything_adds_up()


def test_a_refund_that_comes_back_after_it_succeeded_becomes_credit(world: World) -> None:
    ada = paid(world)
    note = noted(world, ada, to=Destination.REFUND)
    world.settle()
    refund = refund_of(world, note)
    fail_at_provider(world, refund.id)

    for _ in range(2):
        apply_events_of_refund(world, refund.provider_refund_id)

    assert payment_row(world, payment_of(world, note)).state == "CAPTURED"
    assert left(world, ada) == [3100]
    with pytest.raises(NotRefundable, match="nothing is left"):
        give_back(world, payment_of(world, note))
    world.assert_everything_adds_up()


# --- outside ------------------------------------------------------------------------------------


def test_what_was_paid_outside_of_the_provider_left_our_bank(world: World) -> None:
    ada = paid(world)

    note = noted(world, ada, part(1000), Destination.OUTSIDE)

    assert balances(world)["bank"] == -1000
    assert at_provider(world, payment_of(world, note)) == []
    with pytest.raises(NotRefundable, match=r"21\.00 USD can be refunded, not 21\.01 USD"):
        give_back(world, payment_of(world, note), usd(2101))
    give_back(world, payment_of(world, note))
    world.settle()
    assert balances(world) == {"bank": -1000, "psp_clearing": 1000}
    world.assert_everything_adds_up()


# --- tax and discounts --------------------------------------------------------------------------

RATE = """
[[tax_rate]]
country = "DE"
class = "saas"
name = "USt"
rate = "{rate}"
from = 2021-01-01
"""
TAXED = """
product = "Taxed"

[[plan]]
code = "taxed"
every = "1 month"

  [[plan.version]]
  effective = 2026-01-01
  price = {{ USD = "{price}" }}
  tax = {{ class = "saas", included = {included} }}
"""


def taxed(world: World, price: str, rate: str, *, included: str = "false") -> Subscriber:
    """Return a subscriber who paid for a period with tax."""
    world.publish((TAXED + RATE).format(price=price, rate=rate, included=included))
    return taxed_subscriber(world, "taxed")


def taxed_subscriber(world: World, plan: str, coupon: str | None = None) -> Subscriber:
    """Return a subscriber to a plan, in the country of the seller, who paid for a period."""
    sell_from(world, Seller("DE"))
    customer, provider_id = world.customer()
    taxed_in(world, str(customer), country="DE")
    subscriber = world.subscribe(customer, provider_id, plan)
    if coupon is not None:
        redeem(world, subscriber, coupon)
    world.settle()
    return subscriber


def test_notes_give_back_the_tax_to_the_cent_as_published(world: World) -> None:
    """Lago's case with cumulative rounding (CN-005): 279.16 and 20 % of tax, in four credits."""
    ada = taxed(world, "279.16", "20")

    notes = [noted(world, ada, part(amount)) for amount in (6833, 5750, 8500, 6833)]

    assert [(note.net, note.tax, note.total) for note in notes] == [
        (6833, 1367, 8200),
        (5750, 1150, 6900),
        (8500, 1699, 10199),
        (6833, 1367, 8200),
    ]
    assert balance(world, AccountCode.TAX_PAYABLE) == 0
    world.run_until("2026-02-02")
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    ("price", "rate", "share", "expected"),
    [
        ("200.00", "25", (29, 30), (19333, 4833, 24166)),  # CN-001, Lago
        ("160.00", "25", (29, 30), (15467, 3867, 19334)),  # CN-002, Lago
        ("29.99", "23.33", (6, 7), (2571, 600, 3171)),  # CN-003, Lago
        ("10.00", "25", (1, 2), (500, 125, 625)),  # CN-017, Polar
    ],
)
def test_a_share_of_days_comes_to_what_others_publish(
    world: World,
    price: str,
    rate: str,
    share: tuple[int, int],
    expected: tuple[int, int, int],
) -> None:
    ada = taxed(world, price, rate)

    note = noted(world, ada, Asked(share=share))

    assert (note.net, note.tax, note.total) == expected
    world.assert_everything_adds_up()


@pytest.mark.parametrize("to", list(Destination))
def test_tax_in_the_price_goes_back_with_it(world: World, to: Destination) -> None:
    world.earn_daily()
    ada = taxed(world, "11.90", "19", included="true")
    world.run_until("2026-01-11 12:00")
    world.close_books()

    note = noted(world, ada, part(595), to)
    world.settle()

    assert (note.net, note.tax, note.total) == (500, 95, 595)
    assert (note.recognised, note.deferred) == (164, 336), "328 of 1,000 are earned in 10 days"
    assert balance(world, AccountCode.TAX_PAYABLE) == -95
    noted(world, ada, to=to)
    world.settle()
    world.run_until("2026-02-02")
    assert balance(world, AccountCode.TAX_PAYABLE, "USD") <= 0
    world.assert_everything_adds_up()


def test_lines_go_back_with_their_discount_and_tax_and_all_notes_come_to_the_invoice(
    world: World,
) -> None:
    dated = "effective = 2026-01-01\n"
    team = TEAM.replace(dated, dated + '  tax = { class = "saas" }\n')
    world.publish(team + SPRING + RATE.format(rate="19"))
    ada = taxed_subscriber(world, "team", "spring")
    (invoice,) = world.invoices(ada)

    notes = [
        noted(world, ada, Asked(lines=[Return(1, 3333), Return(2)])),
        noted(world, ada, part(777, line=1)),
        noted(world, ada, part(1), Destination.OUTSIDE),
        noted(world, ada, ALL, Destination.REFUND),
    ]
    world.settle()

    for amount in ("net", "tax", "total", "discount"):
        assert sum(getattr(note, amount) for note in notes) == getattr(invoice, amount)
    assert invoice.discount > 0
    assert balance(world, AccountCode.TAX_PAYABLE) == 0
    assert balance(world, AccountCode.DEFERRED_REVENUE) == 0
    world.run_until("2026-02-01")
    world.assert_everything_adds_up()


def test_a_note_gives_back_no_more_tax_than_refunds_left(world: World) -> None:
    """A refund without a note takes a part of the tax; a note of what is left fits beside it."""
    ada = taxed(world, "100.00", "20")
    give_back(world, world.payment(ada).id, usd(6001))

    with pytest.raises(NotCreditable, match=r"59\.99 USD can be given back, not 60\.00 USD"):
        noted(world, ada, part(5000))
    note = noted(world, ada, part(4999))

    assert (note.net, note.tax) == (4999, 1000)
    assert balance(world, AccountCode.TAX_PAYABLE) == 0
    world.settle()
    world.assert_everything_adds_up()


# --- never too much -----------------------------------------------------------------------------


@pytest.mark.parametrize("to", list(Destination))
def test_a_note_gives_back_no_more_than_refunds_left(world: World, to: Destination) -> None:
    ada = paid(world)
    give_back(world, world.payment(ada).id, usd(3000))
    world.settle()

    with pytest.raises(Conflict, match=r"1\.00 USD can be"):
        noted(world, ada, part(101), to)
    noted(world, ada, part(100), to)
    world.settle()
    with pytest.raises(Conflict):
        noted(world, ada, part(1), to)
    world.assert_everything_adds_up()


@pytest.mark.parametrize("to", list(Destination))
def test_a_refund_gives_back_no_more_than_notes_left(world: World, to: Destination) -> None:
    ada = paid(world)
    noted(world, ada, part(3000), to)
    world.settle()
    payment = world.payment(ada).id

    with pytest.raises(NotRefundable, match=r"1\.00 USD can be refunded, not 1\.01 USD"):
        give_back(world, payment, usd(101))
    give_back(world, payment)
    world.settle()
    with pytest.raises(NotRefundable, match="nothing is left"):
        give_back(world, payment, usd(1))
    world.assert_everything_adds_up()


@pytest.mark.parametrize("to", list(Destination))
def test_nothing_that_a_bank_holds_is_given_back(world: World, to: Destination) -> None:
    ada = paid(world)
    dispute = open_dispute(world, world.payment(ada).id)
    apply_events_of_dispute(world, dispute)

    with pytest.raises(Conflict):
        noted(world, ada, part(1), to)
    decide(world, dispute, "won")
    apply_events_of_dispute(world, dispute)

    noted(world, ada, part(1), to)
    world.settle()
    world.assert_everything_adds_up()


def test_a_dispute_lost_after_a_note_takes_what_is_left_and_the_rest_is_a_break(
    world: World,
) -> None:
    ada = paid(world)
    noted(world, ada, part(1000))
    dispute = open_dispute(world, world.payment(ada).id)
    apply_events_of_dispute(world, dispute)
    decide(world, dispute, "lost")

    applied = apply_events_of_dispute(world, dispute)

    assert applied.too_much
    assert balance(world, AccountCode.DEFERRED_REVENUE) == 0
    assert balance(world, AccountCode.DISPUTES_CONTRA) == 1000
    assert [each.kind for each in world.breaks()] == ["dispute_mismatch"]
    world.assert_promises_hold()


def test_an_open_invoice_takes_no_note(world: World) -> None:
    ada = world.subscribed("video-premium", card="pm_card_chargeCustomerFail")
    world.settle()

    with pytest.raises(NotCreditable, match="is open: a credit note is of one that is paid"):
        noted(world, ada)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (part(1, line=1), "has lines 1 to 1, not 2"),
        (Asked(share=(3, 2)), "a share is more than nothing and at most all"),
        (Asked(share=(0, 2)), "a share is more than nothing and at most all"),
        (Asked(lines=[Return(0, 1)], share=(1, 2)), "not of both"),
    ],
)
def test_what_makes_no_sense_is_refused(world: World, asked: Asked, says: str) -> None:
    ada = paid(world)

    with pytest.raises(BadInput, match=says):
        noted(world, ada, asked)


def test_asking_again_under_the_same_id_is_one_note(world: World) -> None:
    ada = paid(world)
    asked_as: dict[str, Any] = {"note_id": new_id()}

    first = noted(world, ada, ALL, **asked_as)
    second = noted(world, ada, ALL, **asked_as)

    assert second == first
    assert left(world, ada) == [3100]
    with pytest.raises(Conflict, match="gives back something else"):
        noted(world, ada, ALL, Destination.REFUND, **asked_as)
    world.assert_everything_adds_up()


@pytest.mark.parametrize("to", list(Destination))
def test_of_many_notes_at_once_some_are_issued_and_never_more_than_the_invoice(
    world: World, to: Destination
) -> None:
    ada = paid(world)

    def attempt(_: int) -> str | None:
        try:
            return noted(world, ada, part(1000), to).number
        except Conflict:
            return None

    with ThreadPoolExecutor(6) as pool:
        numbers = [each for each in pool.map(attempt, range(6)) if each is not None]

    assert sorted(number[-4:] for number in numbers) == ["0001", "0002", "0003"]
    world.settle()
    world.assert_everything_adds_up()


def test_notes_and_refunds_at_once_never_come_to_more_than_the_invoice(world: World) -> None:
    ada = paid(world)
    payment = world.payment(ada).id

    def attempt(n: int) -> bool:
        try:
            if n % 2:
                give_back(world, payment, usd(700))
            else:
                noted(world, ada, part(700))
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(attempt, range(8)))

    assert sum(done) == 4, "3100 are four times 700, and something"
    world.settle()
    world.assert_everything_adds_up()


def test_notes_of_invoices_of_one_series_at_once_have_numbers_that_follow(world: World) -> None:
    ada = paid(world)
    world.run_until("2026-04-02")

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda n: noted(world, ada, part(100), n=n).number, range(4)))

    assert sorted(number[-4:] for number in made) == ["0001", "0002", "0003", "0004"]
    world.assert_everything_adds_up()


def test_a_note_of_what_a_voided_invoice_was_is_refused(world: World) -> None:
    ada = world.subscribed("video-premium", card="pm_card_chargeCustomerFail")
    world.settle()
    lifecycle.cancel(
        world.engine,
        ada.reference,
        at_period_end=False,
        now=world.now,
        actor=OPERATOR,
        why="asked",
    )

    with pytest.raises(NotCreditable, match="is void"):
        noted(world, ada)
    world.assert_everything_adds_up()


def test_a_card_number_is_no_reason(world: World) -> None:
    ada = paid(world)

    with world.engine.begin() as conn, pytest.raises(BadInput, match="card number"):
        issuing.issue(
            conn,
            world.invoices(ada)[0].id,
            ALL,
            destination=Destination.CREDIT,
            reason="4242 4242 4242 4242",
            actor=OPERATOR,
            now=world.now,
        )


def test_what_was_noted_as_a_whole_is_told_of_its_payment(world: World) -> None:
    ada = paid(world)
    note = noted(world, ada, part(1000), Destination.REFUND)
    world.settle()
    refund = refund_of(world, note)
    fail_at_provider(world, refund.id)
    apply_events_of_refund(world, refund.provider_refund_id)

    with world.engine.connect() as conn:
        found = explain_payment(conn, payment_of(world, note), world.now)
        explained = "\n".join(line for part in sections(found) for line in part.sentences)
        kinds = [entry.kind for entry in timeline(conn, ada.subscription_id)]

    assert f"Credit note {note.number} gives 10.00 USD back to the payment method" in explained
    assert f"refund {refund.id} of it failed, and it is credit now" in explained
    for kind in ("credit_note", "credit_note_credited"):
        assert f", {kind}, " in explained, "its entries are told"
    assert "credit_note_issued" in kinds


def test_a_note_has_the_lines_it_gives_back(world: World) -> None:
    ada = paid(world)
    noted(world, ada, part(100))

    note = noted(world, ada, part(200))

    with world.engine.connect() as conn:
        (line,) = credit_notes.lines(conn, note.id)
    assert (line.line, line.n, line.gross, line.all_gross) == (1, 2, 200, 300)
