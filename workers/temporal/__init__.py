"""The night as a workflow of Temporal; nothing else imports its client, which is an extra.

`night` is the workflow, `activities` what it asks of the engine, `values` what passes between them,
`client` the way to the server, `serving` the process that does both, `asking` the commands.
"""

__all__ = ["asking", "serving"]
