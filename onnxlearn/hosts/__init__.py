"""Models inside the servers of others: what these load, one module a server."""
