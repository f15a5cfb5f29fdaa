"""HTTP routes, one file a noun. Each names its scope, calls a flow, and answers."""
