"""The chart of accounts: every account that entries may name, its class, and whom it is kept for.

An account exists once per currency; an *owned* one exists once per customer as well, and one
*per provider* once per account at a provider.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class AccountClass(StrEnum):
    """The class of an account; the database stores the letter."""

    ASSET = "A"
    LIABILITY = "L"
    EQUITY = "E"
    REVENUE = "R"
    EXPENSE = "X"


class AccountCode(StrEnum):
    """The accounts of the chart."""

    RECEIVABLE = "receivable"
    DEFERRED_REVENUE = "deferred_revenue"
    REVENUE = "revenue"
    TAX_PAYABLE = "tax_payable"
    PSP_CLEARING = "psp_clearing"
    PSP_FEES = "psp_fees"
    PSP_RESERVES = "psp_reserves"
    CONTRIBUTIONS = "contributions"
    PAYOUT_TRANSIT = "payout_transit"
    BANK = "bank"
    REFUNDS_CONTRA = "refunds_contra"
    REFUND_PAYABLE = "refund_payable"
    DISPUTE_RECEIVABLE = "dispute_receivable"
    DISPUTE_FEES = "dispute_fees"
    DISPUTES_CONTRA = "disputes_contra"
    BAD_DEBT = "bad_debt"
    CREDIT_GRANTS = "credit_grants"
    CREDIT_BREAKAGE = "credit_breakage"
    CREDIT_ORDERED = "credit_ordered"
    CREDITS_CONTRA = "credits_contra"
    CUSTOMER_CREDIT = "customer_credit"
    FX_POSITION = "fx_position"
    ADJUSTMENTS = "adjustments"


@dataclass(frozen=True, slots=True)
class ChartLine:
    """One account of the chart.

    `owned`: one account per customer. `per_provider`: one per account at a provider. `clearing`:
    money only passes through, so the balance returns to zero once all transfers have arrived.
    """

    account_class: AccountClass
    meaning: str
    owned: bool = False
    per_provider: bool = False
    clearing: bool = False


_A, _L, _E, _R, _X = AccountClass

CHART: Final[Mapping[AccountCode, ChartLine]] = MappingProxyType(
    {
        AccountCode.RECEIVABLE: ChartLine(
            _A, "What a customer owes us for invoices issued and not yet paid.", owned=True
        ),
        AccountCode.DEFERRED_REVENUE: ChartLine(
            _L, "What was invoiced for service that is still to be given."
        ),
        AccountCode.REVENUE: ChartLine(_R, "What was earned by service given."),
        AccountCode.TAX_PAYABLE: ChartLine(
            _L, "Tax that was invoiced and is owed to the authorities."
        ),
        AccountCode.PSP_CLEARING: ChartLine(
            _A,
            "Captured money that the payment provider holds and has not paid out.",
            per_provider=True,
            clearing=True,
        ),
        AccountCode.PSP_FEES: ChartLine(_X, "What the payment provider charges for its service."),
        AccountCode.PSP_RESERVES: ChartLine(
            _A, "Money of ours that the payment provider holds back, as a reserve or least balance."
        ),
        AccountCode.CONTRIBUTIONS: ChartLine(
            _X, "What the payment provider passes on for us, as to climate projects."
        ),
        AccountCode.PAYOUT_TRANSIT: ChartLine(
            _A, "Payouts the provider sent that have not arrived at the bank.", clearing=True
        ),
        AccountCode.BANK: ChartLine(_A, "Money that arrived in our bank account."),
        AccountCode.REFUNDS_CONTRA: ChartLine(
            _R, "Recognised revenue that was given back; lowers revenue."
        ),
        AccountCode.REFUND_PAYABLE: ChartLine(
            _L, "Refunds requested that the provider has not confirmed.", clearing=True
        ),
        AccountCode.DISPUTE_RECEIVABLE: ChartLine(
            _A, "Money withheld in disputes that are not decided.", clearing=True
        ),
        AccountCode.DISPUTE_FEES: ChartLine(_X, "What the provider charges for a dispute."),
        AccountCode.DISPUTES_CONTRA: ChartLine(
            _R, "Recognised revenue lost in disputes; lowers revenue."
        ),
        AccountCode.BAD_DEBT: ChartLine(
            _X, "Recognised revenue whose invoice will not be collected."
        ),
        AccountCode.CREDIT_GRANTS: ChartLine(_X, "What credit given away to customers cost us."),
        AccountCode.CREDIT_BREAKAGE: ChartLine(
            _R, "Credit that customers had paid for and that expired."
        ),
        AccountCode.CREDIT_ORDERED: ChartLine(
            _L, "Credit that customers were invoiced for and haven't paid for yet."
        ),
        AccountCode.CREDITS_CONTRA: ChartLine(
            _R, "Recognised revenue given back by credit notes; lowers revenue."
        ),
        AccountCode.CUSTOMER_CREDIT: ChartLine(
            _L, "Credit a customer holds towards later invoices.", owned=True
        ),
        AccountCode.FX_POSITION: ChartLine(
            _E, "The two sides of a currency exchange, each in its own currency."
        ),
        AccountCode.ADJUSTMENTS: ChartLine(
            _X, "Differences an operator accepted with a reason, after reconciliation found them."
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Account:
    """The account of a posting: a code and, where the chart has one, an owner or the name of the
    account at a provider. Its currency is that of the money posted.

    Raises: ValueError for an owner or a provider where the chart has none, and for a missing one.
    """

    code: AccountCode
    owner_id: uuid.UUID | None = None
    provider: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.code, AccountCode):
            raise TypeError(f"{self.code!r} is no account of the chart")
        if self.owner_id is not None and not isinstance(self.owner_id, uuid.UUID):
            raise TypeError(f"the owner of {self.code} is a customer's UUID, not {self.owner_id!r}")
        if CHART[self.code].owned and self.owner_id is None:
            raise ValueError(f"{self.code} is kept per customer: name the owner")
        if not CHART[self.code].owned and self.owner_id is not None:
            raise ValueError(f"{self.code} is one account for all: it has no owner")
        if CHART[self.code].per_provider and not self.provider:
            raise ValueError(f"{self.code} is kept per account at a provider: name it")
        if not CHART[self.code].per_provider and self.provider is not None:
            raise ValueError(f"{self.code} is kept for all providers together")

    def __str__(self) -> str:
        kept_for = self.owner_id or self.provider
        return f"{self.code}({kept_for})" if kept_for else str(self.code)
