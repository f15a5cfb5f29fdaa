"""What the control API's endpoints work with, and how they read what they are sent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from billing.sandbox.account import SandboxAccount
from billing.sandbox.call import Call
from billing.sandbox.errors import ApiError, Body, missing_object
from billing.sandbox.faults import Faults
from billing.sandbox.http import HttpAnswer
from billing.sandbox.report_writer import ReportWriter
from billing.sandbox.stats import Stats
from billing.sandbox.store import Record
from billing.sandbox.webhooks.dispatcher import WebhookDispatcher


@dataclass(frozen=True, slots=True)
class ControlEndpoints:
    """The parts of the sandbox that the control API changes."""

    account: SandboxAccount
    faults: Faults
    stats: Stats
    dispatcher: WebhookDispatcher
    reports: ReportWriter


Wanted = dict[str, Any]
Endpoint = Callable[[ControlEndpoints, tuple[str, ...], Wanted], Body | HttpAnswer]


def read(wanted: Wanted, types: Mapping[str, type], required: tuple[str, ...] = ()) -> Wanted:
    """Return what was sent, checked: known names, right types. Raises: ValueError."""
    for name, value in wanted.items():
        if name not in types:
            known = ", ".join(sorted(types))
            raise ValueError(f"unknown field {name!r}; known: {known}")
        if type(value) is not types[name]:
            raise ValueError(f"{name} must be of type {types[name].__name__}")
    for name in required:
        if name not in wanted:
            raise ValueError(f"{name} is missing")
    return wanted


def one_of(value: Any, allowed: tuple[str, ...], name: str) -> str:
    """Return a word that is allowed. Raises: ValueError."""
    if value not in allowed:
        raise ValueError(f"{name} is one of {', '.join(allowed)}")
    return str(value)


def named(call: Call, kind: str, object_id: str) -> Record:
    """Return the object with an id. Raises: ApiError, 404."""
    record = call.store.find(kind, object_id)
    if record is None:
        raise _missing(kind, object_id)
    return record


def _missing(kind: str, object_id: str) -> ApiError:
    return missing_object(kind, object_id, param="id", in_path=True)
