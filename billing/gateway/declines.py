"""Tables of decline codes."""

from collections.abc import Mapping
from types import MappingProxyType

from billing.rules.dunning import DeclineClass


def classes(*lists: tuple[DeclineClass, str]) -> Mapping[str, DeclineClass]:
    """Return the class of each code. A code in two lists is refused: the last would win."""
    found: dict[str, DeclineClass] = {}
    for decline_class, codes in lists:
        for code in codes.split():
            assert code not in found, f"{code} has two classes"
            found[code] = decline_class
    return MappingProxyType(found)
