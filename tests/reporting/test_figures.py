"""The one style of figures, as files and inside a page."""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from mmemo.errors import InputError
from mmemo.reporting.figures import INK, draw_mark, inline_svg, save_figure, style

HOSTILE = "<script>alert('x')</script> & $x$"


def test_a_figure_is_laid_out_as_matplotlib_does_it(tmp_path: Path) -> None:
    for name in ("ours.png", "theirs.png"):
        with style():
            figure = Figure(figsize=(4, 3), layout="constrained")
            left, right = figure.subplots(1, 2)
            left.plot([1, 2, 4], label="a long name of a line")
            left.legend()
            left.set(ylabel="a label\nof two lines")
            figure.colorbar(right.imshow([[0, 1], [2, 3]]), ax=right)
            figure.suptitle("title " * 20, wrap=True)
            if name == "theirs.png":
                figure.savefig(tmp_path / name, dpi=150)
        if name == "ours.png":
            save_figure(figure, tmp_path / name, tmp_path / "ours.pdf")
    ours, theirs = (imread(tmp_path / name) for name in ("ours.png", "theirs.png"))
    np.testing.assert_array_equal(ours, theirs)
    assert (tmp_path / "ours.pdf").read_bytes().startswith(b"%PDF")


def drawing(label: str = "a line") -> Figure:
    with style():
        figure = Figure(figsize=(4, 3), layout="constrained")
        axes = figure.add_subplot()
        axes.plot([1, 2, 4], marker="o", color="#0072b2", label=label)
        axes.text(1, 2, "black", color="black")
        axes.text(1, 3, label, weight="bold")
        axes.set(xlabel="a name", title=label)
        axes.imshow([[0, 1], [2, 3]])
        axes.grid()
        axes.legend()
        draw_mark(axes, "LEAKY")
    return figure


def test_equal_figures_are_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        figure = drawing()
        save_figure(figure, tmp_path / f"{name}.png", tmp_path / f"{name}.pdf")
        (tmp_path / f"{name}.svg").write_text(inline_svg(figure, "figure", "Title"))
    for suffix in ("png", "pdf", "svg"):
        one, two = (tmp_path / f"{name}.{suffix}" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_a_figure_is_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "figure.png"
    path.write_bytes(b"before")

    def fail(_: Figure, place: Path, **__: object) -> None:
        place.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(InputError, match="No space left on device"):
        save_figure(drawing(), path)
    assert [file.name for file in tmp_path.iterdir()] == ["figure.png"]
    assert path.read_bytes() == b"before"


def test_texts_in_a_page_are_texts() -> None:
    root = ElementTree.fromstring(inline_svg(drawing(HOSTILE), "figure", HOSTILE, "More."))
    texts = ["".join(text.itertext()) for text in root.iter("text")]
    assert texts.count(HOSTILE) == 3, "title, legend and axes; a dollar sign is no formula"
    assert {"a name", "0.0", "LEAKY"} <= set(texts)
    assert not list(root.iter("script"))
    assert [(part.tag, part.text) for part in root[:2]] == [("title", HOSTILE), ("desc", "More.")]
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "figure-title figure-desc"
    assert [part.get("id") for part in root[:2]] == ["figure-title", "figure-desc"]
    # 4 by 3 inches.
    assert (root.get("width"), root.get("height")) == ("384", "288")
    assert root.get("viewBox") == "0 0 288 216"


def test_characters_that_pages_cannot_hold_are_replaced() -> None:
    root = ElementTree.fromstring(
        inline_svg(drawing("a\x10b\ufffe\t\U0001f600"), "figure", "Title")
    )
    assert any("a\ufffdb\ufffd" in (text.text or "") for text in root.iter("text"))


def test_a_figure_needs_nothing_but_itself_and_styles_nothing_else() -> None:
    svg = inline_svg(drawing(), "figure", "Title")
    root = ElementTree.fromstring(svg)
    assert not list(root.iter("style")), "it would hold for all of the page"
    links = [value for part in root.iter() for key, value in part.items() if "href" in key]
    assert links and all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert set(re.findall(r"url\((.)", svg)) == {"#"}
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")


def test_several_figures_stand_in_a_page() -> None:
    ids: list[str] = []
    for name in ("first", "second"):
        root = ElementTree.fromstring(inline_svg(drawing(), name, "Title"))
        own = [part.attrib["id"] for part in root.iter() if "id" in part.attrib]
        named = re.findall(r"url\(#([^)]*)\)", ElementTree.tostring(root, encoding="unicode"))
        named += [
            value.removeprefix("#")
            for part in root.iter()
            for key, value in part.items()
            if key.endswith("href") and value.startswith("#")
        ]
        assert named and set(named) <= set(own)
        ids += own
    assert len(ids) == len(set(ids))
    with pytest.raises(ValueError, match="name: expected letters, digits and '-', got 'a b'"):
        inline_svg(drawing(), "a b", "Title")


def test_text_and_axes_follow_the_page_and_data_does_not() -> None:
    root = ElementTree.fromstring(inline_svg(drawing(), "figure", "Title"))
    styles = {"".join(text.itertext()): text.attrib["style"] for text in root.iter("text")}
    assert f"fill: var(--ink, {INK})" in styles["a name"]
    assert "fill: #000000" in styles["black"]
    assert "fill: #c00000" in styles["LEAKY"]
    assert not [style for style in styles.values() if "DejaVu" in style]
    everything = " ".join(part.get("style", "") for part in root.iter())
    assert "stroke: #0072b2" in everything
    for variable in ("--ink", "--muted", "--rule", "--paper"):
        assert f"var({variable}, #" in everything
