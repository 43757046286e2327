"""Figures as SVG inside a page: the page's colours and font, no names that meet those of another figure, few bytes."""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from onnxlearn.plots.canvas import COLOURS, FAINT, GRID, INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Colours of the drawing, as the page's themes call theirs.
_VARIABLES = {INK: "ink", FAINT: "faint", GRID: "grid", **{colour: f"c{i}" for i, colour in enumerate(COLOURS)}}
_COLOUR = re.compile("|".join(_VARIABLES))
# Of the attributes that stand on groups the page needs none: a theme has no use for matplotlib's names of parts.
_NUMBERS = ("d", "x", "y", "width", "height", "transform", "points", "viewBox")
_LEFT_OUT = ("metadata", "style")

# Points of a drawing, 1/72 inch, as pixels of a page, 1/96 inch.
SCALE = 96 / 72


def to_svg(figure: Figure, name: str) -> str:
    """The figure as an ``svg`` element; the same bytes for the same figure and name, which no other figure of the page has."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}), warnings.catch_warnings():
        # Letters that matplotlib's font lacks are drawn by the browser, which has them.
        warnings.filterwarnings("ignore", message=r"Glyph \d+")
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return for_page(buffer.getvalue())


def for_page(svg: str) -> str:
    r"""An SVG document of matplotlib as an element of a page, in the page's colours and font.

    >>> for_page('<svg xmlns="http://www.w3.org/2000/svg" width="54pt" viewBox="0 0 54 36"><metadata>x</metadata>'
    ...     '<g id="axes_1"><path d="M 1.23456 2 \n" style="stroke: #24292f"/></g></svg>')
    '<svg viewBox="0 0 54 36" width="72" height="48"><path d="M1.23 2" style="stroke:var(--ink)" /></svg>'
    """
    root = ET.fromstring(svg)
    used = set(re.findall(r'#([\w-]+)[")]', svg))
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    page = ET.Element("svg", {"viewBox": _short(root.attrib["viewBox"])})
    page.attrib |= {"width": f"{width * SCALE:.0f}", "height": f"{height * SCALE:.0f}"}
    page.extend(_children(root, used))
    return ET.tostring(page, encoding="unicode")


def _children(element: ET.Element, used: set[str]) -> list[ET.Element]:
    return [kept for child in element for kept in _cleaned(child, used)]


def _cleaned(element: ET.Element, used: set[str]) -> list[ET.Element]:
    """What is left of an element: of groups that say nothing their parts, of what cannot be seen nothing."""
    tag = _local(element.tag)
    if tag in _LEFT_OUT or (tag == "path" and element.get("style") == "fill: none"):
        return []
    children = _children(element, used)
    attributes = dict(pair for name, value in element.attrib.items() if (pair := _attribute(_local(name), value, used)))
    if tag in ("g", "defs") and not (attributes and children):
        return children if tag == "g" else [_made(tag, {}, children, None)] if children else []
    return [_made(tag, attributes, children, element.text if tag in ("text", "tspan") else None)]


def _made(tag: str, attributes: dict[str, str], children: list[ET.Element], text: str | None) -> ET.Element:
    made = ET.Element(tag, attributes)
    made.text = text
    made.extend(children)
    return made


def _local(name: str) -> str:
    """Without the namespace: in a page the parser knows it."""
    return name.rpartition("}")[2]


def _attribute(name: str, value: str, used: set[str]) -> tuple[str, str] | None:
    """The attribute as the page has it; nothing of one that it can do without."""
    if (name == "id" and value not in used) or value.startswith("rotate(-0 "):
        return None
    if name == "style":
        parts = (part.strip() for part in value.split(";"))
        value = ";".join(part.replace(": ", ":") for part in parts if not part.startswith("font-family"))
        return name, _COLOUR.sub(lambda found: f"var(--{_VARIABLES[found[0]]})", value)
    return name, _short(value) if name in _NUMBERS else value


def _short(value: str) -> str:
    r"""Numbers to a hundredth of a point, no space that nothing needs.

    >>> _short("M 59.908053 168.598979 \nL 360.00 -0.001 \nz")
    'M59.91 168.6L360 0z'
    """
    text = re.sub(r"-?\d+\.\d+", lambda number: f"{float(number[0]) + 0:.2f}".rstrip("0").rstrip("."), value)
    return re.sub(r"\s*([MLQCz])\s*", r"\1", text.replace("-0 ", "0 ").strip())
