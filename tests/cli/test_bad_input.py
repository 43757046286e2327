"""Bad input gets one line that says the rule, the value and the way out; exit code 2; nothing half written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from onnxlearn_cli.app import app

MLP = ["--learner", "mlp", "--set"]
GOOD = "x,colour,y\n" + "".join(f"{i},{'red' if i % 3 else 'blue'},{'yes' if i % 2 else 'no'}\n" for i in range(40))

# What is wrong, the table, further arguments, what the line says.
BAD_TABLES = [
    ("empty", b"", [], r"t\.csv.* is empty"),
    ("header only", b"x,y\n", [], "no rows"),
    ("one column", b"y\na\nb\n", [], "no feature is left"),
    ("ragged", b"x,y\n1,a\n2\n3,b\n", [], r"line 3.*1.*2"),
    ("ragged, too long", b"x,y\n1,a\n2,b,c\n", [], r"line 3.*3.*2"),
    ("wrong delimiter", b"x;y\n1;a\n2;b\n", [], "';'"),
    ("tabs in a csv", b"x\ty\n1\ta\n2\tb\n", [], "tab"),
    ("duplicate names", b"x,x,y\n1,2,a\n3,4,b\n", [], "'x'.*twice|duplicate.*'x'|'x'.*more than once"),
    ("an empty name", b"x,,y\n1,2,a\n3,4,b\n", [], r"without a name.*rename.*or leave it out with .*\(--ignore \"\"\)"),
    ("not UTF-8", b"x,y\n1,caf\xe9\n2,b\n", [], "UTF-8"),
    ("target not there", GOOD.encode(), ["--target", "Y"], r"needs column 'Y'.*Did you mean 'y'\?"),
    ("target missing in rows", b"x,y\n1,a\n2,\n3,b\n", [], "missing"),
    ("target all missing", b"x,y\n1,\n2,\n3,\n", [], "missing"),
    ("one class", b"x,y\n1,a\n2,a\n3,a\n", [], "one class|single class|at least two"),
    ("infinite number", b"x,y\n1,a\ninf,b\n3,a\n2,b\n", [], "'x'.*inf"),
    ("infinite target", b"x,y\n1,0.5\n2,-inf\n3,1.5\n4,2.5\n", ["--task", "regression"], "inf"),
    ("feature named like an output", b"label,y\n1,a\n2,b\n3,a\n", [], "label.*rename"),
    ("nothing but the target and ignored", GOOD.encode(), ["--ignore", "x", "--ignore", "colour"], "no feature|column"),
    ("unknown column to ignore", GOOD.encode(), ["--ignore", "colours"], "Did you mean 'colour'"),
    ("unknown column for a kind", GOOD.encode(), ["--kind", "colours=categorical"], "Did you mean 'colour'"),
    ("unknown kind", GOOD.encode(), ["--kind", "colour=category"], "category.*categorical"),
    ("kind without a column", GOOD.encode(), ["--kind", "categorical"], "--kind takes NAME=VALUE, not 'categorical'"),
    ("unknown group", GOOD.encode(), ["--group", "g"], "'g'"),
    ("positive is no class", GOOD.encode(), ["--positive", "maybe"], "maybe.*'no', 'yes'"),
    ("share for the test too large", GOOD.encode(), ["--test", "1.5"], "1.5"),
    ("share for the test not a number", GOOD.encode(), ["--test", "half"], "'half'"),
    ("unknown learner", GOOD.encode(), ["--learner", "mpl"], "there is no learner 'mpl'.*Did you mean 'mlp'"),
    ("unknown parameter", GOOD.encode(), [*MLP, "dropuot=0.1"], "no parameter 'dropuot'. Did you mean 'dropout'"),
    ("parameter out of range", GOOD.encode(), [*MLP, "dropout=7"], "dropout has to be.* not 7"),
    ("parameter of another type", GOOD.encode(), [*MLP, "max_epochs=x"], "max_epochs has to be int.*not 'x'"),
    ("setting without a value", GOOD.encode(), ["--set", "lr"], "--set takes NAME=VALUE, not 'lr'"),
    ("setting twice", GOOD.encode(), ["--set", "lr=1", "--set", "lr=2"], "--set names 'lr' twice"),
    ("seed twice", GOOD.encode(), [*MLP, "seed=2", "--seed", "1"], "--seed 1 and --set seed=2 say the same"),
    ("unknown format", GOOD.encode(), ["--format", "xls"], "xls"),
    ("out is a folder", GOOD.encode(), ["--out", "."], "folder"),
    ("out in no folder", GOOD.encode(), ["--out", "nowhere/m.onnx"], "there is no folder '.*nowhere'"),
    ("out is standard output", GOOD.encode(), ["--out", "-"], "--out has to be a file"),
    ("unknown option", GOOD.encode(), ["--epochs", "3"], r"No such option: --epochs.*see onnxlearn fit --help"),
    ("unknown task", GOOD.encode(), ["--task", "clustering"], "'clustering'.*classification"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("table", "arguments", "line"), [case[1:] for case in BAD_TABLES], ids=[case[0] for case in BAD_TABLES]
)
def test_fit(command, folder: Path, table: bytes, arguments: list[str], line: str) -> None:
    Path("t.csv").write_bytes(table)
    target = [] if "--target" in arguments else ["--target", "y"]
    learner = [] if "--learner" in arguments else ["--learner", "featureless"]
    done = command("fit", "t.csv", *target, *learner, *arguments)
    assert re.search(line, done.error), done.error
    assert done.code == 2
    assert [path.name for path in folder.iterdir()] == ["t.csv"]


def test_fit_without_a_table(command, folder: Path) -> None:
    Path("penguin.csv").write_text(GOOD)
    done = command("fit", "penguins.csv", "--target", "y")
    assert done.code == 2
    assert "penguins.csv" in done.error
    assert "no" in done.error
    assert re.search("example.*penguins", command("fit", "example:pinguins", "--target", "y").error)
    assert "suffix" in command("fit", __file__, "--target", "y").error
    assert re.search("format", command("fit", "-", "--target", "y", stdin=GOOD.encode()).error)
    assert "folder" in command("fit", ".", "--target", "y", "--format", "csv").error
    assert "Missing option '--target'" in command("fit", "penguin.csv").error


PENGUINS = (
    "island,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g,sex,year,species\n"
    "Dream,39.5,17.4,186,3800,female,2007,Adelie\nBiscoe,46.1,13.2,211,4500,female,2007,Gentoo\n"
)

# What is wrong, what is replaced in the table and by what, further arguments, what the line says.
BAD_PREDICTIONS = [
    ("column gone", "island,", "", [], "line 2|needs column 'island'"),
    ("column renamed", "island", "Island", [], r"needs column 'island'.*Did you mean 'Island'\?"),
    ("text where numbers were", "17.4", "deep", [], "(?=.*line 2)(?=.*bill_depth_mm).*'deep'"),
    ("decimal comma", "17.4", '"17,4"', [], "'17,4'"),
    ("infinite", "17.4", "inf", [], "bill_depth_mm.*inf|inf.*bill_depth_mm"),
    ("ragged", "39.5,", "", [], "line 2"),
    ("column to keep not there", "", "", ["--keep", "islands"], "Did you mean 'island'"),
    ("a GPU that is not there", "", "", ["--provider", "cuda"], "cuda|CUDA"),
    ("unknown provider", "", "", ["--provider", "gpu"], "gpu.*auto.*cpu.*cuda"),
    ("out in no folder", "", "", ["--out", "nowhere/p.csv"], "there is no folder '.*nowhere'"),
    ("out is a folder", "", "", ["--out", "d.csv"], "folder"),
    ("out of no known suffix", "", "", ["--out", "p.xls"], "xls"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "arguments", "line"), [c[1:] for c in BAD_PREDICTIONS], ids=[c[0] for c in BAD_PREDICTIONS]
)
def test_predict(command, model: Path, old: str, new: str, arguments: list[str], line: str) -> None:
    Path("t.csv").write_text(PENGUINS.replace(old, new, 1) if old else PENGUINS)
    Path("d.csv").mkdir()
    out = [] if "--out" in arguments else ["--out", "p.csv"]
    done = command("predict", model, "t.csv", *out, *arguments)
    assert re.search(line, done.error), done.error
    assert done.code == 2
    assert sorted(path.name for path in model.parent.iterdir()) == ["d.csv", "penguins.onnx", "t.csv"]


NO_MODELS = [
    ("missing", None, "there is no model file 'm.onnx'"),
    ("empty", b"", "m.onnx"),
    ("a table", PENGUINS.encode(), "m.onnx"),
    ("noise", bytes(range(256)) * 9, "m.onnx"),
]


@pytest.mark.parametrize("name", ["predict", "evaluate", "inspect", "export"])
@pytest.mark.parametrize(("content", "line"), [case[1:] for case in NO_MODELS], ids=[case[0] for case in NO_MODELS])
def test_no_model(command, folder: Path, name: str, content: bytes | None, line: str) -> None:
    if content is not None:
        Path("m.onnx").write_bytes(content)
    further = {"inspect": [], "export": ["--to", "onnx", "--out", "n.onnx"]}.get(name, ["example:penguins"])
    done = command(name, "m.onnx", *further)
    assert line in done.error
    assert done.code == 2
    assert [path.name for path in folder.iterdir()] == ([] if content is None else ["m.onnx"])


@pytest.mark.parametrize("kept", [0.2, 0.9, 0.999])
def test_a_truncated_model(command, model: Path, kept: float) -> None:
    data = model.read_bytes()
    model.write_bytes(data[: int(len(data) * kept)])
    done = command("predict", model, "example:penguins")
    assert done.code == 2
    assert "penguins.onnx" in done.error


def test_evaluate(command, model: Path) -> None:
    Path("t.csv").write_text(PENGUINS)
    assert re.search(
        "there is no measure 'auk'.*Did you mean 'auc'", command("evaluate", model, "t.csv", "--measure", "auk").error
    )
    assert "rmse" in command("evaluate", model, "t.csv", "--measure", "rmse").error
    Path("t.csv").write_text(PENGUINS.replace("species", "kind"))
    assert "species" in command("evaluate", model, "t.csv").error
    Path("t.csv").write_text(PENGUINS.replace("Adelie", "Emperor"))
    assert "Emperor" in command("evaluate", model, "t.csv").error


def test_names(command) -> None:
    assert re.search("there is no learner 'mpl'.*'mlp'", command("learners", "mpl").error)
    assert re.search("No such command 'fitt'. Did you mean 'fit'", command("fitt").error)
    assert command("fitt").code == 2


# Each command's options of one value, from the parser itself: a new one is tested by being there.
ONCE = [
    (name, parameter.opts[0], "2" if parameter.opts[0] == "--opset" else "cpu")
    for name, known in app.commands.items()
    for parameter in known.params
    if parameter.opts[0].startswith("--") and not parameter.multiple and not parameter.is_flag
]


@pytest.mark.parametrize(("name", "option", "value"), ONCE, ids=[f"{name} {option}" for name, option, _ in ONCE])
def test_an_option_of_one_value_given_twice(command, folder: Path, name: str, option: str, value: str) -> None:
    done = command(name, option, value, f"{option}={value}")
    assert done.code == 2
    assert done.error == f"{option} takes one value and is given 2 times; say it once"


def test_the_options_that_are_tried_twice() -> None:
    assert {("fit", "--seed"), ("fit", "--group"), ("predict", "--out"), ("export", "--opset")} <= {case[:2] for case in ONCE}
    assert ("fit", "--stratum") not in {case[:2] for case in ONCE}


LINKS = {"the file itself": None, "a link": Path.symlink_to, "a hard link": Path.hardlink_to}


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
@pytest.mark.parametrize("arguments", [["fit", "t.csv", "--target", "y"], ["predict", "penguins.onnx", "t.csv"]], ids=" ".join)
def test_the_output_is_the_table(command, model: Path, arguments: list[str], link) -> None:
    # No such model could be read: the refusal comes before.
    model.write_bytes(b"")
    Path("t.csv").write_text(GOOD)
    out = Path("t.csv" if link is None else "other.csv")
    if link:
        link(out, "t.csv")
    done = command(*arguments, "--out", out)
    assert done.code == 2
    assert done.error == f"the output '{out}' is the input 't.csv': it would be lost; choose another name"
    assert Path("t.csv").read_text() == GOOD


@pytest.mark.parametrize("arguments", [["predict", "m.csv", "example:penguins"], ["export", "m.csv", "--to", "onnx"]])
def test_the_output_is_the_model(command, model: Path, arguments: list[str]) -> None:
    Path("m.csv").write_bytes(model.read_bytes())
    done = command(*arguments, "--out", Path.cwd() / "m.csv")
    assert done.code == 2
    assert done.error == f"the output '{Path.cwd()}/m.csv' is the input 'm.csv': it would be lost; choose another name"
    assert Path("m.csv").read_bytes() == model.read_bytes()


def test_a_column_without_a_name_can_be_left_out(command) -> None:
    Path("t.csv").write_bytes(b",x,y\n" + b"".join(b"%d,%d,%s\n" % (i, i % 7, b"ab"[i % 2 :][:1]) for i in range(20)))
    done = command("fit", "t.csv", "--target", "y", "--learner", "featureless", "--ignore", "")
    assert done.code == 0, done.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk(command, model: Path) -> None:
    """Standard output to a full disk, in a process of its own: the message, exit code 2."""
    import subprocess
    import sys

    with Path("/dev/full").open("wb") as full:
        line = [sys.executable, "-m", "onnxlearn_cli", "predict", str(model), "example:penguins"]
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert re.fullmatch("onnxlearn: error: cannot write.*disk is full.*\n", done.stderr), done.stderr
