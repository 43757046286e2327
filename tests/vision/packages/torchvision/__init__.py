"""A stand-in with the calls of torchvision 0.28 that backbones are made by, and networks of a few weights."""
