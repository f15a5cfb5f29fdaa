"""The whole engine on one machine: embedded servers, a sandbox provider, and a supervisor."""
