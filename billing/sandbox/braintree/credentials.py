"""Who is let in: a public key belongs to the merchant and private key that it first came with."""

from billing.sandbox.braintree.call import MerchantCall, call_for
from billing.sandbox.call import Call
from billing.sandbox.store import Record

_KIND = "bt_credentials"


def let_in(call: Call, merchant: str, public: str, private: str) -> bool:
    """Whether a request's keys are right; those of a new public key are, and are kept."""
    if not (merchant and public and private):
        return False
    with call.store.reading():
        record = call.store.find(_KIND, _key(public))
    if record is None:
        record = {
            "id": _key(public),
            "created": call.now,
            "merchant": merchant,
            "public": public,
            "private": private,
        }
        with call.store.transaction():
            if call.store.find(_KIND, record["id"]) is None:
                call.store.insert(_KIND, record, subtype=merchant)
    return bool(record["merchant"] == merchant and record["private"] == private)


def of_public(call: Call, public: str, private: str) -> MerchantCall | None:
    """Return the call of the merchant that a public key belongs to, if the private one fits."""
    record = call.store.find(_KIND, _key(public))
    if record is None or record["private"] != private:
        return None
    return call_for(call, record["merchant"])


def first_of(call: MerchantCall) -> Record | None:
    """Return the keys that a merchant was first seen with."""
    found = call.store.select(_KIND, [("subtype = ?", call.merchant)], limit=1, oldest_first=True)
    return found[0] if found else None


def _key(public: str) -> str:
    return f"bt::credentials:{public}"
