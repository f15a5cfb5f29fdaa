"""The commands, a noun a file. Each calls a flow or a query and writes what came of it."""
