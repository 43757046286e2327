"""Columns of texts, from a table to a file and back: tasks, training, predicting."""

import json
import warnings

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from onnx import numpy_helper

import onnxlearn as ol
from onnxlearn import ingress, nn
from onnxlearn.errors import DataError, DataTypeError, ParameterError, TableReadError
from onnxlearn.remarks import RowsWarning
from onnxlearn.tasks.fingerprint import task_fingerprint
from onnxlearn.tasks.roles import TaskWarning
from onnxlearn.testing import check_fit
from onnxlearn_models.training.start import StartWarning

N = 80
GOOD, BAD = ("good", "nice", "lovely", "great"), ("bad", "ugly", "awful", "poor")


def said(i):
    """A text that says good things, or bad ones, among words that say nothing."""
    rng = np.random.default_rng(i)
    words = [*rng.choice(GOOD if i % 2 else BAD, 2), *rng.choice(["it", "was", "the", "food"], 4)]
    rng.shuffle(words)
    return f"{' '.join(words).capitalize()}, {rng.choice(words).upper()}!"


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"review": [said(i) for i in range(N)], "x": rng.normal(size=N), "stars": [("few", "many")[i % 2] for i in range(N)]}
    )


@pytest.fixture(scope="module")
def task(frame):
    return ol.Task.from_frame(frame, "stars", kinds={"review": "text"})


def bag():
    return [ingress.text() >> nn.embedding_bag(8), ingress.num(optional=True)] >> nn.merge_cat() >> nn.head()


def convolutions():
    words = ingress.text("review") >> nn.embedding(8) >> nn.permute((2, 1)) >> nn.conv1d(8, 3, padding=1) >> nn.relu()
    pooled = words >> nn.adaptive_avg_pool1d(1) >> nn.flatten()
    return [pooled, ingress.num(optional=True)] >> nn.merge_cat() >> nn.head()


def transformer():
    words = ingress.text("review") >> nn.embedding(8) >> nn.transformer_encoder_layer(2, d_feedforward=16) >> nn.mean()
    return [words, ingress.num(optional=True)] >> nn.merge_cat() >> nn.head()


def weighted():
    return [ingress.text(), ingress.num(optional=True)] >> nn.merge_cat() >> nn.head()


QUICK = {"text_length": 12, "text_max_words": 40, "max_epochs": 12, "lr": 3e-2, "batch_size": 16, "seed": 0, "device": "cpu"}


def learner(graph=None, **settings):
    return ol.learner(graph or bag(), **{**QUICK, **settings})


@pytest.fixture(scope="module")
def model(task):
    return learner().fit(task, progress=False)


def test_words_are_learned(task, model):
    column = task.schema.column("review")
    assert (column.kind, column.dtype, column.onnx_type, column.levels) == ("text", "str", "STRING", ())
    assert task.notes == ()
    assert model.scores["validation"]["acc"] > 0.9
    assert model.metadata["parity"]["max_difference"] < 1e-5
    assert model.schema.ingress.tensors["text_review"].to_dict() == {
        "name": "text_review", "column": "review", "dtype": "int64", "shape": [12], "n_ids": 42, "d_vectors": 0,
        "given_size": [],
    }  # fmt: skip
    assert "x: 1 numeric" not in str(task)
    first, second = (model.predict_one({"review": text, "x": 0.0})["label"] for text in ("LOVELY, great food", "Ugly. Awful!"))
    assert (first, second) == ("many", "few")


@pytest.mark.parametrize(
    ("graph", "settings"),
    [
        (bag, {}),
        (bag, {"text_pairs": 16, "text_min_rows": 1}),
        (convolutions, {}),
        (transformer, {}),
        (weighted, {"text_form": "tfidf", "text_pairs": 8, "text_sublinear": True}),
    ],
)
def test_files_keep_the_contract(graph, settings, task):
    check_fit(learner(graph(), **{**settings, "max_epochs": 2}), task)


