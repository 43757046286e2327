"""Training of networks on tables that fit in memory."""
