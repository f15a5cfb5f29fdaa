"""Disputes at Braintree, with the movements that they cause.

A dispute says when its money moves, and in the currency of the sale. What that is on the way to
the bank follows from the sale's own disbursement.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Final

from billing.gateway.braintree.amounts import converted
from billing.gateway.braintree.faults import RequestFaulted, as_error, garbage
from billing.gateway.braintree.fields import Node, day, instant, metadata, midnight, money, several
from billing.gateway.braintree.reads import TransactionReads, read_page
from billing.gateway.braintree.statuses import dispute_stage
from billing.gateway.kinds import MovementKind
from billing.gateway.objects import BalanceTransaction, ProviderDispute
from billing.gateway.transport import Deadline
from billing.gateway.untrusted import Malformed, mapping, required, text
from billing.rules.money import Money

_RECEIVED_BEFORE: Final = timedelta(days=7)


class Disputes(TransactionReads):
    """Reads disputes, each with its sale."""

    def dispute_by_id(self, provider_dispute_id: str) -> ProviderDispute | None:
        """Return the dispute as it is now, or None."""

        def read(_: str, data: Node) -> ProviderDispute:
            return read_dispute(data, self._sales_of([data]))

        return self._find("/disputes", provider_dispute_id, read)

    def list_disputes(
        self, *, since: datetime, until: datetime | None = None
    ) -> Iterator[Sequence[ProviderDispute]]:
        """Yield pages of disputes.

        They are searched by the day on which they were received, by the bank's calendar, which may
        be days before they were made.
        """
        received: dict[str, object] = {"min": since.astimezone(UTC).date() - _RECEIVED_BEFORE}
        if until is not None:
            received["max"] = until.astimezone(UTC).date() + timedelta(days=1)
        for page in self._dispute_pages("list_disputes", {"received_date": received}):
            within = [each for each in page if _made_in(each, since, until)]
            if within:
                sales = self._sales_of(within)
                yield read_page(within, partial(read_dispute, sales=sales))

    def _dispute_pages(self, operation: str, criteria: Node) -> Iterator[Sequence[Node]]:
        """Yield the pages of a search, each with a deadline. Raises: Unavailable, BadInput."""
        number = seen = 0
        while True:
            number += 1
            path = f"/disputes/advanced_search?page={number}"
            try:
                answer = self._send(
                    operation, "post", path, {"search": criteria}, Deadline(self._seconds)
                )
                total = answer.data.get("total_items")
                if answer.name != "disputes" or not isinstance(total, int):
                    raise RequestFaulted(garbage("expected a page of disputes", answer.request_id))
            except RequestFaulted as failed:
                raise as_error(failed.fault) from None
            page = several(answer.data.get("dispute"))
            seen += len(page)
            if page:
                yield page
            if seen >= total or not page:
                return

    def _sales_of(self, disputes: Sequence[Node]) -> Mapping[str, Node]:
        """Return the transactions of disputes, by id. Raises: Unavailable, BadInput."""
        found = [mapping(each.get("transaction")).get("id") for each in disputes]
        ids = list(dict.fromkeys(each for each in found if isinstance(each, str)))
        return {str(each["id"]): each for each in self._transactions("retrieve", ids)}


def _made_in(data: Node, since: datetime, until: datetime | None) -> bool:
    try:
        made = instant(data, "created_at")
    except Malformed:
        return True  # it stands in its page as unreadable
    return since <= made and (until is None or made < until)


def read_dispute(data: Node, sales: Mapping[str, Node]) -> ProviderDispute:
    """Read a dispute. Raises: Malformed."""
    sale = required(mapping(data.get("transaction")), "id")
    kind = required(data, "kind")
    stage, is_inquiry = dispute_stage(required(data, "status"), kind)
    return ProviderDispute(
        id=required(data, "id"),
        provider_charge_id=sale,
        provider_payment_id=sale,
        amount=_amount(data),
        stage=stage,
        reason=text(data, "reason") or "general",
        created=instant(data, "created_at"),
        is_inquiry=is_inquiry,
        balance_transactions=tuple(movements_of(data, sales.get(sale))),
    )


def _amount(data: Node) -> Money:
    return money(data, "amount_disputed" if data.get("amount_disputed") else "amount")


def movements_of(
    data: Node, sale: Node | None, on: date | None = None
) -> Iterator[BalanceTransaction]:
    """Yield what a dispute moved or will move, or what of it moves on a day. Raises: Malformed.

    An entry of its history moves money when it names a date of disbursement.
    """
    for n, event in enumerate(several(data.get("status_history"))):
        moves_on = day(event, "disbursement_date")
        if moves_on is not None and on in (None, moves_on):
            yield _movement(data, sale, n, required(event, "status"), moves_on)


def _movement(
    data: Node, sale: Node | None, n: int, status: str, moves_on: date
) -> BalanceTransaction:
    won = status == "won"
    amount = _amount(data)
    if won and data.get("amount_won"):
        amount = money(data, "amount_won")
    signed = amount if won else -amount
    details = mapping(sale.get("disbursement_details")) if sale is not None else {}
    settled, rate = in_settlement(signed, sale or {}, details)
    dispute, of = required(data, "id"), required(mapping(data.get("transaction")), "id")
    account = text(data, "merchant_account_id") or ""
    return BalanceTransaction(
        id=f"{dispute}:{n}:{status}",
        kind=MovementKind.DISPUTE_REVERSAL if won else MovementKind.DISPUTE,
        category="dispute_won" if won else "dispute",
        type=status,
        amount=settled.amount,
        fee=0,
        net=settled.amount,
        currency=settled.currency,
        source_id=dispute,
        provider_charge_id=of,
        provider_payment_id=of,
        customer_money=signed,
        exchange_rate=rate,
        payout_id=payout_id(moves_on, account),
        created=midnight(moves_on),
        available_on=midnight(moves_on),
        metadata={} if sale is None else metadata(sale),
    )


def in_settlement(amount: Money, sale: Node, details: Node) -> tuple[Money, str | None]:
    """Return a part of a sale in the currency that it is paid out in, and the rate if it differs.

    Without a disbursement that is the sale's own currency.
    """
    currency = text(details, "settlement_currency_iso_code") or amount.currency
    if currency == amount.currency:
        return amount, None
    rate = required(details, "settlement_currency_exchange_rate")
    if abs(amount) == money(sale, "amount"):
        whole = abs(money(details, "settlement_amount", currency))
        return (-whole if amount.amount < 0 else whole), rate
    try:
        return converted(amount, currency, rate), rate
    except ValueError as error:
        raise Malformed(str(error)) from error


def payout_id(on: date, account: str) -> str:
    """Return the id of what a merchant account is paid on a day; there is no other to read by."""
    return f"{on.isoformat()}_{account}"
