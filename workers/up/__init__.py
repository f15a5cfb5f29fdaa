"""The whole engine on one machine: embedded servers, a sandbox provider, and a supervisor."""

__all__ = ["advance", "child_spec", "sandbox", "state_file", "supervisor", "up"]
