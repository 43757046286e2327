"""A task of images may be larger than the memory: what training takes does not grow with its rows."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

N = 100_000
PROGRAM = """
import json, sys
import pandas as pd
import onnxlearn as ol
from onnxlearn.inference.child import peak_megabytes
paths, n = json.load(sys.stdin), int(sys.argv[1])
frame = pd.DataFrame({"photo": paths[:n], "side": ["rl"[i % 2] for i in range(n)]})
task = ol.Task.from_frame(frame, "side", kinds={"photo": "image"})
small = {"image_height": 32, "image_width": 32, "width": 4, "n_convs": 1, "n_stages": 2}
learner = ol.learner("cnn", max_epochs=1, batch_size=256, image_memory=0.05, device="cpu", **small)
model = learner.fit(task, progress=False)
print(json.dumps([peak_megabytes(), model.scores["validation"]["acc"]]))
"""


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Files of bright left and right halves; as float32 in the network's size all of them would take 1.2 GB."""
    folder, rng, paths = tmp_path_factory.mktemp("many"), np.random.default_rng(0), []
    for i in range(N):
        part = folder / str(i // 1000)
        part.mkdir(exist_ok=True)
        pixels = rng.integers(0, 120, (32, 32, 3), np.uint8)
        (pixels[:, :16] if i % 2 else pixels[:, 16:])[:] += 100
        Image.fromarray(pixels).save(part / f"{i}.jpg", quality=85)
        paths.append(str(part / f"{i}.jpg"))
    return paths


@pytest.mark.slow
def test_a_hundred_thousand_images_take_no_more_memory_than_ten_thousand(paths):
    peaks = {}
    for n in (N // 10, N):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(n)],
            input=json.dumps(paths),
            capture_output=True,
            text=True,
            check=True,
            timeout=900,
        )
        peaks[n], accuracy = json.loads(done.stdout.splitlines()[-1])
        assert accuracy > 0.9
    # The table of paths itself takes some.
    assert peaks[N] < peaks[N // 10] + 100
