"""The register of VAT ids of the EU (VIES): whether an id was given to a business.

It is asked over its REST interface. An answer that can't be read, a member state that doesn't
answer, and a broken connection are all unknown: nothing follows from them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from billing.gateway.transport import Deadline, Transport, TransportError

BASE: Final = "https://ec.europa.eu/taxation_customs/vies/rest-api"
_READ_SECONDS: Final = 10.0
_CONNECT_SECONDS: Final = 5.0
_DEADLINE_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class VatAnswer:
    """What the register says of an id; `reference` is its own of the look-up."""

    confirmed: bool
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class VatUnknown:
    """The register said nothing, and why."""

    why: str


class VatRegister(Protocol):
    """Tells whether VAT ids were given to a business."""

    def look_up(self, vat_id: str) -> VatAnswer | VatUnknown:
        """Return what the register says of an id with its prefix."""
        ...


class Vies:
    """The register of the EU, or the sandbox's. Make one per process."""

    def __init__(self, base: str = BASE) -> None:
        self._base = base
        server = urlsplit(base)
        self._transport = Transport(
            f"{server.scheme}://{server.netloc}",
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            connections=1,
        )

    def look_up(self, vat_id: str) -> VatAnswer | VatUnknown:
        """Return what the register says of an id with its prefix."""
        body = json.dumps({"countryCode": vat_id[:2], "vatNumber": vat_id[2:]})
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        try:
            content, status, _ = self._transport.send(
                "POST",
                f"{self._base}/check-vat-number",
                headers,
                body,
                Deadline(_DEADLINE_SECONDS),
                reads=True,
            )
        except TransportError as error:
            return VatUnknown(str(error))
        if status != 200:
            return VatUnknown(f"status {status}")
        try:
            return _answer(json.loads(content))
        except (ValueError, AttributeError, TypeError):
            return VatUnknown("the answer can't be read")

    def close(self) -> None:
        """Close the idle connections."""
        self._transport.close()


def _answer(data: Mapping[str, Any]) -> VatAnswer | VatUnknown:
    """Read an answer; what isn't plainly yes or no is unknown. Raises: AttributeError."""
    valid = data.get("valid")
    if data.get("actionSucceed") is False or type(valid) is not bool:
        errors = data.get("errorWrappers") or [{}]
        return VatUnknown(str(errors[0].get("error", "no answer"))[:200])
    return VatAnswer(valid, str(data.get("requestIdentifier") or "")[:100] or None)
