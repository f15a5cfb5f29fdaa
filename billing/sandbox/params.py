"""Parameters: each endpoint names those it takes; any other is refused, as Stripe does."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from billing.sandbox.errors import refused
from billing.sandbox.form import Form

Reader = Callable[[Any, str], Any]  # (raw value, parameter name) -> value; raises ApiError

_INTEGER = re.compile(r"-?\d{1,18}")
_METADATA_KEYS, _METADATA_KEY_LENGTH, _METADATA_VALUE_LENGTH = 50, 40, 500


@dataclass(frozen=True, slots=True)
class Params:
    """The parameters of one endpoint."""

    readers: Mapping[str, Reader]
    required: tuple[str, ...] = field(default=())

    def read(self, form: Form) -> dict[str, Any]:
        """Return the parameters sent, converted.

        Raises: ApiError for unknown, malformed and missing ones.
        """
        for name in form:
            if name not in self.readers:
                raise refused(
                    f"Received unknown parameter: {name}", code="parameter_unknown", param=name
                )
        for name in self.required:
            if name not in form:
                raise refused(
                    f"Missing required param: {name}.", code="parameter_missing", param=name
                )
        return {name: self.readers[name](raw, name) for name, raw in form.items()}


def text(raw: Any, name: str) -> str:
    """Read a string that isn't empty and isn't longer than 5000 characters."""
    if not isinstance(raw, str):
        raise refused(f"Invalid string: {name}", param=name)
    if not raw:
        raise refused(
            f"You passed an empty string for '{name}'.", code="parameter_invalid_empty", param=name
        )
    if len(raw) > 5000:
        raise refused(f"Invalid string: {name} is too long.", param=name)
    return raw


def clearable_text(raw: Any, name: str) -> str | None:
    """Read a string; an empty one unsets the field."""
    return None if raw == "" else text(raw, name)


def integer(low: int = 0, high: int = 2**53) -> Reader:
    """Return a reader of whole numbers from `low` to `high`."""

    def read(raw: Any, name: str) -> int:
        if not isinstance(raw, str) or not _INTEGER.fullmatch(raw):
            raise refused(f"Invalid integer: {raw}", code="parameter_invalid_integer", param=name)
        number = int(raw)
        if not low <= number <= high:
            bound = f"greater than or equal to {low}" if number < low else f"at most {high}"
            raise refused(
                f"Invalid integer: this value must be {bound}.",
                code="parameter_invalid_integer",
                param=name,
            )
        return number

    return read


def boolean(raw: Any, name: str) -> bool:
    """Read `true` or `false`."""
    if raw not in ("true", "false"):
        raise refused(f"Invalid boolean: {raw}", param=name)
    return bool(raw == "true")


def texts(raw: Any, name: str) -> list[str]:
    """Read an array of strings."""
    if not isinstance(raw, dict):
        raise refused("Invalid array", param=name)
    return [text(value, name) for value in raw.values()]


def choice(*allowed: str) -> Reader:
    """Return a reader of one of the given words."""

    def read(raw: Any, name: str) -> str:
        if raw not in allowed:
            raise refused(f"Invalid {name}: must be one of {', '.join(allowed)}", param=name)
        return str(raw)

    return read


def choices(*allowed: str) -> Reader:
    """Return a reader of an array of the given words."""
    one = choice(*allowed)
    return lambda raw, name: [one(value, name) for value in texts(raw, name)]


def nested(**readers: Reader) -> Reader:
    """Return a reader of a hash that takes these parameters and no others."""

    def read(raw: Any, name: str) -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise refused("Invalid hash", param=name)
        for key in raw:
            if key not in readers:
                param = f"{name}[{key}]"
                raise refused(
                    f"Received unknown parameter: {param}", code="parameter_unknown", param=param
                )
        return {key: readers[key](value, f"{name}[{key}]") for key, value in raw.items()}

    return read


def metadata(raw: Any, name: str) -> dict[str, str]:
    """Read metadata within Stripe's limits; an empty value stays, for the caller to unset."""
    if raw == "":
        return {}
    if not isinstance(raw, dict) or not all(isinstance(value, str) for value in raw.values()):
        raise refused("Invalid hash", param=name)
    if len(raw) > _METADATA_KEYS:
        raise refused(f"Metadata can have up to {_METADATA_KEYS} keys.", param=name)
    for key, value in raw.items():
        if len(key) > _METADATA_KEY_LENGTH or len(value) > _METADATA_VALUE_LENGTH:
            raise refused(
                f"Metadata keys can have up to {_METADATA_KEY_LENGTH} characters,"
                f" values up to {_METADATA_VALUE_LENGTH}.",
                param=f"{name}[{key[:_METADATA_KEY_LENGTH]}]",
            )
    return raw


def created_range(raw: Any, name: str) -> list[tuple[str, int]]:
    """Read an instant, or a hash of bounds (gt, gte, lt, lte), as SQL conditions."""
    number = integer(-(2**53))
    if not isinstance(raw, dict):
        return [("created = ?", number(raw, name))]
    bounds = nested(gt=number, gte=number, lt=number, lte=number)(raw, name)
    signs = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
    return [(f"created {signs[word]} ?", value) for word, value in bounds.items()]


def merged_metadata(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """Return `old` with `new` on top; an empty value removes its key."""
    return {key: value for key, value in {**old, **new}.items() if value}
