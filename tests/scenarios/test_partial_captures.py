"""Charges that were captured in part, and that the provider books whole and then reverses."""

from pathlib import Path
from uuid import UUID

import pytest

from billing.flows.breaks import operator
from billing.flows.payments import authorizations
from billing.flows.refunds import refund_updates
from billing.gateway import ProviderRefund
from billing.gateway.stripe.objects import read_balance_transaction, read_refund
from billing.rules.actor import Actor, ActorKind
from billing.rules.money import Money
from billing.rules.refunds import RefundState
from billing.store.payments.payments import Payment
from tests.scenarios.money import balances, give_back, one_off, payment_row, usd
from tests.scenarios.test_settlement_reports import import_, major
from tests.scenarios.world import World

HEAD = (
    "balance_transaction_id,created_utc,currency,gross,fee,net,reporting_category,source_id,"
    "charge_id,payment_intent_id,customer_facing_amount,customer_facing_currency"
)


def captured_in_part(world: World, whole: int = 10000, part: int = 6000) -> Payment:
    """A card authorised for 100.00, of which 60.00 were captured."""
    id_ = one_off(world, usd(whole), capture_method="manual")
    world.settle()
    with world.engine.begin() as conn:
        authorizations.request_capture(conn, id_, amount=usd(part), now=world.now, actor=ANN)
    world.settle()
    return payment_row(world, id_)


ANN = Actor(ActorKind.CLI, "ann")


def row(
    payment: Payment,
    id_: str,
    gross: int,
    fee: int = 0,
    category: str = "partial_capture_reversal",
    *,
    currency: str = "usd",
    shown: int | None = None,
) -> str:
    source = payment.provider_charge_id if category == "charge" else "re_1"
    customer = "," if shown is None else f"{major(shown)},usd"
    return (
        f"{id_},2026-01-01 00:00:00,{currency},{major(gross)},{major(fee)},{major(gross - fee)},"
        f"{category},{source},{payment.provider_charge_id},{payment.provider_payment_id},{customer}"
    )


def import_rows(world: World, folder: Path, *rows: str, name: str = "r.csv") -> None:
    file = folder / name
    file.write_text("\n".join([HEAD, *rows]))
    import_(world, file)


def reversal(payment: Payment, amount: int = 4000, created: int = 1767225601) -> ProviderRefund:
    return read_refund({
        "id": "re_1", "object": "refund", "amount": amount, "currency": "usd",
        "status": "succeeded", "charge": payment.provider_charge_id,
        "payment_intent": payment.provider_payment_id, "created": created, "metadata": {},
    })  # fmt: skip


def hear(world: World, found: ProviderRefund) -> RefundState | None:
    with world.engine.begin() as conn:
        return refund_updates.apply(conn, found, provider=world.provider, now=world.now)


@pytest.mark.parametrize("heard_first", [True, False])
def test_a_partial_capture_settles_by_itself(
    world: World, tmp_path: Path, heard_first: bool
) -> None:
    """100.00 authorised, 60.00 captured; the provider books +100.00 and -40.00."""
    payment = captured_in_part(world)
    if heard_first:
        assert hear(world, reversal(payment)) is None
    world.jump_to("2026-01-05")

    import_rows(
        world, tmp_path, row(payment, "txn_1", 10000, 320, "charge"), row(payment, "txn_2", -4000)
    )
    assert hear(world, reversal(payment)) is None

    assert world.breaks() == []
    settled = payment_row(world, payment.id)
    assert (settled.state, settled.amount_refunded) == ("SETTLED", 0)
    assert balances(world)["psp_clearing"] == 6000 - 320, "60.00 less the fee of the charge"
    assert world.findings() == []
    give_back(world, payment.id, usd(6000))


def test_the_parts_of_a_partial_capture_may_come_in_two_reports(
    world: World, tmp_path: Path
) -> None:
    payment = captured_in_part(world)
    world.jump_to("2026-01-05")

    import_rows(world, tmp_path, row(payment, "txn_1", 10000, 320, "charge"))
    assert [each.kind for each in world.breaks()] == ["amount_mismatch"]
    import_rows(world, tmp_path, row(payment, "txn_2", -4000), name="later.csv")

    assert world.breaks() == []
    assert payment_row(world, payment.id).state == "SETTLED"
    assert balances(world)["psp_clearing"] == 6000 - 320
    assert world.findings() == []


