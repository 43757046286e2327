"""The optimizers that there are by name; those of the user stand beside them (:data:`..optimizer.optimizers`)."""
