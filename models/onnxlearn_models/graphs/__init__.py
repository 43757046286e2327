"""Networks made of graphs: the torch modules of their layers, and the learner."""
