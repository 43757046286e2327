"""The bare script that `onnxlearn fit example:penguins` is compared with.

It reads the same file with pandas, trains the same network (width, depth, batch, number of epochs) with torch's own
optimizer on a held-out part for early stopping, and writes nothing.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pandas as pd
import torch
from torch import nn
