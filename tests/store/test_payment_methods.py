"""Payment methods of every kind: a card is complete, others hold what the provider tells."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine

from billing.ids import new_id
from billing.store.subscriptions import customers

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "told",
    [
        {"kind": "card", "brand": "visa", "last4": "4242", "exp_month": 4, "exp_year": 2030},
        {"kind": "wallet", "brand": "paypal"},
        {"kind": "bank", "brand": "Sparkasse", "last4": "3000"},
        {"kind": "bank"},
    ],
)
def test_a_payment_method_is_kept_with_what_the_provider_tells(
    engine: Engine, told: dict[str, Any]
) -> None:
    customer_id = new_id()
    with engine.begin() as conn:
        customers.add(
            conn, {"id": customer_id, "provider": "stripe", "name": "Ada", "created_at": NOW}
        )
        kept_id = customers.add_payment_method(
            conn,
            {
                "id": new_id(),
                "customer_id": customer_id,
                "provider": "stripe",
                "provider_payment_method_id": "pm_1",
                "created_at": NOW,
            }
            | told,
        )
        (kept,) = customers.payment_methods_of(conn, customer_id)
        known = customers.payment_method_by_token(conn, "stripe", "pm_1")

    assert known is not None
    assert (kept.id, known.is_default) == (kept_id, True)
    names = ("kind", "brand", "last4", "exp_month", "exp_year")
    assert {name: getattr(kept, name) for name in names} == dict.fromkeys(names) | told