def test_what_was_not_captured_may_be_reversed_in_parts_with_a_fee_given_back(
    world: World, tmp_path: Path
) -> None:
    payment = captured_in_part(world)
    world.jump_to("2026-01-05")

    import_rows(
        world,
        tmp_path,
        row(payment, "txn_1", 10000, 320, "charge"),
        row(payment, "txn_2", -3000, -90),
        row(payment, "txn_3", -1000, -30),
    )

    assert world.breaks() == []
    assert balances(world)["psp_clearing"] == 6000 - 200
    assert world.findings() == []


def test_a_partial_capture_on_a_balance_in_another_currency_settles(
    world: World, tmp_path: Path
) -> None:
    payment = captured_in_part(world)
    world.jump_to("2026-01-05")

    import_rows(
        world,
        tmp_path,
        row(payment, "txn_1", 9000, 300, "charge", currency="eur", shown=10000),
        row(payment, "txn_2", -3600, currency="eur", shown=4000),
    )

    assert world.breaks() == []
    assert payment_row(world, payment.id).state == "SETTLED"
    assert balances(world).get("psp_clearing", 0) == 0
    assert balances(world, "EUR")["psp_clearing"] == 9000 - 3600 - 300
    assert world.findings() == []


@pytest.mark.parametrize("reversed_", [3900, 4100])
def test_a_reversal_of_another_amount_is_a_break_of_both_sides(
    world: World, tmp_path: Path, reversed_: int
) -> None:
    payment = captured_in_part(world)
    world.jump_to("2026-01-05")

    import_rows(
        world,
        tmp_path,
        row(payment, "txn_1", 10000, 320, "charge"),
        row(payment, "txn_2", -reversed_),
    )

    found = {each.provider_transaction_id: each for each in world.breaks()}
    assert {each.kind for each in found.values()} == {"amount_mismatch"}
    assert set(found) == {"txn_1", "txn_2"}
    for each in found.values():
        resolve_as_suggested(world, each.id)
    file = "again.csv"
    import_rows(world, tmp_path, row(payment, "txn_1", 10000, 320, "charge"), name=file)
    assert balances(world)["psp_clearing"] == 10000 - 320 - reversed_
    world.assert_books_balance()


def test_a_reversal_of_a_charge_that_was_captured_whole_is_a_break(
    world: World, tmp_path: Path
) -> None:
    payment = captured_in_part(world, 6000, 6000)
    world.jump_to("2026-01-05")

    import_rows(
        world, tmp_path, row(payment, "txn_1", 6000, 200, "charge"), row(payment, "txn_2", -4000)
    )

    (found,) = world.breaks()
    assert (found.provider_transaction_id, found.kind) == ("txn_2", "amount_mismatch")
    assert str(resolve_as_suggested(world, found.id)) == "-40.00 USD"
    assert payment_row(world, payment.id).state == "SETTLED"


@pytest.mark.parametrize(
    ("amount", "created"),
    [(3900, 1767225601), (4000, 1767225601 + 86_400)],
    ids=["another amount", "a day later"],
)
def test_money_that_was_given_back_of_a_partial_capture_is_a_refund(
    world: World, amount: int, created: int
) -> None:
    payment = captured_in_part(world)

    assert hear(world, reversal(payment, amount, created)) is RefundState.SUCCEEDED

    assert balances(world)["psp_clearing"] == 6000 - amount
    assert payment_row(world, payment.id).amount_refunded == amount
    assert world.findings() == []


def resolve_as_suggested(world: World, break_id: UUID) -> Money | None:
    with world.engine.begin() as conn:
        suggested = operator.preview(conn, break_id, None).suggested
    operator.resolve(
        world.engine,
        break_id,
        reason="as the provider has it",
        adjustment=suggested,
        now=world.now,
        actor=ANN,
    )
    return suggested


@pytest.mark.parametrize(
    ("booked", "shown"), [(9000, 10000), (5400, 6000)], ids=["booked whole", "booked in part"]
)
def test_the_rate_tells_whether_a_charge_was_booked_whole(booked: int, shown: int) -> None:
    charge = {
        "id": "ch_1", "object": "charge", "amount": 10000, "amount_captured": 6000,
        "currency": "usd", "payment_intent": "pi_1", "metadata": {},
    }  # fmt: skip
    moved = {
        "id": "txn_1", "object": "balance_transaction", "amount": booked, "fee": 0, "net": booked,
        "currency": "eur", "type": "charge", "reporting_category": "charge", "source": charge,
        "exchange_rate": "0.9", "created": 1767300000, "available_on": 1767300000,
    }  # fmt: skip
    back = {
        **moved, "id": "txn_2", "amount": -3600, "net": -3600, "type": "refund",
        "reporting_category": "partial_capture_reversal",
    }  # fmt: skip

    assert read_balance_transaction(moved).customer_money == usd(shown)
    assert read_balance_transaction(back).customer_money == usd(-4000)
