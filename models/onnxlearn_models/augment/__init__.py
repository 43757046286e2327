"""Images of training rows, changed at random: nothing of it is in the model's file."""
