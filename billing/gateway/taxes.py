"""Taxes at a provider that computes them: a calculation, its record, and what takes that back.

A calculation changes nothing. A record tells the provider that the calculated sale took place, and
a reversal that a part of it, or all, was given back: these are what a tax return is made of. The
reference of a record is ours and is given away once, so that it can be sent again however old its
key is: a provider that has it already says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from billing.tax.external import ExternalAnswer, ExternalRequest


class TaxRefusal(StrEnum):
    """Why a provider refuses a request about taxes for good."""

    PLACE = "place_refused"
    """It can't tell where the customer is by their address."""
    VAT_ID = "vat_id_refused"
    """The customer's tax id can't be one."""
    NOT_SUPPORTED = "place_not_supported"
    """It computes no taxes where the customer is."""
    INACTIVE = "taxes_inactive"
    """The account isn't set up to compute taxes."""
    EXPIRED = "calculation_expired"
    """The calculation that is to be recorded is gone."""
    KNOWN = "reference_known"
    """It has a record with this reference, and doesn't say which."""
    OTHER = "request_refused"


@dataclass(frozen=True, slots=True)
class TaxRefused:
    """A definite no: sending the same again changes nothing."""

    reason: TaxRefusal
    message: str
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class TaxUnanswered:
    """No definite answer, and why; the request may have been executed."""

    error_class: str
    message: str
    retry_after: timedelta | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class TaxRecorded:
    """A record at the provider; `lines` has its line of each reference of ours."""

    provider_ref: str
    lines: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ReversedLine:
    """What is given back of a recorded line, in minor units, above zero.

    `amount` is what the line came to as it was asked: without the tax that came on top of it, with
    the tax that it contained. `line` is the provider's, `reference` ours.
    """

    line: str
    reference: str
    amount: int
    tax: int


@dataclass(frozen=True, slots=True)
class TaxReversal:
    """What takes a record back: some of its lines, or without any, all of it."""

    record: str
    reference: str
    currency: str
    lines: tuple[ReversedLine, ...] = ()


class TaxService(Protocol):
    """A gateway whose provider computes taxes. No call raises for the provider or the network."""

    def compute_taxes(
        self, request: ExternalRequest, *, idempotency_key: str
    ) -> ExternalAnswer | TaxRefused | TaxUnanswered:
        """Return the taxes of each line of an invoice."""
        ...

    def record_taxes(
        self, calculation: str, reference: str, *, idempotency_key: str
    ) -> TaxRecorded | TaxRefused | TaxUnanswered:
        """Record that the sale of a calculation took place."""
        ...

    def reverse_taxes(
        self, reversal: TaxReversal, *, idempotency_key: str
    ) -> TaxRecorded | TaxRefused | TaxUnanswered:
        """Record that a sale, or a part of it, was given back."""
        ...