def test_the_form_decides_on_what_enters(task):
    shapes = learner(weighted(), text_form="tfidf", text_pairs=8).shapes(task)
    assert str(shapes["text"]) == "[N, 48]"
    shapes = learner(convolutions()).shapes(task)
    assert (str(shapes["text"]), str(shapes["embedding"])) == ("[N, 12] int64", "[N, 12, 8]")
    with pytest.raises(ParameterError, match=r"node 'embedding_bag': it needs codes: put it behind ingress\.text\(\); it gets"):
        learner(text_form="tfidf").shapes(task)
    with pytest.raises(ParameterError, match="text_sublinear=True changes nothing with text_form='ids'"):
        learner(text_sublinear=True)


def test_all_ways_in_give_the_same(frame, model, task, tmp_path):
    expected = model.predict(frame).prob
    np.testing.assert_array_equal(model.predict(task).prob, expected)
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    for name in ("t.csv", "t.parquet", "t.jsonl"):
        np.testing.assert_allclose(model.predict(tmp_path / name).prob, expected, atol=1e-6, err_msg=name)
    np.testing.assert_array_equal(model.predict(frame.astype({"review": "category"})).prob, expected)
    one = model.predict_one({"review": frame["review"][3], "x": frame["x"][3]})
    np.testing.assert_allclose(list(one["probabilities"].values()), expected[3], atol=1e-6)
    session = onnxruntime.InferenceSession(model.to_bytes())
    first = session.get_inputs()[0]
    assert (first.name, first.type, first.shape) == ("review", "tensor(string)", ["N", 1])
    raw = session.run(["probabilities"], {"review": frame[["review"]].to_numpy(object), "x": frame[["x"]].to_numpy()})[0]
    np.testing.assert_allclose(raw, expected, atol=1e-6)


def test_the_file_verifies_itself_and_takes_no_rows(model, tmp_path):
    model.save(tmp_path / "m.onnx")
    again = ol.load(tmp_path / "m.onnx")
    assert again.verify().ok
    assert again.predict(pd.DataFrame({"review": [], "x": []})).prob.shape == (0, 2)


def test_a_missing_text_is_an_empty_one_and_known_as_such(frame):
    some = frame.assign(review=frame["review"].where(np.arange(N) % 3 > 0, None))
    some.loc[1, "review"] = ""
    task = ol.Task.from_frame(some, "stars", kinds={"review": "text"})
    assert task.schema.column("review").has_missing
    assert task.notes == ("column 'review': 28 texts, the first that of row 0, are missing or empty, which is the same",)
    model = learner(min_level_rows=2).fit(task, progress=False)
    assert "review:missing" in model.schema.ingress.num_names
    np.testing.assert_array_equal(model.predict(some.fillna({"review": ""})).prob, model.predict(some).prob)
    bare, missing = (model.predict_one({"review": text, "x": 0.0})["probabilities"]["few"] for text in (" ,", None))
    assert bare != missing
    told = learner(min_level_rows=2, missing_indicator=False).fit(task, progress=False)
    assert told.schema.ingress.num_names == ("x",)


def test_texts_without_words_are_told(frame):
    bare = frame.assign(review=frame["review"].where(np.arange(N) % 20 > 0, " ... !"))
    task = ol.Task.from_frame(bare, "stars", kinds={"review": "text"})
    assert task.notes == (
        "column 'review': 4 texts, the first that of row 0, are without words: punctuation and white space alone",
    )
    assert not task.schema.column("review").has_missing
    empty = ol.Task.from_frame(frame.assign(review=""), "stars", kinds={"review": "text"})
    with pytest.warns(TaskWarning, match="column 'review': no word is in as many training texts as text_min_rows says"):
        model = learner().fit(empty, progress=False)
    assert any("it says nothing" in note for note in model.metadata["notes"])
    assert np.isfinite(model.predict(frame).prob).all()


