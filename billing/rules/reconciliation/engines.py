"""Objects of other engines: several may collect over one account at a provider.

Everything that an engine makes carries its id in the metadata (`docs/decisions.md`, 20).
"""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

MARK: Final = "engine"


def is_of_another(metadata: Mapping[str, str], engine: UUID) -> bool:
    """Tell whether an object carries the id of another engine; one without a mark doesn't."""
    return metadata.get(MARK, str(engine)) != str(engine)
