"""The register of VAT ids, as the sandbox plays it: `/vies/rest-api/check-vat-number`.

Every id is valid, but those that the setting `vat_ids` calls "invalid" or "unavailable".
"""

import json
from typing import Any, Final

from billing.sandbox.account import SandboxAccount
from billing.sandbox.errors import Reply
from billing.sandbox.http import HttpAnswer, HttpRequest, json_answer

PATH: Final = "/vies/rest-api/"


def answer(account: SandboxAccount, request: HttpRequest) -> HttpAnswer:
    """Return what the register says."""
    if (request.method, request.path) != ("POST", f"{PATH}check-vat-number"):
        return json_answer(Reply(404, _error("NOT_FOUND")))
    try:
        asked = json.loads(request.body)
        vat_id = f"{asked['countryCode']}{asked['vatNumber']}"
    except (ValueError, KeyError, TypeError):
        return json_answer(Reply(400, _error("INVALID_INPUT")))
    standing = account.settings.vat_ids.get(vat_id, "valid")
    if standing == "unavailable":
        return json_answer(Reply(200, _error("MS_UNAVAILABLE")))
    body = {
        "countryCode": asked["countryCode"],
        "vatNumber": asked["vatNumber"],
        "requestDate": account.clock.now(),
        "valid": standing == "valid",
        "requestIdentifier": f"WAPI{vat_id}",
        "name": "---",
        "address": "---",
    }
    return json_answer(Reply(200, body))


def _error(code: str) -> dict[str, Any]:
    return {"actionSucceed": False, "errorWrappers": [{"error": code}]}
