"""Networks as graphs of layers, written without torch: what they are made of, and the shapes that they give."""
