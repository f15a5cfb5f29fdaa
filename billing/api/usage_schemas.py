"""Usage as OpenAPI tells it: what is sent, and what became of it."""

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import Field

from billing.api.schema_types import Body
from billing.rules.usage import BATCH_MAX, TEXT_MAX, UsageRefusal

_Name = Annotated[str, Field(min_length=1, max_length=TEXT_MAX)]


class UsageEventBody(Body):
    """Something that a customer used. A retry has the same `id` and the same `at`.

    It names a subscription, or else a customer and the item that bills it.
    """

    id: _Name = Field(description="Yours, unique among all events: a UUID, or any text.")
    event: _Name
    at: datetime = Field(description="With an offset; at most five minutes ahead.")
    subscription: _Name | None = Field(default=None, description="Its id or external id.")
    customer: _Name | None = Field(default=None, description="Their id or external id.")
    item: _Name | None = Field(default=None, description="With `customer`: which item bills it.")
    properties: dict[str, Any] = Field(
        default={}, description="What meters read. Numbers are exact, also as texts."
    )


class RefusedEventBody(Body):
    """An event that isn't counted, by its place in the batch, and why."""

    index: int
    reason: UsageRefusal
    detail: str = Field(description="The reason in a sentence, with what to do.")


class UsageAnswerBody(Body):
    """What became of a batch, by the places of its events.

    `late` of those accepted count for a period whose usage was billed. `repeated` were counted
    before. `conflicting` were counted before with another instant or payload.
    """

    accepted: int
    late: int
    repeated: list[int]
    conflicting: list[int]
    refused: list[RefusedEventBody]


class UsageTotalBody(Body):
    """What was counted on a meter in a period, and how much of it was billed last.

    Quantities are exact texts; `keys` are how many different ones there were.
    """

    meter: str
    n: int
    segment: int
    events: int
    sum: str | None
    max: str | None
    last: str | None
    last_at: datetime | None
    keys: int | None
    billed: str | None
    revision: int | None


class UsageAlertBody(Body):
    """Usage of an item that passed a percentage of what is included; `at` is when it was noted."""

    at: datetime
    item: str
    meter: str
    n: int
    segment: int
    percent: int
    quantity: str
    included: str


class UsageBody(Body):
    """What was counted for a subscription, by period and meter, and what passed a threshold."""

    data: list[UsageTotalBody]
    alerts: list[UsageAlertBody]


SENT: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "description": "Events that are sent together.",
                    "required": ["events"],
                    "additionalProperties": False,
                    "properties": {
                        "events": {
                            "type": "array",
                            "maxItems": BATCH_MAX,
                            "items": UsageEventBody.model_json_schema(),
                        }
                    },
                }
            },
            "application/x-ndjson": {
                "schema": {"type": "string", "description": "An event a line."}
            },
        },
    }
}
"""The body of a batch: it is read row by row, so that a bad row refuses no other one."""
