"""Braintree's proof of a webhook endpoint: it answers a challenge with the keys it has."""

import http.client
import os
from urllib.parse import urlsplit

from billing.sandbox.braintree.notifications import answer_to
from billing.sandbox.store import Record

_TIMEOUT_SECONDS = 10


def challenged(endpoint: Record) -> bool:
    """Ask an endpoint, and return whether it answered as the SDK's `verify` does."""
    challenge = os.urandom(10).hex()
    parts = urlsplit(endpoint["url"])
    connection = http.client.HTTPConnection(parts.netloc, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", f"{parts.path or '/'}?bt_challenge={challenge}")
        answer = connection.getresponse()
        said = answer.read().decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return answer.status == 200 and said in answer_to(challenge, endpoint)
