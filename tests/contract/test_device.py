"""What runs on a GPU is the file, whatever the learner; here the CPU takes the GPU's place."""

import numpy as np
import pytest
from odd_tables import COLUMNS, make_task
from quick_learners import TABLE_LEARNERS, quick

from onnxlearn.device import open_apart
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.model import Model
from onnxlearn.providers import CPU_PROVIDER


@pytest.mark.parametrize("name", [name for name in TABLE_LEARNERS if name != "module"])
@pytest.mark.parametrize("graph_rows", [None, 16])
def test_a_network_of_its_own_gives_what_the_file_gives(name, graph_rows, fitted):
    whole = fitted(name)
    session = open_apart(whole.to_bytes(), [CPU_PROVIDER], ("cpu", 0), 1, chunk_rows=whole.chunk_rows, graph_rows=graph_rows)
    model = Model(whole.to_bytes(), session=session)
    for n in (0, 1, 16, 37):
        feeds = {column: array[:n] for column, array in hostile_feeds(whole.schema, 37).items()}
        found, expected = model.predict_feeds(feeds), whole.predict_feeds(feeds)
        np.testing.assert_allclose(found["probabilities"], expected["probabilities"], rtol=1e-5, atol=1e-6)
        sure = np.ptp(np.sort(expected["probabilities"], axis=1)[:, -2:], axis=1) > 1e-5
        assert (found["label"] == expected["label"])[sure].all()


@pytest.fixture(scope="module")
def fitted():
    models = {}

    def fit(name):
        if name not in models:
            models[name] = quick(name).fit(make_task(tuple(COLUMNS), "several texts", seed=0, n=120), progress=False)
        return models[name]

    return fit
