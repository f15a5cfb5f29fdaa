"""What every gRPC service reads from messages, and writes into them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NoReturn, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import BaseModel, ValidationError

from billing.api.metrics import ApiMetrics
from billing.api.problems import Refused
from billing.api.wording import what_is_wrong
from billing.flows.service.idempotency import KeyedAnswer
from billing.rules.texts import has_controls

TEXT_LENGTH_MAX: Final = 500
REFERENCE_LENGTH_MAX: Final = 255

Validated = TypeVar("Validated", bound=BaseModel)


def invalid(where: str, what: str) -> NoReturn:
    """Raise `Refused` for a value that can't be taken."""
    raise Refused("invalid_request", f"{where} {what}", where=where)


def key_of(key: str) -> str:
    """Return an idempotency key. Raises `Refused` where there is none."""
    if not key:
        raise Refused("idempotency_key_missing", "idempotency_key is empty")
    return key


def text_of(text: str, where: str, longest: int = TEXT_LENGTH_MAX) -> str:
    """Return a text. Raises `Refused` for one that is too long or has control characters."""
    if len(text) > longest:
        invalid(where, f"has more than {longest} characters")
    if has_controls(text):
        invalid(where, "has control characters in it")
    return text


def reference_of(text: str, where: str) -> str:
    """Return what is named by an id, ours or the caller's. Raises `Refused` as `text_of`."""
    return text_of(text, where, REFERENCE_LENGTH_MAX)


def body_of(model: type[Validated], given: Mapping[str, Any]) -> Validated:
    """Return what a message says as the body of the same request over HTTP, by the same rules.

    What is empty or None isn't given. Raises `Refused`.
    """
    said = {name: value for name, value in given.items() if value not in (None, "", {}, [], ())}
    try:
        return model.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        invalid(".".join(str(part) for part in first["loc"]), what_is_wrong(first))


def instant(text: str | None) -> Timestamp | None:
    """Return an instant as a message has it."""
    if text is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(datetime.fromisoformat(text))
    return stamp


def moment(stamp: Timestamp) -> datetime:
    """Return the instant of a message. Raises `Refused` for one that no calendar has."""
    try:
        return stamp.ToDatetime(UTC)
    except (OverflowError, ValueError):
        invalid("timestamp", "is no instant")


def was_replayed(answer: KeyedAnswer, metrics: ApiMetrics) -> bool:
    """Tell whether an answer was given before, and count it then."""
    if answer.replayed:
        metrics.replayed()
    return answer.replayed
