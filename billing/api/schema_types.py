"""What requests and answers of the API are made of: amounts, texts, codes, references."""

from datetime import date, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    WithJsonSchema,
)

from billing.api.wording import ACCOUNT, CODE, CURRENCY, NO_CONTROLS, TOKEN

AMOUNT_MAX = 999_999_999_999


def plausible(starts: datetime) -> datetime:
    """Return a start as it is given. Raises: ValueError, with an offset or far from today."""
    if starts.tzinfo is not None:
        raise ValueError("is civil time in `zone`: write it without an offset")
    if not 2000 <= starts.year <= 2100:
        raise ValueError("lies between 2000 and 2100")
    return starts


def instant(at: datetime | None) -> datetime | None:
    """Return an instant as it is given. Raises: ValueError, without an offset."""
    if at is None:
        return None
    if at.tzinfo is None:
        raise ValueError("is an instant: write it with Z or an offset")
    if not 2000 <= at.year <= 2100:
        raise ValueError("lies between 2000 and 2100")
    return at


def _no_null(amount: object) -> object:
    if amount is None:
        raise ValueError("is an amount; leave it out for all there is")
    return amount


Amount = Annotated[
    int,
    Field(strict=True, ge=1, le=AMOUNT_MAX, description="Minor units: 999 is 9.99 USD."),
]
# A missing amount means all there is. A null one is refused: a program sends that by mistake.
AmountIfAny = Annotated[
    Amount | None,
    BeforeValidator(_no_null),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": AMOUNT_MAX}),
]
Currency = Annotated[str, Field(pattern=CURRENCY, description="ISO 4217.", examples=["USD"])]
ItemCode = Annotated[str, Field(max_length=64, pattern=CODE)]
Text = Annotated[str, Field(max_length=500, pattern=NO_CONTROLS)]
Reason = Annotated[
    str, Field(max_length=500, pattern=NO_CONTROLS, description="Why; kept in the history.")
]
Reference = Annotated[
    str,
    Field(min_length=1, max_length=255, pattern=NO_CONTROLS, description="An id, or yours."),
]
Token = Annotated[
    str,
    Field(
        min_length=1,
        max_length=255,
        pattern=TOKEN,
        description="The provider's token, like pm_...; never a card number.",
    ),
]

Account = Annotated[str, Field(pattern=ACCOUNT)]


def _day(day: object) -> object:
    if not isinstance(day, str):
        raise ValueError("is a date, like 2026-03-01")
    return day


Day = Annotated[date, BeforeValidator(_day)]


class Body(BaseModel):
    """A body's public name, in OpenAPI and its clients, is its class's name without `Body`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__name__ = cls.__qualname__ = cls.__name__.removesuffix("Body")


"""What bodies of other modules are made of."""


CivilTime = Annotated[
    datetime,
    AfterValidator(plausible),
    Field(description="In the subscription's zone.", examples=["2026-03-01T00:00:00"]),
]
