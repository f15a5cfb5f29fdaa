"""Refusing card numbers in any part of a request, before anything else reads it."""

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from billing.pan import refuse_card_number


def refuse_in_json(value: Any, where: str = "body") -> None:
    """Check every text, number and name, at any depth. Raises `CardNumberRefused`."""
    waiting = [(where, value)]
    while waiting:
        where, value = waiting.pop()
        if isinstance(value, str):
            refuse_card_number(value, where)
        elif isinstance(value, Mapping):
            for name, part in value.items():
                refuse_card_number(name, f"a name in {where}")
                waiting.append((f"{where}.{name}", part))
        elif isinstance(value, Sequence):
            waiting += [(where, part) for part in value]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            refuse_card_number(f"{value:.0f}" if isinstance(value, float) else str(value), where)


def refuse_in_message(message: Message) -> None:
    """Check every text and number of a gRPC request. Raises `CardNumberRefused`."""
    given = json_format.MessageToDict(message, preserving_proto_field_name=True)
    refuse_in_json(given, message.DESCRIPTOR.name)
