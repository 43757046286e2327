"""Columns of texts from the command line."""

import pandas as pd

import onnxlearn as ol

GOOD, BAD = "Good, and nice people!", "BAD food and a poor place."


def test_texts_of_a_file_are_learned_and_predicted(command, folder):
    rows = [{"review": f"{GOOD if i % 2 else BAD} Table {i}.", "stars": ["few", "many"][i % 2]} for i in range(40)]
    rows[4]["review"] = ""
    pd.DataFrame(rows).to_csv("reviews.csv", index=False)
    settings = ("--set", "text_length=16", "--set", "max_epochs=8", "--set", "lr=0.01")
    done = command(
        "fit", "reviews.csv", "--target", "stars", "--kind", "review=text", "--learner", "multimodal", *settings, "--seed", 0
    )
    assert done.code == 0, done.err
    assert "column 'review': the text of line 6 is missing or empty, which is the same" in done.err
    assert ol.load("model.onnx").schema.column("review").kind == "text"
    (folder / "new.csv").write_text('review\n"nice people, GOOD"\n"a poor place\nand bad"\n', encoding="utf-8")
    assert command("predict", "model.onnx", "new.csv", "--out", "out.csv").code == 0
    assert pd.read_csv("out.csv")["label"].tolist() == ["many", "few"]


def test_a_column_of_sentences_is_pointed_out(command):
    rows = [{"review": f"this was the visit number {i} of mine", "x": i % 7, "y": "ab"[i % 2]} for i in range(40)]
    pd.DataFrame(rows).to_csv("reviews.csv", index=False)
    done = command("fit", "reviews.csv", "--target", "y", "--set", "max_epochs=1")
    assert done.code == 0, done.err
    assert "taken for an identifier of the rows (id) and not trained on; if it holds texts" in done.err
    assert "(--kind review=text)" in done.err
