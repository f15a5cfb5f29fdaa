"""The Stripe-Signature header: HMAC-SHA256 over timestamp and body, once for each secret."""

import hashlib
import hmac
import os
from collections.abc import Sequence

SIGNATURES = ("good", "wrong_secret", "garbled", "none")


def new_secret() -> str:
    """Return a fresh signing secret."""
    return f"whsec_{os.urandom(24).hex()}"


def signature_header(body: bytes, secrets: Sequence[str], timestamp: int) -> str:
    """Return `t=...,v1=...`; two secrets, while one replaces the other, make two v1."""
    signed = f"{timestamp}.".encode() + body
    digests = [hmac.new(each.encode(), signed, hashlib.sha256).hexdigest() for each in secrets]
    return ",".join([f"t={timestamp}", *(f"v1={digest}" for digest in digests)])


def headers_for(body: bytes, secrets: Sequence[str], timestamp: int, kind: str) -> dict[str, str]:
    """Return the signature header of a delivery, true or false as asked for."""
    if kind == "none":
        return {}
    if kind == "garbled":
        return {"Stripe-Signature": "t=,v1"}
    chosen = ["whsec_of_somebody_else"] if kind == "wrong_secret" else secrets
    return {"Stripe-Signature": signature_header(body, chosen, timestamp)}
