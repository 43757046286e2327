"""Several networks of one architecture, trained as one whose tensors have a dimension more: ``[k, N, d]``."""
