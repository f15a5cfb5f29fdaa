"""Taxes through the gateway, against the sandbox: what is asked, read, refused and lost."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from billing.gateway.taxes import (
    ReversedLine,
    TaxRecorded,
    TaxRefusal,
    TaxRefused,
    TaxReversal,
    TaxUnanswered,
)
from billing.tax import Buyer
from billing.tax.external import ExternalAnswer, ExternalRequest, LineToTax
from tests.contract.conftest import Shop
from tests.contract.gateway_world import World

ASKED = datetime(2026, 3, 1, 12, tzinfo=UTC)
BOOKS = "txcd_10302000"


@pytest.fixture
def world(shop: Shop) -> Iterator[World]:
    made = World(shop)
    yield made
    made.gateway.close()
    assert made.problems() == []


def request(*lines: LineToTax, **buyer: Any) -> ExternalRequest:
    return ExternalRequest(
        account="main",
        currency="EUR",
        buyer=Buyer(**({"country": "DE"} | buyer)),
        lines=lines or (line(),),
        on=date(2026, 3, 1),
    )


def line(reference: str = "1", amount: int = 10_000, **more: Any) -> LineToTax:
    given = {"item": "base", "tax_class": "saas", "code": None} | more
    return LineToTax(reference=reference, amount=amount, **given)


def answered(world: World, asked: ExternalRequest, key: str = "k1") -> ExternalAnswer:
    found = world.gateway.compute_taxes(asked, idempotency_key=key)
    assert isinstance(found, ExternalAnswer), found
    return found


def recorded(world: World, answer: ExternalAnswer, reference: str = "inv_1") -> TaxRecorded:
    found = world.gateway.record_taxes(
        answer.calculation, reference, idempotency_key=f"r-{reference}"
    )
    assert isinstance(found, TaxRecorded), found
    return found


def test_each_line_has_its_taxes_in_neutral_words(world: World) -> None:
    found = answered(world, request(line(), line("2", 1_000, included=True, code=BOOKS)))

    assert [
        (
            each.reference,
            tax.name,
            tax.jurisdiction,
            tax.treatment,
            tax.rate,
            tax.taxable,
            tax.amount,
        )
        for each in found.lines
        for tax in each.taxes
    ] == [
        ("1", "VAT", "DE", "standard", Fraction(19), 10_000, 1_900),
        ("2", "VAT", "DE", "reduced", Fraction(7), 935, 65),
    ]
    assert found.expires_at == ASKED + timedelta(days=90)
    assert ExternalAnswer.from_document(found.document()) == found


def test_smaller_places_stand_in_the_names_of_taxes(world: World) -> None:
    place = {"country": "US", "region": "CA", "postal_code": "91101"}

    (only,) = answered(world, request(**place)).lines

    assert {tax.jurisdiction for tax in only.taxes} == {"US-CA"}
    assert [tax.name for tax in only.taxes] == [
        "Sales Tax",
        "Sales Tax, Los Angeles",
        "Sales Tax, Pasadena",
        "Sales Tax, Transit District",
    ]


@pytest.mark.parametrize(
    ("buyer", "treatment", "reason"),
    [
        ({"country": "FR", "vat_id": "FR40303265045"}, "reverse_charge", "reverse_charge"),
        ({"exempt": "a certificate"}, "exempt", "customer_exempt"),
        ({"country": "JP"}, "not_registered", "not_collecting"),
    ],
)
def test_why_nothing_is_levied_is_told(
    world: World, buyer: dict[str, Any], treatment: str, reason: str
) -> None:
    (only,) = answered(world, request(**buyer)).lines

    assert [(tax.treatment, tax.reason, tax.amount) for tax in only.taxes] == [
        (treatment, reason, 0)
    ]


def test_a_vat_id_that_the_register_denied_is_kept_back(world: World) -> None:
    (only,) = answered(
        world, request(country="FR", vat_id="FR40303265045", vat_confirmed=False)
    ).lines

    assert [tax.amount for tax in only.taxes] == [2_000]


def test_all_lines_of_a_long_invoice_are_read(world: World) -> None:
    lines = [line(str(n), 100 * n) for n in range(1, 124)]

    found = answered(world, request(*lines))

    assert [each.reference for each in found.lines] == [each.reference for each in lines]
    assert len(recorded(world, found).lines) == len(lines)


@pytest.mark.parametrize(
    ("buyer", "reason"),
    [
        ({"country": "US"}, TaxRefusal.PLACE),
        ({"vat_id": "DE1"}, TaxRefusal.VAT_ID),
        ({"country": "KP"}, TaxRefusal.NOT_SUPPORTED),
    ],
)
def test_a_refusal_says_what_is_wrong(
    world: World, buyer: dict[str, Any], reason: TaxRefusal
) -> None:
    found = world.gateway.compute_taxes(request(**buyer), idempotency_key="k1")

    assert isinstance(found, TaxRefused)
    assert found.reason is reason


@pytest.mark.parametrize(
    "kind",
    [
        "reset_before", "reset_after_commit", "truncated_body", "error_500_uncommitted",
        "rate_limit_429", "garbage_200", "conflict_409", "error_401",
    ],
)  # fmt: skip
def test_a_lost_answer_is_none_and_the_same_key_brings_it(world: World, kind: str) -> None:
    known = answered(world, request(), key="known")
    sale = recorded(world, known, "inv_0")
    ways: list[tuple[str, Callable[[], object]]] = [
        (
            "/v1/tax/calculations",
            lambda: world.gateway.compute_taxes(request(), idempotency_key="k"),
        ),
        (
            "/v1/tax/transactions/create_from_calculation",
            lambda: world.gateway.record_taxes(known.calculation, "inv_1", idempotency_key="r"),
        ),
        (
            "/v1/tax/transactions/create_reversal",
            lambda: world.gateway.reverse_taxes(
                TaxReversal(sale.provider_ref, "void_1", "EUR"), idempotency_key="v"
            ),
        ),
    ]
    for path, ask in ways:
        world.shop.fault(kind, match={"method": "POST", "path": path})

        assert isinstance(ask(), TaxUnanswered)
        assert not isinstance(ask(), TaxRefused | TaxUnanswered)
    assert world.shop.stats()["objects"]["tax.transaction"] == 3


def test_what_was_recorded_is_found_when_the_key_is_forgotten(world: World) -> None:
    answer = answered(world, request())
    sale = recorded(world, answer)
    world.at(ASKED + timedelta(days=2))

    assert recorded(world, answer) == sale


def test_a_note_takes_back_parts_of_lines_and_a_void_all(world: World) -> None:
    sale = recorded(world, answered(world, request(line(), line("2", 999))))
    part = ReversedLine(sale.lines["1"], "note_1-1", 2_500, 475)

    note = world.gateway.reverse_taxes(
        TaxReversal(sale.provider_ref, "note_1", "EUR", (part,)), idempotency_key="n1"
    )
    rest = world.gateway.reverse_taxes(
        TaxReversal(sale.provider_ref, "void_1", "EUR"), idempotency_key="v1"
    )

    assert isinstance(note, TaxRecorded)
    assert isinstance(rest, TaxRecorded)
    assert set(note.lines) == {"note_1-1"}


def test_a_calculation_that_expired_is_told_apart(world: World) -> None:
    answer = answered(world, request())
    world.at(ASKED + timedelta(days=91))

    found = world.gateway.record_taxes(answer.calculation, "inv_1", idempotency_key="r1")

    assert isinstance(found, TaxRefused)
    assert found.reason is TaxRefusal.EXPIRED
