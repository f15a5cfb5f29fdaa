"""Refunds of captured payments: in whole, in parts, again, and too much."""

from billing.gateway import Absent, RefundAccepted, RefundOutcome, RefundRequest, Rejected, Unknown
from billing.gateway.kinds import RefundStatus
from billing.gateway.outcomes import Deferred
from billing.rules.money import Money
from tests.contract.gateway.test_charging import paid
from tests.contract.gateway.worlds import BEGIN, DAY, ProviderWorld


def refundable(world: ProviderWorld) -> str:
    """Return a payment that can be given back: by then it is settled where that matters."""
    payment = paid(world.gateway.charge(world.request(), first_send=True)).provider_payment_id
    world.later(2 * DAY)
    return payment


def refund_of(payment: str, amount: int = 999, n: int = 1) -> RefundRequest:
    metadata = {"refund": f"refund_{n}", "payment": "pay_1"}
    return RefundRequest(f"test:refund:{n}", payment, Money(amount, "USD"), metadata)


def accepted(outcome: RefundOutcome | Absent) -> RefundAccepted:
    assert isinstance(outcome, RefundAccepted), outcome
    return outcome


def test_a_payment_is_refunded_once_however_often_it_is_asked_for(world: ProviderWorld) -> None:
    payment = refundable(world)
    request = refund_of(payment)

    first = accepted(world.gateway.refund(request, first_send=True))
    again = accepted(world.gateway.refund(request, first_send=False))

    assert first.amount == request.amount
    assert first.status in (RefundStatus.PENDING, RefundStatus.SUCCEEDED)
    assert first.provider_refund_id == again.provider_refund_id
    (charge,) = [c for page in world.gateway.list_charges(since=BEGIN - DAY) for c in page]
    assert charge.refunded_amount == 999


def test_a_refund_names_its_payment_and_ours(world: ProviderWorld) -> None:
    payment = refundable(world)
    made = accepted(world.gateway.refund(refund_of(payment, 400), first_send=True))

    found = world.gateway.refund_by_id(made.provider_refund_id)

    assert found is not None
    assert (found.provider_payment_id, found.amount) == (payment, Money(400, "USD"))
    assert found.metadata.items() >= {"refund": "refund_1", "payment": "pay_1"}.items()


def test_parts_are_refunded_up_to_the_whole(world: ProviderWorld) -> None:
    payment = refundable(world)

    parts = [
        accepted(world.gateway.refund(refund_of(payment, amount, n), first_send=True))
        for n, amount in enumerate((400, 599))
    ]
    too_much = world.gateway.refund(refund_of(payment, 1, 9), first_send=True)

    assert len({each.provider_refund_id for each in parts}) == 2
    assert isinstance(too_much, Rejected)
    listed = [r for page in world.gateway.list_refunds(since=BEGIN) for r in page]
    assert sorted(each.amount.amount for each in listed) == [400, 599]


def test_more_than_was_captured_is_refused(world: ProviderWorld) -> None:
    payment = refundable(world)

    assert isinstance(world.gateway.refund(refund_of(payment, 1000), first_send=True), Rejected)
    assert isinstance(world.gateway.refund(refund_of(payment, 1000), first_send=False), Rejected)


def test_a_refund_whose_answer_was_lost_is_made_once(world: ProviderWorld) -> None:
    payment = refundable(world)
    world.lose("after", "refund")

    first = world.gateway.refund(refund_of(payment), first_send=True)
    again = accepted(world.gateway.refund(refund_of(payment), first_send=False))

    assert isinstance(first, Unknown)
    listed = [r.id for page in world.gateway.list_refunds(since=BEGIN) for r in page]
    assert listed == [again.provider_refund_id]


def test_a_refund_whose_key_is_forgotten_is_looked_up(world: ProviderWorld) -> None:
    payment = refundable(world)
    made = accepted(world.gateway.refund(refund_of(payment, 400), first_send=True))
    world.later(world.gateway.capabilities.key_max_age + 2 * DAY)

    found = accepted(world.gateway.look_up_refund(refund_of(payment, 400), since=BEGIN))

    assert found.provider_refund_id == made.provider_refund_id
    assert world.gateway.look_up_refund(refund_of(payment, 5, 2), since=BEGIN) == Absent()


def test_a_refund_that_comes_early_is_taken_or_put_off_and_never_refused(
    world: ProviderWorld,
) -> None:
    payment = paid(world.gateway.charge(world.request(), first_send=True)).provider_payment_id

    early = world.gateway.refund(refund_of(payment), first_send=True)
    world.later(2 * DAY)
    late = accepted(world.gateway.refund(refund_of(payment), first_send=False))

    assert isinstance(early, RefundAccepted | Deferred)
    assert late.amount == Money(999, "USD")
    assert sum(len(page) for page in world.gateway.list_refunds(since=BEGIN)) == 1


def test_the_refunds_of_one_charge_are_listed(world: ProviderWorld) -> None:
    first = refundable(world)
    second = paid(
        world.gateway.charge(world.request(n=2, metadata={"payment": "pay_2"}), first_send=True)
    )
    world.later(2 * DAY)
    made = accepted(world.gateway.refund(refund_of(first, 400), first_send=True))
    accepted(world.gateway.refund(refund_of(second.provider_payment_id, 5, 2), first_send=True))
    found = world.gateway.payment(first)
    assert found is not None

    pages = world.gateway.list_refunds(since=None, charge=found.latest_charge_id)

    assert [each.id for page in pages for each in page] == [made.provider_refund_id]
