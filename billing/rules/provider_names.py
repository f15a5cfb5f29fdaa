"""Names made of an account's name at a provider, and the account that had none.

Before accounts had names there was one. Its journal entries and its tasks are called as they were
then; those of other accounts have the account's name in theirs.
"""

from typing import Final

FIRST_ACCOUNT: Final = "stripe"


def task_of(task: str, provider: str) -> str:
    """Return the name under which a recurring task of an account is recorded."""
    return task if provider == FIRST_ACCOUNT else f"{task}:{provider}"
