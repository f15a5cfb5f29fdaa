"""The base of every section of the settings."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Immutable, without unknown keys, and silent about the values in its errors.

    All settings are checked by one validator, made when the first are read: building one for each
    section as well was a tenth of a short command's time.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True
    )


def with_defaults() -> Any:
    """Return the default of a section within another: nothing written, which is then checked."""
    return Field(default_factory=dict, validate_default=True)
