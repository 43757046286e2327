"""What a task is made of: kinds, levels, roles, targets, rows set aside."""
