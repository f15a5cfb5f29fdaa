"""The store: tables and queries, a file a noun. Nothing else writes SQL that changes a row."""
