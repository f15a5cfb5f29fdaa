"""PostgreSQL and Valkey as child processes of ours, on loopback."""
