"""Disputes: opened by a customer's bank, decided, found by id and in lists."""

from datetime import timedelta
from typing import Literal

import pytest

from billing.gateway import DisputeStage, ProviderDispute
from billing.gateway.kinds import MovementKind
from tests.contract.gateway.test_charging import paid
from tests.contract.gateway.worlds import BEGIN, DAY, ProviderWorld

Outcome = Literal["won", "lost"]


def disputed(world: ProviderWorld) -> tuple[str, str]:
    """Return a payment that was disputed days after its capture, and the dispute."""
    payment = paid(world.gateway.charge(world.request(), first_send=True)).provider_payment_id
    world.later(6 * DAY)
    return payment, world.dispute(payment)


def found(world: ProviderWorld, dispute: str) -> ProviderDispute:
    shown = world.gateway.dispute_by_id(dispute)
    assert shown is not None
    return shown


def test_a_dispute_names_its_payment_and_what_is_disputed(world: ProviderWorld) -> None:
    payment, dispute = disputed(world)

    shown = found(world, dispute)

    assert (shown.id, shown.provider_payment_id) == (dispute, payment)
    assert (shown.amount, shown.stage) == (world.request().amount, DisputeStage.NEEDS_RESPONSE)
    assert (shown.is_inquiry, bool(shown.reason)) == (False, True)
    charge = world.gateway.payment(payment)
    assert charge is not None
    assert shown.provider_charge_id == charge.latest_charge_id


@pytest.mark.parametrize("outcome", ["won", "lost"])
def test_a_dispute_that_was_decided_says_how(world: ProviderWorld, outcome: Outcome) -> None:
    _, dispute = disputed(world)
    world.later(DAY)
    world.decide(dispute, outcome)

    assert found(world, dispute).stage is DisputeStage(outcome)


@pytest.mark.parametrize("outcome", ["won", "lost"])
def test_a_dispute_shows_what_it_moved_where_movements_are_listed(
    world: ProviderWorld, outcome: Outcome
) -> None:
    _, dispute = disputed(world)
    world.later(DAY)
    world.decide(dispute, outcome)

    moved = found(world, dispute).balance_transactions

    if not world.gateway.capabilities.lists_movements:
        assert moved == ()
        return
    taken = [MovementKind.DISPUTE]
    given_back = [MovementKind.DISPUTE_REVERSAL] if outcome == "won" else []
    assert sorted(each.kind for each in moved) == sorted(taken + given_back)
    assert sum(each.amount for each in moved) == (0 if outcome == "won" else -999)


def test_disputes_are_listed_by_their_time(
    world: ProviderWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.small_pages(monkeypatch)
    payments = []
    for n in range(5):
        request = world.request(n=n, metadata={"payment": f"pay_{n}"})
        payments.append(paid(world.gateway.charge(request, first_send=True)).provider_payment_id)
    world.later(6 * DAY)
    made = []
    for payment in payments:
        made.append(world.dispute(payment))
        world.later(timedelta(hours=1))
    middle = BEGIN + 6 * DAY + timedelta(hours=2)

    everything = [d.id for p in world.gateway.list_disputes(since=BEGIN) for d in p]
    early = [d.id for p in world.gateway.list_disputes(since=BEGIN, until=middle) for d in p]
    late = [d.id for p in world.gateway.list_disputes(since=middle) for d in p]

    assert sorted(everything) == sorted(made)
    assert (sorted(early), sorted(late)) == (sorted(made[:2]), sorted(made[2:]))
