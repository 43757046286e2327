"""``onnxlearn lr-find`` and ``fit --plot``."""

import csv


def test_the_suggestion_comes_with_table_and_plot(command, tmp_path):
    out, plot = tmp_path / "rates.csv", tmp_path / "rates.svg"
    done = command(
        "lr-find", "example:penguins", "--target", "species", "--learner", "linear", "--steps", "40",
        "--ignore", "year",
        "--out", str(out), "--plot", str(plot),
    )  # fmt: skip
    assert done.code == 0
    assert done.out.startswith("suggested lr: ")
    rate = float(done.out.split()[2])
    assert (
        f"next: onnxlearn fit example:penguins --target species --learner linear --ignore year --set lr={rate:g}\n" in done.err
    )
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert 10 < len(rows) <= 40
    assert float(rows[0]["lr"]) < rate
    assert plot.read_text().startswith("<?xml")


def test_the_rate_itself_is_not_set(command):
    done = command("lr-find", "example:penguins", "--target", "species", "--set", "lr=0.1")
    assert done.code == 2
    assert done.error == "--set lr: the rates are those from --low to --high; leave lr out"


def test_a_wrong_column_and_a_wrong_range_are_the_users_mistakes(command):
    assert command("lr-find", "example:penguins", "--target", "specie").code == 2
    done = command("lr-find", "example:penguins", "--target", "species", "--low", "1", "--high", "0.1")
    assert (done.code, "the rates rise from low to high" in done.error) == (2, True)


def test_fit_draws_its_learning_curves(command, tmp_path):
    out, plot = tmp_path / "model.onnx", tmp_path / "curves.png"
    done = command(
        "fit", "example:penguins", "--target", "species", "--learner", "linear", "--set", "max_epochs=2",
        "--out", str(out), "--plot", str(plot),
    )  # fmt: skip
    assert done.code == 0
    assert plot.read_bytes()[:4] == b"\x89PNG"


def test_a_plot_that_cannot_be_is_refused_before_anything_runs(command, tmp_path):
    done = command("fit", "missing.csv", "--target", "y", "--out", str(tmp_path / "m.onnx"), "--plot", "curves.jpeg")
    assert (done.code, "cannot draw 'curves.jpeg'" in done.error) == (2, True)