def test_a_column_that_reads_like_sentences_is_suggested(frame):
    with pytest.warns(TaskWarning, match=r"if it holds texts .* say kinds=\{'review': 'text'\} \(--kind review=text\)"):
        task = ol.Task.from_frame(frame, "stars")
    assert task.schema.id == ("review",)
    twice = pd.concat([frame, frame], ignore_index=True)
    with pytest.warns(TaskWarning, match="column 'review': texts of several words, trained on as categories; if it holds"):
        assert ol.Task.from_frame(twice, "stars").schema.column("review").kind == "categorical"


def test_cells_that_are_no_texts(frame, model):
    with pytest.raises(DataTypeError, match="column 'x' is declared text and holds the number"):
        ol.Task.from_frame(frame, "stars", kinds={"x": "text"})
    with pytest.raises(DataTypeError, match=r"column 'review', row 1: expected text as in training, got the number 3"):
        model.predict(pd.DataFrame({"review": ["a", 3], "x": [0.0, 1.0]}))


def test_a_learner_without_texts_says_so(task):
    with pytest.raises(
        DataError, match=r"column 'review' is of kind text, which this learner does not take: .*ingress.text\(\)"
    ):
        ol.learner("mlp").fit(task, progress=False)
    with pytest.raises(DataError, match="learner 'cnn' needs a column of images"):
        ol.learner("cnn").fit(task, progress=False)
    with pytest.raises(DataError, match=r"the graph has no ingress.text\('review'\)"):
        ol.learner(ingress.num() >> nn.head()).fit(task, progress=False)


def test_two_columns(frame):
    table = frame.assign(title=[said(i + 1) for i in range(N)], y=np.arange(N) % 2 + 0.5).drop(columns="stars")
    task = ol.Task.from_frame(table, "y", type="regression", kinds={"review": "text", "title": "text"})
    both = [ingress.text(name) >> nn.embedding_bag(4, id=name) for name in ("review", "title")]
    graph = [*both, ingress.num()] >> nn.merge_cat() >> nn.head()
    fitted = learner(graph, max_epochs=2).fit(task, progress=False)
    assert fitted.predict(table).response.shape[0] == N
    with pytest.raises(ParameterError, match="the task has 2 columns of this kind, 'review', 'title': name one"):
        learner().shapes(task)


# What no training row has shows nothing of the initial weights.


def test_words_that_no_row_has_are_predicted_by_the_mean_of_those_that_there_are(task, frame):
    """Every word of the rows is known here, so no row has trained the id of unknown ones, nor most ids of pairs."""
    settings = {"text_min_rows": 1, "text_pairs": 4096, "max_epochs": 2, "validation": None}
    network = learner(**settings).train(task, None, progress=False)
    (step,) = network.preprocessing.columns
    table = network.module.nodes["embedding_bag"].words.table.weight.detach().numpy()
    assert step.counts[1] == 0
    absent = step.counts == 0
    absent[0] = False
    there = step.counts * (np.arange(len(table)) > 0)
    mean = there @ table / there.sum()
    np.testing.assert_allclose(table[absent], np.tile(mean, (absent.sum(), 1)), atol=1e-6)
    assert not table[0].any()
    assert absent.sum() > 3000


VECTORS = "".join(f"{word} {value} {-value} 0.5\n" for word, value in [("good", 1), ("Bad", -1), ("unheard", 9)])


