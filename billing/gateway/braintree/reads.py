"""Transactions at Braintree by their id, and in lists."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, TypeVar

from billing.gateway import pages
from billing.gateway.braintree.client import PAGE, BraintreeClient, Found, created_in
from billing.gateway.braintree.faults import RequestFaulted, as_error
from billing.gateway.braintree.fields import Node, money, reference, texts
from billing.gateway.braintree.objects import (
    read_charge,
    read_customer,
    read_payment,
    read_refund,
)
from billing.gateway.braintree.statuses import DECLINED, GONE
from billing.gateway.objects import (
    ListedPage,
    ProviderCharge,
    ProviderCustomer,
    ProviderPayment,
    ProviderRefund,
    Unreadable,
)
from billing.gateway.untrusted import text

Read = TypeVar("Read")
_SECOND: Final = timedelta(seconds=1)
_BEGAN: Final = datetime(2007, 1, 1, tzinfo=UTC)  # nothing at Braintree is older


class TransactionReads(BraintreeClient):
    """Reads transactions and customers as they are now; lists are searches, newest first."""

    def payment(self, provider_payment_id: str) -> ProviderPayment | None:
        """Return the payment as it is now, or None; None too for a refund's id."""
        return self._find("/transactions", provider_payment_id, read_payment)

    def refund_by_id(self, provider_refund_id: str) -> ProviderRefund | None:
        """Return the refund as it is now, or None; None too for a payment's id."""
        return self._find("/transactions", provider_refund_id, read_refund)

    def list_charges(
        self, *, since: datetime, until: datetime | None = None
    ) -> Iterator[Sequence[ProviderCharge]]:
        """Yield pages of sales."""
        sales = {"type": ["sale"]}
        for page in self._made_in("list_charges", "transactions", sales, since, until):
            yield read_page(page, partial(_charge, refunds=self._refunded(page)))

    def list_refunds(
        self, *, since: datetime | None, until: datetime | None = None, charge: str | None = None
    ) -> Iterator[Sequence[ProviderRefund]]:
        """Yield pages of refunds; with `charge` only those that took money of that sale."""
        if charge is None:
            credits_ = {"type": ["credit"]}
            pages = self._made_in("list_refunds", "transactions", credits_, since, until)
        else:
            pages = iter([self._refunds_of(charge)])
        for page in pages:
            refunds = [each for each in page if reference(each, "refunded_transaction_id")]
            if refunds:
                yield read_page(refunds, lambda each: read_refund("transaction", each))

    def list_customers(
        self, *, since: datetime, until: datetime | None = None
    ) -> Iterator[Sequence[ProviderCustomer]]:
        """Yield pages of customers."""
        for page in self._made_in("list_customers", "customers", {}, since, until):
            yield read_page(page, lambda each: read_customer("customer", each))

    def _made_in(
        self,
        operation: str,
        kind: str,
        criteria: Node,
        since: datetime | None,
        until: datetime | None,
        found: Found | None = None,
    ) -> Iterator[Sequence[Node]]:
        """Yield the pages of what was made in [since, until). Raises: Unavailable, BadInput.

        A window with more than one search finds is divided: its later half comes first. `found` is
        what a search of the whole window found, if there was one.
        """
        found = found or self._searched(operation, kind, {**criteria, **created_in(since, until)})
        ends = until or found.answered_at
        middle = middle_of(since or _BEGAN, ends) if found.is_full else None
        try:
            if middle is None:
                yield from found.pages()
                return
        except RequestFaulted as failed:
            raise as_error(failed.fault) from None
        yield from self._made_in(operation, kind, criteria, middle, until)
        yield from self._made_in(operation, kind, criteria, since, middle)

    def _searched(self, operation: str, kind: str, criteria: Node) -> Found:
        """Return what a search found, to be read page by page. Raises: Unavailable, BadInput."""
        try:
            return self._search(operation, kind, criteria, None)
        except RequestFaulted as failed:
            raise as_error(failed.fault) from None

    def _refunds_of(self, charge: str) -> Sequence[Node]:
        sale = self._find("/transactions", charge, lambda _, data: data)
        ids = [] if sale is None else list(texts(sale.get("refund_ids")))
        return self._transactions("list_refunds", ids)[::-1]

    def _refunded(self, page: Sequence[Node]) -> dict[str, Node]:
        """Return the refunds of a page's sales, by id."""
        ids = [each for sale in page for each in texts(sale.get("refund_ids"))]
        return {str(each["id"]): each for each in self._transactions("list_refunds", ids)}

    def _transactions(self, operation: str, ids: Sequence[str]) -> list[Node]:
        """Return transactions by their ids, in that order. Raises: Unavailable, BadInput."""
        try:
            return [
                each
                for start in range(0, len(ids), PAGE)
                for each in self._by_ids(operation, "transactions", ids[start : start + PAGE], None)
            ]
        except RequestFaulted as failed:
            raise as_error(failed.fault) from None


def middle_of(since: datetime | None, until: datetime | None) -> datetime | None:
    """Return a whole second within a window; None where it can't be divided any more."""
    if since is None or until is None or until - since < 2 * _SECOND:
        return None
    middle = (since + (until - since) / 2).replace(microsecond=0)
    return middle if since < middle < until else None


def _charge(sale: Node, refunds: dict[str, Node]) -> ProviderCharge:
    return read_charge(sale, _sum(sale, refunds))


def _sum(sale: Node, refunds: dict[str, Node]) -> int:
    """Return what was given back of a sale, in minor units."""
    own = [refunds[each] for each in texts(sale.get("refund_ids")) if each in refunds]
    return sum(
        money(each, "amount").amount for each in own if each.get("status") not in DECLINED | GONE
    )


def read_page(items: Iterable[Node], read: Callable[[Node], Read | None]) -> ListedPage[Read]:
    """Read the objects of a page, each by itself; what reads as None is left out."""
    return pages.read_page(items, read, unreadable_object)


def unreadable_object(item: Node, error: Exception) -> Unreadable:
    """Return what stands in a page for an object that can't be read."""
    return pages.unreadable_object(
        reference(item, "id"),
        text(item, "type") or "object",
        error,
        f"{text(item, 'amount') or ''} {text(item, 'currency_iso_code') or ''}".strip(),
        repr(sorted(item.items(), key=str)),
    )
