"""Lists: complete over pages, the newest first, of what was made in a window."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from billing.errors import BadInput
from billing.rules.money import Money
from tests.contract.gateway.test_charging import paid
from tests.contract.gateway.test_refunding import accepted, refund_of
from tests.contract.gateway.worlds import BEGIN, DAY, ProviderWorld

HOUR = timedelta(hours=1)


def ids(pages: Iterator[Sequence[Any]]) -> list[str]:
    """Return the ids of a list, which came in several pages."""
    found = [[each.id for each in page] for page in pages]
    assert max(map(len, found)) <= 3
    return [each for page in found for each in page]


def charges(world: ProviderWorld, count: int) -> list[str]:
    """Make charges, an hour apart; return their payments, the newest first."""
    made = []
    for n in range(count):
        request = world.request(n=n, metadata={"payment": f"pay_{n}"})
        made.append(paid(world.gateway.charge(request, first_send=True)).provider_payment_id)
        world.later(HOUR)
    return made[::-1]


def test_charges_are_listed_completely(
    world: ProviderWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.small_pages(monkeypatch)
    made = charges(world, 8)

    pages = list(world.gateway.list_charges(since=BEGIN))

    assert [each.provider_payment_id for page in pages for each in page] == made
    assert len(ids(iter(pages))) == 8
    (last,) = {each.payment_method for page in pages for each in page}
    assert last == world.method().token


def test_neighbouring_windows_tile(world: ProviderWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    world.small_pages(monkeypatch)
    charges(world, 5)
    middle = BEGIN + 2 * HOUR

    early = ids(world.gateway.list_charges(since=BEGIN, until=middle))
    late = ids(world.gateway.list_charges(since=middle))

    assert (len(early), len(late)) == (2, 3)
    assert late + early == ids(world.gateway.list_charges(since=BEGIN))


def test_customers_are_listed_completely(
    world: ProviderWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.small_pages(monkeypatch)
    made = [world.customer]
    for n in range(5):
        world.later(HOUR)
        made.append(
            world.gateway.create_customer(
                name="Bob", email=None, metadata={"customer": str(n)}, idempotency_key=f"c:{n}"
            )
        )

    assert ids(world.gateway.list_customers(since=BEGIN)) == made[::-1]


def test_refunds_are_listed_completely(
    world: ProviderWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.small_pages(monkeypatch)
    (payment,) = charges(world, 1)
    world.later(2 * DAY)
    made = []
    for n in range(5):
        request = refund_of(payment, 10, n)
        made.append(accepted(world.gateway.refund(request, first_send=True)).provider_refund_id)
        world.later(HOUR)

    assert ids(world.gateway.list_refunds(since=BEGIN)) == made[::-1]
    (charge,) = [c for page in world.gateway.list_charges(since=BEGIN) for c in page]
    assert (charge.refunded_amount, charge.amount) == (50, Money(999, "USD"))


def test_what_a_kind_does_not_list_is_refused(world: ProviderWorld) -> None:
    can, gateway = world.gateway.capabilities, world.gateway
    asked: list[tuple[bool, Callable[[], Iterable[Any]]]] = [
        (can.lists_events, lambda: gateway.list_events(since=BEGIN)),
        (can.lists_movements, lambda: gateway.list_balance_transactions(since=BEGIN)),
        (can.lists_movements, lambda: gateway.list_payouts(since=BEGIN)),
        (can.lists_balance, gateway.balance),
    ]
    for listed, ask in asked:
        if listed:
            list(ask())
        else:
            with pytest.raises(BadInput):
                ask()
