"""What a note on a break tells."""

from enum import StrEnum


class BreakNoteKind(StrEnum):
    """The kind of a note on a break."""

    WRITTEN = "written"
    """A person's own words."""
    ASSIGNED = "assigned"
    UNASSIGNED = "unassigned"
    PROPOSED = "proposed"
    """An adjustment that another person has to agree to."""
    RESOLVED = "resolved"
