"""Target ``web``: a page that runs the model in its visitor's browser."""
