"""The console: pages for operators, support and finance, with a role of its own."""

__all__ = ["serving"]
