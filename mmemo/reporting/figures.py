"""The one style of figures; they are saved to files, or stand in a page as SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
from cycler import cycler
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmemo.folders import written_whole

DOTS_PER_INCH = 150
PAGE_PIXELS_PER_INCH = 96
# Okabe and Ito (2008) without their yellow, which print loses: told apart by the colour-blind too.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
SPLIT_COLOURS = {"train": COLOURS[0], "val": COLOURS[1], "test": COLOURS[2]}
MARK_COLOUR = "#c00000"
# What a page shows in colours of its own, light or dark. No data may have just these colours.
PAPER, INK, MUTED, GRID = "#fffffe", "#1c1c1d", "#65656a", "#d9d9dd"
PAGE_COLOURS = {PAPER: "--paper", INK: "--ink", MUTED: "--muted", GRID: "--rule"}
STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": PAPER,
    "axes.labelcolor": INK,
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.titlecolor": INK,
    "axes.titlesize": "medium",
    "figure.facecolor": PAPER,
    "figure.titlesize": "medium",
    "font.size": 9.5,
    "grid.color": GRID,
    "legend.edgecolor": GRID,
    "legend.facecolor": PAPER,
    "legend.labelcolor": INK,
    "svg.fonttype": "none",
    # Ids of the parts are drawn by it: without one they differ each time.
    "svg.hashsalt": "mmemo",
    "text.color": INK,
    # A dollar sign in a text of a corpus is no formula.
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}
PAGE_FONT = "system-ui, sans-serif"
ROOT_STYLE = f"font-family: {PAGE_FONT}; stroke-linejoin: round; stroke-linecap: butt"
SVG = "{http://www.w3.org/2000/svg}"
LINK = "{http://www.w3.org/1999/xlink}href"


@contextmanager
def style() -> Iterator[None]:
    """The style, for a ``with`` block or as the decorator of a function that draws."""
    with mpl.rc_context(STYLE):
        yield


def draw_mark(axes: Axes, mark: str) -> None:
    """Write a warning over the axes, under their numbers and lines; nothing where it is empty."""
    if mark:
        axes.text(
            *(0.5, 0.5, mark),
            transform=axes.transAxes,
            ha="center",
            va="center",
            rotation=25,
            fontsize=56,
            fontweight="bold",
            color=MARK_COLOUR,
            alpha=0.4,
            zorder=1,
        )


def save_figure(figure: Figure, *paths: Path) -> None:
    """Write a figure to files, each there whole or not at all; equal figures give equal bytes.

    Raises:
        InputError: If one cannot be written.
    """
    figure.set_dpi(DOTS_PER_INCH)
    with style():
        _lay_out(figure)
        for path in paths:
            dates = {"CreationDate": None} if path.suffix == ".pdf" else {}
            with written_whole(path) as temporary:
                figure.savefig(temporary, dpi=DOTS_PER_INCH, metadata=dates)


NOT_IN_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def inline_svg(figure: Figure, name: str, title: str, description: str = "") -> Markup:
    """A figure as an ``<svg>`` that stands in a page and needs nothing else.

    Texts stay texts. What has a colour of the style (text, axes, grid, paper) follows the page's
    variables ``--ink``, ``--muted``, ``--rule`` and ``--paper``, and with them its dark mode.

    Args:
        figure: What to draw.
        name: Letters, digits and ``-``; ids in it begin with it, so that it has to be another one
            for each figure of a page.
        title: What it shows, for who does not see it.
        description: More about it, or what its main numbers are.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", name):
        raise ValueError(f"name: expected letters, digits and '-', got {name!r}")
    file = io.BytesIO()
    with style():
        _lay_out(figure)
        figure.savefig(file, format="svg", metadata={"Date": None}, transparent=True)
    # Matplotlib writes what a transcript holds, characters that XML cannot have among it.
    root = ElementTree.fromstring(
        NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", file.getvalue().decode())
    )
    # The first definitions hold a style for all of the page, which is the root's here.
    for tag in ("metadata", "defs"):
        if (part := root.find(f"{SVG}{tag}")) is not None:
            root.remove(part)
    root.set("style", ROOT_STYLE)
    for element in root.iter():
        element.tag = element.tag.removeprefix(SVG)
        element.text = (element.text or "").strip() or None
        element.tail = None
        _own_ids(element, name)
        if "style" in element.attrib or element.tag == "text":
            element.set("style", _page_style(element.get("style", ""), element.tag == "text"))
    _describe(root, name, title, description)
    for side, size_in in zip(("width", "height"), figure.get_size_inches(), strict=True):
        root.set(side, f"{size_in * PAGE_PIXELS_PER_INCH:.0f}")
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704


def _lay_out(figure: Figure) -> None:
    """Lay a figure out for good: Matplotlib would draw it once more to that end for each file."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)


def _own_ids(element: ElementTree.Element, name: str) -> None:
    """Give an element's id, and what it refers to, the figure's name in front."""
    if "id" in element.attrib:
        element.set("id", f"{name}-{element.get('id')}")
    if (link := element.attrib.pop(LINK, None)) is not None:
        element.set("href", f"#{name}-{link[1:]}" if link.startswith("#") else link)
    for key, value in element.attrib.items():
        element.set(key, value.replace("url(#", f"url(#{name}-"))


def _page_style(declarations: str, is_text: bool) -> str:
    """Declarations in the page's colours and, of texts, its font."""
    for colour, variable in PAGE_COLOURS.items():
        declarations = declarations.replace(colour, f"var({variable}, {colour})")
    if not is_text:
        return declarations
    # "font-size: 9px; font-family: 'DejaVu Sans', …" or, before Matplotlib 3.10, in one.
    declarations = re.sub(r"font-family: [^;]*;? ?", "", declarations)
    declarations = re.sub(r"(font: [^;']*?[\d.]+px) [^;]*", rf"\1 {PAGE_FONT}", declarations)
    # Matplotlib leaves black out; a page's style must not fill it in.
    return declarations if "fill:" in declarations else f"{declarations}; fill: #000000"


def _describe(root: ElementTree.Element, name: str, title: str, description: str) -> None:
    """Put title and description first, where screen readers look for them."""
    root.set("role", "img")
    described = [("title", title), *([("desc", description)] if description else [])]
    root.set("aria-labelledby", " ".join(f"{name}-{tag}" for tag, _ in described))
    for place, (tag, text) in enumerate(described):
        element = ElementTree.Element(tag, {"id": f"{name}-{tag}"})
        element.text = text
        root.insert(place, element)
