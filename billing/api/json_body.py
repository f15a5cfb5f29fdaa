"""Reading JSON that can be read in one way only (RFC 8259; I-JSON, RFC 7493)."""

import json
from typing import Any, Final

from billing.api.cards import refuse_in_json
from billing.api.problems import Refused

WHERE: Final = "body"


def parse(body: bytes) -> Any:
    """Return what a body says. Raises `Refused` for what two readers may read differently.

    That is another encoding than UTF-8, and a name that comes twice in an object.
    """
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_each_name_once)
    except UnicodeDecodeError:
        raise Refused("malformed_request", "the body is not UTF-8", where=WHERE) from None
    except (ValueError, RecursionError):
        raise Refused("malformed_request", "the body is no JSON", where=WHERE) from None


def _each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        refuse_in_json([list(pair) for pair in pairs])  # the dictionary hides the first of a name
        raise Refused(
            "malformed_request",
            "a name comes twice in one object of the body",
            where=WHERE,
            remedy="send each member once",
        )
    return found