def test_embeddings_begin_with_vectors_of_a_file(task, tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text(VECTORS)
    graph = ingress.text() >> nn.embedding_bag() >> nn.head()
    no_numbers = ol.Task.from_frame(task.frame.drop(columns="x"), "stars", kinds={"review": "text"})
    given = learner(graph, text_vectors=str(path), freeze=["*table*"], max_epochs=2, validation=None)
    network = given.train(no_numbers, None, progress=False)
    (step,) = network.preprocessing.columns
    table = network.module.nodes["embedding_bag"].words.table.weight.detach().numpy()
    assert table.shape[1] == 3
    ids = step.vocabulary.spellings
    np.testing.assert_array_equal(table[[ids["good"], ids["bad"]]], [[1, -1, 0.5], [-1, 1, 0.5]])
    model = given.fit(no_numbers, progress=False)
    told = model.metadata["learner"]["params"]["text_vectors"]
    assert told["d"] == 3
    assert str(tmp_path) not in json.dumps(model.metadata)
    assert ol.learner("graph", graph=graph, text_vectors=path).values["text_vectors"].d == 3
    with pytest.raises(ParameterError, match="d_out=8, and the vectors of text_vectors have 3 numbers: leave d_out out"):
        learner(text_vectors=path).shapes(task)
    path.write_text("good\n")
    with pytest.raises(TableReadError, match=r"vectors\.txt:1: a line has a word and its numbers"):
        learner(text_vectors=path)


def test_folds_and_processes(task):
    scores = ol.resample(task, learner(max_epochs=2), ol.CV(folds=2), measures=["acc"], n_jobs=2).scores
    assert (scores["status"] == "done").all()


def test_the_fingerprint_follows_the_texts(task, frame):
    same = ol.Task.from_frame(frame, "stars", kinds={"review": "text"})
    other = ol.Task.from_frame(frame.assign(review=frame["review"].str.lower()), "stars", kinds={"review": "text"})
    assert task_fingerprint(same) == task_fingerprint(task) != task_fingerprint(other)


def test_images_texts_numbers_and_categories_in_one_file(frame):
    rng = np.random.default_rng(0)
    photos = [rng.integers(0, 255, (6 + i % 2, 6, 3), np.uint8) for i in range(N)]
    table = frame.assign(photo=photos, place=[f"p{i % 3}" for i in range(N)])
    task = ol.Task.from_frame(table, "stars", kinds={"review": "text", "photo": "image"})
    small = {"image_height": 6, "image_width": 6, "width": 4, "n_convs": 1, "text_length": 12, "text_max_words": 40}
    model = ol.learner("multimodal", max_epochs=12, lr=1e-2, seed=0, device="cpu", **small).fit(task, progress=False)
    assert model.scores["validation"]["acc"] > 0.9
    assert model.metadata["parity"]["max_difference"] < 1e-5
    session = onnxruntime.InferenceSession(model.to_bytes())
    feeds = {name: table[[name]].to_numpy(object)[:1] for name in ("review", "place")}
    feeds |= {"x": table[["x"]].to_numpy()[:1], "photo": photos[0][np.newaxis]}
    raw = session.run(["probabilities"], feeds)[0]
    np.testing.assert_allclose(raw, model.predict(table).prob[:1], atol=1e-6)


@pytest.mark.parametrize("form", ["frame", "csv", "jsonl"])
def test_empty_texts_are_told_where_training_had_none(form, tmp_path):
    frame = pd.DataFrame({"review": ["good one", "bad one"] * 20, "y": ["a", "b"] * 20})
    task = ol.Task.from_frame(frame, "y", kinds={"review": "text"})
    model = ol.learner("multimodal", max_epochs=1, text_length=4, seed=0, device="cpu").fit(task, progress=False)
    holes = frame.assign(review=["good one", None, ""] + ["bad one"] * 37)
    path = tmp_path / f"holes.{form}"
    if form == "csv":
        holes.to_csv(path, index=False)
    else:
        holes.to_json(path, orient="records", lines=True)
    with pytest.warns(RowsWarning) as told:
        model.predict(holes if form == "frame" else path)
    first = {"frame": "row 1", "csv": "line 3", "jsonl": "line 2"}[form]
    assert len(told) == 1
    assert str(told[0].message) == f"empty texts, as none was in training: 2, the first in column 'review', {first}"
    with pytest.warns(RowsWarning, match="empty texts, as none was in training: 1, the first in column 'review', this row"):
        model.predict_one({"review": ""})
    # Where training had some they are usual.
    usual = ol.Task.from_frame(holes, "y", kinds={"review": "text"})
    ol.learner("multimodal", max_epochs=1, text_length=4, seed=0, device="cpu").fit(usual, progress=False).predict(holes)


def test_vectors_of_nearly_none_of_the_words_are_told(frame, tmp_path):
    (tmp_path / "v.txt").write_text("qqqq 1 2 3\n")
    task = ol.Task.from_frame(frame, "stars", kinds={"review": "text"})
    vectors = str(tmp_path / "v.txt")
    recipe = ol.learner("multimodal", text_vectors=vectors, max_epochs=1, device="cpu", seed=0)
    with pytest.warns(TaskWarning, match=r"'review': text_vectors has vectors of 0 of the \d+ words that are known alone"):
        recipe.fit(task, progress=False)


def test_given_vectors_of_words_go_where_their_words_are(tmp_path):
    """Another table has the same words in another order: an id means another word there."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 300)
    words = [["good", "great", "fine"], ["bad", "poor", "awful"]]

    def task_of(shares):
        texts = [" ".join(rng.choice(words[label], 4, p=shares[label])) for label in labels]
        frame = pd.DataFrame({"review": texts, "y": np.where(labels == 1, "no", "yes")})
        return ol.Task.from_frame(frame, "y", kinds={"review": "text"})

    first, second = task_of([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1]]), task_of([[0.1, 0.2, 0.7], [0.1, 0.3, 0.6]])
    graph = ingress.text() >> nn.embedding_bag(8) >> nn.head()
    quick = {"max_epochs": 15, "lr": 0.05, "device": "cpu", "seed": 0, "text_length": 4}
    ol.learner(graph, **quick).fit(first, folder=tmp_path / "run", progress=False)
    held = ol.learner(graph, **quick, start_from=str(tmp_path / "run")).replace(lr=1e-9, max_epochs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", StartWarning)
        model = held.fit(second, progress=False)
    assert model.score(second, "acc") > 0.99
    other = second.frame.assign(review=second.frame["review"].str.replace("fine", "nice"))
    with pytest.warns(StartWarning, match=r"5 of the 6 words of 'text_review' have given vectors, the others begin with their"):
        held.fit(ol.Task.from_frame(other, "y", kinds={"review": "text"}), progress=False)


def test_words_without_vectors_in_a_frozen_table_are_no_chance(frame, tmp_path):
    (tmp_path / "v.txt").write_text("good 1 2 3\nbad 3 2 1\n")
    task = ol.Task.from_frame(frame[["review", "stars"]], "stars", kinds={"review": "text"})
    graph = ingress.text() >> nn.embedding_bag() >> nn.head()
    held = ol.learner(
        graph, text_vectors=str(tmp_path / "v.txt"), freeze=["*table*"], validation=None, max_epochs=1, device="cpu"
    )
    tables = []
    for seed in (0, 1):
        file = onnx.load_from_string(held.replace(seed=seed).fit(task, progress=False).to_bytes())
        tables += [numpy_helper.to_array(each) for each in file.graph.initializer if "table" in each.name]
    assert len(tables) == 2
    np.testing.assert_array_equal(*tables)
    # The mean of the vectors that there are.
    assert (tables[0][1:].sum(axis=1) == 6).all()


def test_what_does_not_fit_into_memory_is_refused_before_it_is_made(frame):
    task = ol.Task.from_frame(pd.concat([frame[["review", "stars"]]] * 2000), "stars", kinds={"review": "text"})
    recipe = ol.learner("multimodal", text_form="tfidf", text_max_words=1_000_000, device="cpu")
    with pytest.raises(ParameterError, match=r"column 'review': text_form='tfidf' takes \d+ GB for [\d,]+ training texts"):
        recipe.fit(task)


def test_a_recipe_does_not_bring_the_file_of_vectors(tmp_path):
    (tmp_path / "v.txt").write_text("good 1 2 3\n")
    told = ol.learner("multimodal", text_vectors=str(tmp_path / "v.txt")).to_dict()
    with pytest.raises(ParameterError, match=r"text_vectors: a recipe names its file by the digest [0-9a-f]+: give the path"):
        ol.learner(told["name"], **told["params"])
