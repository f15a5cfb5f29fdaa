"""The fee report of a day: what Braintree charges for each transaction that it pays out.

The SDK has no call of its own for it: a question in GraphQL tells the address of a CSV file.
"""

import csv
import io
from collections.abc import Mapping
from datetime import date
from typing import Final

from billing.gateway.braintree.amounts import from_text
from billing.gateway.braintree.client import BraintreeClient
from billing.gateway.braintree.faults import RequestFaulted, as_error, garbage
from billing.gateway.transport import Deadline
from billing.gateway.untrusted import mapping
from billing.rules.money import Money

_ASKED: Final = (
    "query Fees($date: Date!, $account: ID) { report {"
    " transactionLevelFees(date: $date, merchantAccountId: $account) { url } } }"
)
_COLUMNS: Final = ("Transaction ID", "Settlement Currency", "Total Fee Amount")


class Fees(BraintreeClient):
    """Reads fee reports."""

    def _fees(self, on: date, account: str) -> Mapping[str, Money] | None:
        """Return the fee of each transaction that a merchant account is paid on a day.

        None while there is no report of the day. Raises: Unavailable, BadInput.
        """
        deadline = Deadline(self._seconds)
        try:
            url = self._report_of(on, account, deadline)
            if url is None:
                return None
            text = self._sent("fee_report", deadline, lambda: self._strategy.download(url))
            return _read(text)
        except RequestFaulted as failed:
            raise as_error(failed.fault) from None

    def _has_report(self, on: date, account: str) -> bool:
        """Tell whether there is a report of the day. Raises: Unavailable, BadInput."""
        try:
            return self._report_of(on, account, Deadline(self._seconds)) is not None
        except RequestFaulted as failed:
            raise as_error(failed.fault) from None

    def _report_of(self, on: date, account: str, deadline: Deadline) -> str | None:
        """Return the report's address, or None while there is none. Raises: RequestFaulted."""
        asked = {"date": on.isoformat(), "account": account}
        client = self._config.graphql_client()
        told = self._sent("fee_report", deadline, lambda: client.query(_ASKED, asked))
        return _address(told)


def _address(told: object) -> str | None:
    """Return the report's address, or None while there is none. Raises: RequestFaulted."""
    report = mapping(mapping(mapping(told).get("data")).get("report"))
    if "transactionLevelFees" not in report:
        raise RequestFaulted(garbage("expected the address of a fee report", None))
    url = mapping(report["transactionLevelFees"]).get("url")
    return url if isinstance(url, str) and url else None


def _read(text: str) -> Mapping[str, Money]:
    """Return the fees of a report's rows. Raises: RequestFaulted."""
    rows = csv.DictReader(io.StringIO(text))
    if not set(_COLUMNS) <= set(rows.fieldnames or ()):
        raise RequestFaulted(garbage("a fee report without its columns", None))
    try:
        return {
            row["Transaction ID"]: from_text(row["Total Fee Amount"], row["Settlement Currency"])
            for row in rows
        }
    except ValueError as error:
        raise RequestFaulted(garbage(f"a fee report that can't be read: {error}", None)) from error
