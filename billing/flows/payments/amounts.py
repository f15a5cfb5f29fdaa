"""Which amounts can be paid."""

from billing.errors import BadInput
from billing.plans.currencies import charge_step
from billing.rules.money import Money


def check_step(amount: Money, where: str | None = None) -> None:
    """Check that an amount is one of the steps that its currency is paid in. Raises: BadInput."""
    if amount.amount % charge_step(amount.currency):
        raise BadInput(f"{amount} can't be paid: its last digit has to be 0", where=where)
