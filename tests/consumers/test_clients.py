"""Clients in other languages, compiled as strictly as their compilers can and run on hostile rows: the model's own answers.

docs/testing.md says how to get what each language needs.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from client_models import CASES, assert_printed, client_feeds, client_model

from onnxlearn.export import make_target

HERE = Path(__file__).parent

pytestmark = pytest.mark.consumers


def run(*command, cwd, **variables):
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, encoding="utf-8", check=False,
        env={**os.environ, **variables},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def program(*names):
    for name in names:
        if shutil.which(name):
            return name
    pytest.fail(f"none of {', '.join(names)} is installed; docs/testing.md says what these tests need")


def setting(name):
    value = os.environ.get(name)
    if not value:
        pytest.fail(f"the variable {name} is not set; docs/testing.md says what these tests need")
    return Path(value).resolve()


def run_node(folder, script="example.mjs"):
    modules = HERE / "node_modules"
    if not (modules / "onnxruntime-node").is_dir():
        pytest.fail("onnxruntime-node is not installed; docs/testing.md says what these tests need")
    (folder / "node_modules").symlink_to(modules)
    return run(program("node"), script, cwd=folder)


def run_c(folder):
    home = setting("ONNXRUNTIME_HOME")
    strict = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsanitize=address,undefined"]
    places = ["-isystem", home / "include", f"-L{home / 'lib'}", "-lonnxruntime", f"-Wl,-rpath,{home / 'lib'}"]
    run(program("cc"), *strict, "-o", "example", "example.c", "model.c", *places, "-lm", cwd=folder)
    run(program("c++"), "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c++", "model.h", cwd=folder)
    # ONNX Runtime keeps a few bytes to its end.
    return run(folder / "example", cwd=folder, ASAN_OPTIONS="detect_leaks=0")


def run_java(folder):
    jar = setting("ONNXRUNTIME_JAR")
    run(program("javac"), "-Xlint:all", "-Werror", "-cp", jar, "Model.java", "Example.java", cwd=folder, LC_ALL="C")
    return run(program("java"), "-cp", f"{jar}{os.pathsep}.", "Example", cwd=folder, LC_ALL="C")


def run_csharp(folder):
    if program("dotnet", "mcs") == "dotnet":
        return run("dotnet", "run", "-warnaserror", cwd=folder)
    dll = setting("ONNXRUNTIME_DLL")
    shutil.copy(dll, folder)
    strict = ["-langversion:7.2", "-codepage:utf8", "-warn:4", "-warnaserror"]
    run("mcs", *strict, f"-r:{dll}", "-out:example.exe", "Model.cs", "Example.cs", cwd=folder)
    return run("mono", "example.exe", cwd=folder, LD_LIBRARY_PATH=str(setting("ONNXRUNTIME_HOME") / "lib"))


RUNNERS = {"node": run_node, "c": run_c, "java": run_java, "csharp": run_csharp}


@pytest.mark.parametrize("case", [*CASES, "indices", "unseen", "masks"])
@pytest.mark.parametrize("language", RUNNERS)
def test_client(language, case, tmp_path):
    model = client_model(case, emoji=language != "java")
    feeds = client_feeds(model)
    make_target(language).write_with(model, tmp_path, feeds)
    assert_printed(RUNNERS[language](tmp_path), model, feeds)


@pytest.mark.parametrize("language", RUNNERS)
def test_the_readme_shows_what_the_example_prints(language, tmp_path):
    model = client_model("classes", emoji=language != "java")
    model.export(language, tmp_path / "client")
    printed = (tmp_path / "client" / "README.md").read_text("utf-8").split("```text\n")[1].split("```")[0]
    rows = [block.split() for block in printed.split("row ")[1:]]
    found = [block.split() for block in RUNNERS[language](tmp_path / "client").split("row ")[1:]]
    for ours, theirs in zip(rows, found, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert a == b or float(a) == pytest.approx(float(b), rel=1e-5, abs=1e-9)


WHOLE = 'row 0, column "flight": expected a whole number (a bigint where it is beyond Number.MAX_SAFE_INTEGER) or null, not {}'
MOMENT = 'row 0, column "{}": expected a Date, microseconds as a bigint, or null, not {}'
WRONG_ROWS = [
    ("null", "row 0 is no object"),
    ("{}", 'row 0 has no "flight"; null means missing'),
    ("{ flight: 1.5 }", WHOLE.format("1.5")),
    ('{ flight: "x" }', WHOLE.format('"x"')),
    ("{ flight: 2n ** 63n }", WHOLE.format("9223372036854775808")),
    ("{ flight: undefined }", WHOLE.format("undefined")),
    ("{ class: 1 }", 'row 0, column "class": expected true, false or null, not 1'),
    ("{ Row: null }", 'row 0, column "Row": expected true or false, not null'),
    ('{ "departure day": "2024-02-30" }', MOMENT.format("departure day", '"2024-02-30"')),
    ('{ "departure day": new Date("x") }', MOMENT.format("departure day", "Invalid Date")),
    ("{ équipe: 1700000000000 }", MOMENT.format("équipe", "1700000000000")),
    ('{ größe: "1,5" }', 'row 0, column "größe": expected a number or null, not "1,5"'),
    ('{ "1st": 3n }', 'row 0, column "1st": expected a number or null, not 3'),
    ("{ 東京: 7 }", 'row 0, column "東京": expected a string or null, not 7'),
    ("{ 東京: Object.create(null) }", 'row 0, column "東京": expected a string or null, not an object'),
]


def test_javascript_says_what_is_wrong_with_a_row(tmp_path):
    """Every kind of column, and nothing of a bad row is predicted."""
    client_model("classes").export("node", tmp_path / "client")
    changes = ",\n".join(change for change, _ in WRONG_ROWS[2:])
    (tmp_path / "client" / "wrong.mjs").write_text(
        f"""
import {{ predict }} from "./model.mjs";
import {{ rows }} from "./example.mjs";
for (const row of [null, {{}}, ...[{changes}].map((change) => ({{ ...rows[0], ...change }}))]) {{
  await predict([row]).then(() => console.log("predicted"), (error) => console.log(error.message));
}}
""",
        "utf-8",
    )
    assert run_node(tmp_path / "client", "wrong.mjs").splitlines()[-len(WRONG_ROWS) :] == [message for _, message in WRONG_ROWS]
