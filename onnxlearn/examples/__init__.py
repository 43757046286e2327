"""Tasks to play with: shipped, bundled with scikit-learn, or generated."""
