"""The journal: posting entries, reading them, and checking that they add up."""

__all__ = ["checks", "clearing", "posting", "reads"]
