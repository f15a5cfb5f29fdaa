"""The merchant accounts: each takes one currency, and a sale says only through which it goes.

A sale through an account of another currency would charge the same number in that currency. So the
currency of the account is checked before anything is sent.
"""

from billing.errors import BadInput
from billing.gateway.braintree.client import BraintreeClient
from billing.gateway.braintree.faults import RequestFaulted, as_error, garbage
from billing.gateway.braintree.fields import several
from billing.gateway.kinds import Doubt
from billing.gateway.outcomes import Rejected, Unknown
from billing.gateway.provider_kind import Access
from billing.gateway.transport import Deadline
from billing.gateway.untrusted import Malformed, required


class MerchantAccounts(BraintreeClient):
    """Knows the currency of each merchant account, read once and again where it doesn't fit."""

    def __init__(self, access: Access) -> None:
        super().__init__(access)
        self._currencies: dict[str | None, str] = {}

    def check(self) -> None:
        """Prove that Braintree answers, and knows the merchant accounts that are named.

        Raises: Unavailable, BadInput.
        """
        self._answers()
        try:
            self._currencies = self._read_accounts(Deadline(self._seconds))
        except RequestFaulted as failed:
            raise as_error(failed.fault) from None
        for currency, account in self._merchant_accounts.items():
            takes = self._currencies.get(account, "nothing")
            if takes != currency:
                raise BadInput(
                    f"the merchant account {account} takes {takes}, and not {currency}",
                    where=f"merchant_accounts.{currency}",
                    remedy=f"name one there that takes {currency}",
                )

    def _unfit(
        self, currency: str, deadline: Deadline, *, first_send: bool
    ) -> Rejected | Unknown | None:
        """Return the outcome of a charge that no merchant account takes; None where one does.

        Raises: RequestFaulted.
        """
        account = self._merchant_accounts.get(currency)
        if self._currencies.get(account) != currency:
            self._currencies = self._read_accounts(deadline)
        takes = self._currencies.get(account)
        if takes == currency:
            return None
        named = "the default merchant account" if account is None else account
        message = f"{named} takes {takes or 'nothing'}, and not {currency}; nothing was sent"
        if first_send:
            return Rejected("no_merchant_account", message)
        return Unknown(Doubt.WRONG_CURRENCY, message)

    def _read_accounts(self, deadline: Deadline) -> dict[str | None, str]:
        """Return the currency of each merchant account; the default one is None, too."""
        found: dict[str | None, str] = {}
        number = seen = 0
        while True:
            number += 1
            path = f"/merchant_accounts/?page={number}"
            answer = self._send("merchant_accounts", "get", path, None, deadline)
            total = answer.data.get("total_items")
            page = several(answer.data.get("merchant_account"))
            if answer.name != "merchant_accounts" or not isinstance(total, int):
                raise RequestFaulted(garbage("expected merchant accounts", answer.request_id))
            try:
                for each in page:
                    currency = required(each, "currency_iso_code")
                    found[required(each, "id")] = currency
                    if each.get("default") is True:
                        found[None] = currency
            except Malformed as error:
                raise RequestFaulted(garbage(str(error), answer.request_id)) from error
            seen += len(page)
            if seen >= total or not page:
                return found
