"""The ledger's rules: the chart (`accounts`), entries (`journal`), what events post (`recipes`).

Pure values; `billing.store.journal.posting` stores them.
"""

__all__ = ["accounts", "findings", "journal", "keys", "recipes"]
