"""Columns of images from the command line: what is lost in reading is told, in the spelling of the line."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

RULE = "images that are CMYK, and made RGB without their colour profile"


def picture(i):
    pixels = np.random.default_rng(i).integers(1, 60, (9, 9, 3), np.uint8)
    pixels[:, 5 * (i % 2) :][:, :4] += 150
    return Image.fromarray(pixels)


@pytest.fixture
def table(folder):
    (folder / "photos").mkdir()
    for i in range(40):
        picture(i).save(folder / "photos" / f"{i}.png")
    for i in (5, 3):
        picture(i).convert("CMYK").save(folder / "photos" / f"{i}.tif")
    names = [f"{i}.tif" if i in (5, 3) else f"{i}.png" for i in range(40)]
    frame = pd.DataFrame({"photo": names, "side": ["lr"[i % 2] for i in range(40)]})
    frame.to_csv("table.csv", index=False)
    return frame


def fitted(command, *options):
    settings = ("--learner", "cnn", "--set", "max_epochs=2", "--set", "image_height=9", "--set", "image_width=9")
    return command("fit", "table.csv", "--target", "side", "--kind", "photo=image", *settings, "--seed", 0, *options)


def test_what_is_lost_is_told_once_by_every_command(command, table):
    told = f"{RULE}: 2, the first in column 'photo', line 5, '3.tif'"
    for options in ((), ("--set", "image_memory=0", "--set", "image_workers=2")):
        done = fitted(command, "--images", "folder=photos", *options)
        assert done.code == 0, done.err
        assert done.err.count("CMYK") == done.err.count(told) == 1
    for name, *further in (("predict", "--out", "out.csv"), ("evaluate",)):
        done = command(name, "model.onnx", "table.csv", *further, "--images", "folder=photos")
        assert done.code == 0, done.err
        assert done.err.count("CMYK") == done.err.count(told) == 1


def test_messages_spell_rules_as_the_command_line_does(command, table, folder):
    assert fitted(command, "--images", "folder=photos").code == 0
    frames = [picture(i) for i in range(2)]
    frames[0].save(folder / "photos" / "moving.gif", save_all=True, append_images=frames[1:])
    for name, rules, way_out in (
        ("0.png", (), "set --images folder=..."),
        ("moving.gif", ("folder=photos",), "set --images animated=first"),
        ("0.png", ("folder=photos", "max_pixels=80"), "this one 9 x 9 = 81: make it smaller, or set --images max_pixels=81"),
        ("0.png", ("folder=photos", "policy=skip"), "--images policy=skip leaves rows out of a task"),
    ):
        pd.DataFrame({"photo": [name]}).to_csv("new.csv", index=False)
        options = [part for rule in rules for part in ("--images", rule)]
        done = command("predict", "model.onnx", "new.csv", "--out", "out.csv", *options)
        assert done.code == 2
        assert way_out in done.err
        assert "the rule" not in done.err
    table.assign(photo=table["photo"].replace({"7.png": "no.png"})).to_csv("table.csv", index=False)
    done = fitted(command, "--images", "folder=photos", "--images", "policy=skip")
    assert done.code == 0
    assert "their rows are left out (--images policy=skip)" in done.err
    done = command("predict", "model.onnx", "table.csv", "--images", "folder=photos", "--images", "policy=missing")
    assert done.code == 0
    assert "count as missing (--images policy=missing): 1, the first in column 'photo', line 9, 'no.png'" in done.err
