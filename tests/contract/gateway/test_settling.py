"""What becomes of a captured payment's money, where a provider lists what it moves."""

from collections.abc import Sequence
from datetime import timedelta

from billing.gateway import BalanceTransaction, EventKind
from billing.gateway.capabilities import PayoutBasis
from billing.gateway.kinds import MovementKind
from tests.contract.gateway.test_charging import paid
from tests.contract.gateway.test_refunding import accepted, refund_of
from tests.contract.gateway.worlds import BEGIN, DAY, ProviderWorld


def moved(world: ProviderWorld, **window: object) -> list[BalanceTransaction]:
    pages: Sequence[Sequence[BalanceTransaction]] = list(
        world.gateway.list_balance_transactions(**{"since": BEGIN - DAY, **window})  # type: ignore[arg-type]
    )
    return [each for page in pages for each in page]


def settled(world: ProviderWorld) -> str:
    """Charge and give a part back, and let both settle; return the payment."""
    payment = paid(world.gateway.charge(world.request(), first_send=True)).provider_payment_id
    world.later(3 * DAY)
    accepted(world.gateway.refund(refund_of(payment, 400), first_send=True))
    world.later(world.gateway.capabilities.shown_within + 2 * DAY)
    return payment


def test_each_movement_names_what_moved_and_adds_up(world: ProviderWorld) -> None:
    if not world.gateway.capabilities.lists_movements:
        return
    payment = settled(world)

    movements = moved(world)

    by_kind = {each.kind: each for each in movements if each.kind is not MovementKind.PAYOUT}
    assert set(by_kind) == {MovementKind.CHARGE, MovementKind.REFUND}
    assert {each.provider_payment_id for each in by_kind.values()} == {payment}
    assert [by_kind[kind].amount for kind in by_kind] in ([999, -400], [-400, 999])
    assert all(each.net == each.amount - each.fee for each in movements)
    assert by_kind[MovementKind.CHARGE].metadata["payment"] == "pay_1"
    assert by_kind[MovementKind.REFUND].metadata["refund"] == "refund_1"
    assert len({each.id for each in movements}) == len(movements)
    times = [each.created for each in movements]
    assert times == sorted(times, reverse=True)


def test_a_listing_that_was_cut_short_goes_on_after_the_last_movement_seen(
    world: ProviderWorld,
) -> None:
    if not world.gateway.capabilities.lists_movements:
        return
    settled(world)
    movements = moved(world)

    for n, each in enumerate(movements, 1):
        assert moved(world, after=each.id) == movements[n:]


def test_a_payout_is_found_and_comes_to_its_movements_where_they_name_it(
    world: ProviderWorld,
) -> None:
    can = world.gateway.capabilities
    if can.payout_basis is None:
        return
    settled(world)

    payouts = [p for page in world.gateway.list_payouts(since=BEGIN - DAY) for p in page]

    assert payouts
    for payout in payouts:
        carried = moved(world, payout=payout.id)
        own = [each for each in carried if each.kind is MovementKind.PAYOUT]
        others = [each for each in carried if each.kind is not MovementKind.PAYOUT]
        net = can.payout_basis is PayoutBasis.NET
        assert sum(each.net if net else each.amount for each in others) == payout.amount.amount
        assert [each.amount for each in own] == [-payout.amount.amount]
        assert world.gateway.payout_by_id(payout.id) == payout


def test_a_balance_is_what_the_movements_come_to(world: ProviderWorld) -> None:
    if not world.gateway.capabilities.lists_balance:
        return
    settled(world)

    nets = sum(each.net for each in moved(world))

    assert world.gateway.balance() == {"USD": nets}


def test_events_that_are_listed_name_their_objects(world: ProviderWorld) -> None:
    if not world.gateway.capabilities.lists_events:
        return
    payment = paid(world.gateway.charge(world.request(), first_send=True)).provider_payment_id

    listed = [e for page in world.gateway.list_events(since=BEGIN - DAY) for e in page]
    told = [each for each in listed if each.kind is EventKind.PAYMENT_SUCCEEDED]

    assert [each.object_id for each in told] == [payment]
    assert {each.type for each in told} <= world.kind.event_types
    world.later(timedelta(hours=1))
    assert [e for page in world.gateway.list_events(since=world.now) for e in page] == []
