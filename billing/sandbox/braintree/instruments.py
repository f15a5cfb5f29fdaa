"""From what a request names (a nonce, a card's number) to the card or account that is kept."""

from dataclasses import dataclass
from typing import Any

from billing.sandbox.braintree.behaviours import NonceBehaviour, behaviour_of
from billing.sandbox.braintree.call import METHOD, NONCE, MerchantCall
from billing.sandbox.braintree.cards import card_of, is_expired
from billing.sandbox.braintree.replies import refuse
from billing.sandbox.store import Record


@dataclass(frozen=True, slots=True)
class NonceCodes:
    """The codes that an object has for the same mistakes with a nonce."""

    unknown: str
    consumed: str
    invalid_number: str = "81715"
    one_time: str = "82902"


OF_TRANSACTION = NonceCodes(unknown="91565", consumed="91564")
OF_METHOD = NonceCodes(unknown="93108", consumed="93107")
OF_CARD = NonceCodes(unknown="91732", consumed="91731")


def by_nonce(call: MerchantCall, nonce: str, where: str, codes: NonceCodes) -> Record:
    """Return the instrument of a nonce. Raises: RefusedRequest."""
    behaviour = behaviour_of(nonce)
    if behaviour is None:
        return _made_here(call, nonce, where, codes)
    if behaviour.refusal == "consumed":
        raise refuse(where, "payment_method_nonce", codes.consumed)
    if behaviour.refusal == "invalid_number":
        raise refuse(f"{where}.credit_card", "number", codes.invalid_number)
    return behaviour.instrument(nonce, call.now)


def by_number(call: MerchantCall, given: dict[str, Any], where: str) -> Record:
    """Return the instrument of a card that was sent by number. Raises: RefusedRequest."""
    if given.get("payment_method_nonce"):
        return by_nonce(call, str(given["payment_method_nonce"]), where, OF_CARD)
    return card_of(given, where, call.now)


def of_method(call: MerchantCall, method: Record) -> Record:
    """Return the instrument of a vaulted payment method as it is today."""
    instrument: Record = {**method["instrument"], "token": method["ref"]}
    if instrument["kind"] == "credit_card":
        month, year = instrument["exp_month"], instrument["exp_year"]
        instrument["expired"] = is_expired(month, year, call.now)
    return instrument


def behaviour_of_instrument(instrument: Record) -> NonceBehaviour | None:
    """Return the behaviour of the nonce that an instrument came from."""
    nonce = instrument.get("nonce")
    return None if nonce is None else behaviour_of(nonce)


def vaultable(instrument: Record) -> bool:
    """Whether an instrument may be kept: a one-time PayPal payment may not."""
    behaviour = behaviour_of_instrument(instrument)
    return bool(instrument.get("vaultable", behaviour is None or behaviour.vaultable))


def _made_here(call: MerchantCall, nonce: str, where: str, codes: NonceCodes) -> Record:
    """Use up a nonce that was made of a vaulted payment method, or of a card's number."""
    record = call.find(NONCE, nonce)
    if record is None:
        raise refuse(where, "payment_method_nonce", codes.unknown)
    if record["consumed"]:
        raise refuse(where, "payment_method_nonce", codes.consumed)
    record["consumed"] = True
    call.update(record)
    method = call.find(METHOD, record["token"])
    if method is not None:
        return of_method(call, method)
    if record["instrument"] is None:
        raise refuse(where, "payment_method_nonce", codes.unknown)
    instrument: Record = record["instrument"]
    return instrument
