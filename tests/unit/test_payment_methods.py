"""What a person recognises a payment method by."""

import pytest

from billing.rules.payment_methods import PaymentMethodKind, recognised_by


@pytest.mark.parametrize(
    ("kind", "brand", "last4", "words"),
    [
        ("card", "visa", "4242", "visa ending in 4242"),
        ("card", None, "4242", "a card ending in 4242"),
        ("wallet", "paypal", None, "paypal"),
        ("wallet", None, None, "a wallet"),
        ("bank", "Sparkasse", "3000", "Sparkasse ending in 3000"),
        ("bank", None, None, "a bank account"),
    ],
)
def test_a_payment_method_is_recognised_by(
    kind: str, brand: str | None, last4: str | None, words: str
) -> None:
    assert recognised_by(PaymentMethodKind(kind), brand, last4) == words
