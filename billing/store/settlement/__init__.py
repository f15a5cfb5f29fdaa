"""Settlement runs, the rows that they read, matching, breaks, exchanges and the tie-out."""
