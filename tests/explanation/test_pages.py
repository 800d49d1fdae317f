from __future__ import annotations

import base64
import io
import re
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from mmemo.documents import write_document
from mmemo.errors import InputError
from mmemo.explanation.check_figures import curves_figure, randomisation_figure
from mmemo.explanation.checks import Check, ChecksDocument, CheckSettings, RandomisedStage
from mmemo.explanation.explanation import METHODS, Attribution, Explanation
from mmemo.explanation.figures import (
    explanation_figures,
    mel_position,
    mel_spectrogram_db,
    methods_figure,
    page_figures,
)
from mmemo.explanation.index import write_explanation_index
from mmemo.explanation.page import render_explanation, write_explanation_page
from mmemo.explanation.perturbation_curves import PerturbationCurves
from mmemo.explanation.probes import LayerProbe, ProbesDocument, StageProbes
from mmemo.explanation.scale import (
    AGAINST_COLOUR,
    FOR_COLOUR,
    coloured_words,
    colours,
    difference,
    normalised,
)
from mmemo.explanation.set_figures import probes_figure
from mmemo.explanation.summary import write_set_summary
from tests.clicked_page import clicked, needs_chromium
from tests.explanation.made_explanations import PAPER, RATE, made

OCCLUSION = Attribution(np.array([0.0, 1.0, 1.0, 0.0]), np.array([1.0, 0.0, -2.0]))


@pytest.fixture(autouse=True)
def unsaved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take a second each to write; that they are asked for is what matters here."""

    save = Figure.savefig

    def write(self: Figure, path: Path | io.BytesIO, **options: object) -> None:
        assert self.axes
        if isinstance(path, io.BytesIO):
            save(self, path, **options)  # type: ignore[arg-type]
        else:
            path.write_bytes(b"figure")

    monkeypatch.setattr(Figure, "savefig", write)


def test_the_scale() -> None:
    np.testing.assert_array_equal(normalised(np.array([1.0, -4.0])), [0.25, -1.0])
    np.testing.assert_array_equal(normalised(np.zeros(2)), [0.0, 0.0])
    found = difference(np.array([1.0, -1.0]), np.array([-2.0, -1.0]))
    np.testing.assert_array_equal(found, [1.0, -0.5])
    assert colours(np.array([-1.0, 1.0])) == [AGAINST_COLOUR, FOR_COLOUR]
    red, green, blue = (int(AGAINST_COLOUR[i : i + 2], 16) for i in (1, 3, 5))
    assert red > green > blue
    assert int(FOR_COLOUR[5:7], 16) > int(FOR_COLOUR[3:5], 16)


def test_a_tone_is_loudest_in_its_band() -> None:
    sound = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)
    decibels = mel_spectrogram_db(sound, RATE)
    assert decibels.shape == (64, 100)
    assert decibels.max() == 0.0 and decibels.min() >= -70.0
    band = int(decibels[:, 50].argmax())
    # Band k, whose triangle has its top at k + 1 steps of the scale, is drawn from k to k + 1.
    (place,) = mel_position(np.array([1000.0]), RATE / 2)
    assert abs(place - (band + 0.5)) < 0.5
    assert mel_spectrogram_db(np.zeros(10, dtype=np.float32), RATE).max() == -70.0


def test_frequencies_stand_in_the_middle_of_their_bands() -> None:
    edges = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), 66)
    tops_hz = 700 * (10 ** (edges[1:-1] / 2595) - 1)
    assert mel_position(tops_hz, RATE / 2) == pytest.approx(np.arange(64) + 0.5)


def test_frames_end_where_the_sound_ends() -> None:
    explanation = made(sound=np.full(3 * 320 + 160, 0.1, dtype=np.float32), occlusion=OCCLUSION)
    gradients, occlusion, both, _ = methods_figure(explanation).axes[:4]
    shown = [list(axes.images[0].get_array()[0]) for axes in (gradients, occlusion, both)]
    assert shown[:2] == [[0.0, 1.0, -0.5, 0.25], [0.0, 1.0, 1.0, 0.0]]
    assert shown[2] == [0.0, 0.0, -1.0, 0.25]
    assert "1 stands for 2 of F" in gradients.get_title(loc="left")
    assert both.get_title(loc="left") == "Integrated Gradients − Occlusion"
    # Colours of four whole frames, cut where the last, which is half one, ends.
    assert gradients.images[0].get_extent()[:2] == [0.0, 0.08]
    clip = gradients.images[0].get_clip_box().transformed(gradients.transData.inverted())
    assert (clip.x0, clip.x1) == pytest.approx((0.0, 0.07))
    figures = page_figures(explanation_figures(explanation), explanation)
    assert list(figures) == [
        "methods",
        "spectrograms",
        "joint-integrated-gradients",
        "joint-occlusion",
    ]
    for figure in figures.values():
        assert 0 < figure.start < figure.end < 1
    assert 'id="joint-occlusion-word-2"' in figures["joint-occlusion"].svg


CURVES = PerturbationCurves(
    shares=(0.0, 0.5, 1.0),
    deletion=(0.9, 0.3, 0.1),
    insertion=(0.1, 0.8, 0.9),
    random_deletion=(0.9, 0.5, 0.1),
    random_insertion=(0.1, 0.5, 0.9),
    random={},
)


def checks(
    curves: dict[str, PerturbationCurves] | None = None,
    randomisation: dict[str, tuple[RandomisedStage, ...]] | None = None,
    rows: tuple[Check, ...] = (),
) -> ChecksDocument:
    settings = CheckSettings({}, False, ())
    return ChecksDocument("test/a", rows, curves or {}, randomisation or {}, settings)


def drawn(figure: Figure | None) -> list[dict[str, list[float]]]:
    """Of each panel the heights of its lines, by label."""
    assert figure is not None
    return [
        {str(line.get_label()): [float(y) for y in line.get_ydata()] for line in axes.get_lines()}
        for axes in figure.axes
    ]


def test_curves_of_checks_are_means_over_explanations() -> None:
    other = replace(CURVES, deletion=(0.7, 0.1, 0.1))
    documents = [
        checks({"occlusion/text": CURVES, "occlusion/audio": CURVES}),
        checks({"occlusion/text": other}),
    ]
    text, audio = drawn(curves_figure(documents))
    assert text["deletion"] == pytest.approx([0.8, 0.2, 0.1])
    assert audio["deletion"] == pytest.approx([0.9, 0.3, 0.1])
    assert text["insertion, random order"] == pytest.approx([0.1, 0.5, 0.9])
    assert randomisation_figure(documents) is None
    assert curves_figure([]) is None


def test_what_randomisation_leaves_is_drawn_where_it_is_known() -> None:
    stages = [
        (RandomisedStage("head", 0.4), RandomisedStage("everything", None)),
        (RandomisedStage("head", 0.8), RandomisedStage("everything", -0.2)),
    ]
    documents = [checks(randomisation={"occlusion/text": one}) for one in stages]
    (panel,) = drawn(randomisation_figure(documents))
    assert [values[0] for values in list(panel.values())[:2]] == [0.4, 0.8]
    assert list(panel.values())[2] == pytest.approx([0.6, -0.2])


@pytest.mark.parametrize("num_panels", [1, 2, 3, 4])
def test_the_names_of_curves_are_no_wider_than_their_figure(num_panels: int) -> None:
    methods = list(METHODS)[:num_panels]
    figure = curves_figure([checks({f"{method}/audio": CURVES for method in methods})])
    assert figure is not None
    figure.draw_without_rendering()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width


def test_many_panels_stand_in_rows() -> None:
    figure = curves_figure([checks({f"{method}/audio": CURVES for method in METHODS})])
    assert figure is not None
    assert len(figure.axes) == len(METHODS) == 6
    assert figure.axes[4].get_position().y1 < figure.axes[0].get_position().y0
    assert figure.axes[4].get_title() == "Grad-CAM, audio (N = 1)"


def rendered(explanation: Explanation) -> str:
    return render_explanation(explanation, None, {}, explanation_figures(explanation), {})


def test_every_method_is_drawn_in_its_own_unit() -> None:
    attribution = Attribution(np.array([0.0, 0.5, 0.25, 0.0]), np.array([0.1, 0.0, 0.2]))
    further = {
        "lime": attribution,
        "grad_cam": replace(attribution, words=None),
        "attention_rollout": attribution,
    }
    explanation = made(further=further)
    titles = [axes.get_title(loc="left") for axes in methods_figure(explanation).axes]
    assert "LIME (1 stands for 0.5 of F in a frame)" in titles
    assert "Grad-CAM (1 stands for 0.5 of activation × gradient of F in a frame)" in titles
    assert "Attention rollout (1 stands for 0.5 of attention, for no class in a frame)" in titles
    page = rendered(explanation)
    assert "<h3>LIME</h3>" in page and "<h3>Attention rollout</h3>" in page
    assert "<h3>Grad-CAM</h3>" not in page, "it has no words"
    assert "+0.200 of attention, for no class, +1.000 normalised" in page
    assert "+0.200 of F, +1.000 normalised" in page
    assert 'id="joint-grad-cam' in page and 'id="joint-lime' in page
    # Not both of the paper's: there is no difference to draw.
    assert "Integrated Gradients − Occlusion" not in page and "In the difference" not in page


def test_a_page_holds_sound_words_and_checks(tmp_path: Path) -> None:
    explanation = made(transcript="<b> not again!", occlusion=OCCLUSION)
    explanation.save(tmp_path)
    row = Check("occlusion", "text", "deletion area", 0.25, 0.5, None, "better than random")
    write_document(tmp_path / "checks.json", checks({"occlusion/text": CURVES}, rows=(row,)))
    page = write_explanation_page(tmp_path, {"anger": "#d55e00"}).read_text(encoding="utf-8")
    assert "&lt;b&gt;" in page and "<b> not" not in page
    assert "better than random" in page and "a note" in page and "1.0 %" in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    (sound,) = re.findall(r'src="data:audio/wav;base64,([^"]+)"', page)
    with wave.open(io.BytesIO(base64.b64decode(sound))) as reader:
        assert (reader.getnframes(), reader.getframerate()) == (4 * 320, RATE)
    for name in ("methods.png", "methods.pdf", "joint.png", "joint.pdf", "curves.png"):
        assert (tmp_path / name).exists()
    assert "Deletion and insertion curves" in page
    assert not (tmp_path / "randomisation.png").exists()


def test_pages_of_one_modality() -> None:
    text = rendered(made(frames=None))
    assert "<audio" not in text and "<svg" not in text and "No sound" in text
    assert "disabled" in text and "Not checked" in text
    audio = rendered(replace(made(words=None), words=(), transcript=""))
    assert "<audio" in audio and "<h2>Words</h2>" not in audio
    neither = replace(made(frames=None, words=None), words=())
    assert explanation_figures(neither) == {}


def test_the_index_shows_the_most_confident_right_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected summary.json"):
        write_explanation_index(tmp_path, "none")
    sure = np.array([0.9, 0.1])
    for number, changes in enumerate(
        (
            {"probabilities": sure},
            {"true": "anger"},
            {"target": "joy", "transcript": "<i> am fine"},
        )
    ):
        folder = tmp_path / f"utt {number}"
        explanation = made(key=f"test/dia0_utt{number}", transcript="It is fine")
        replace(explanation, **changes).save(folder)
        write_explanation_page(folder)
    write_set_summary(tmp_path, claims=PAPER.claims)
    layers = tuple(LayerProbe(layer, 0.5, 0.4, 1.0, 9, 3) for layer in range(3))
    stages = tuple(StageProbes("audio", stage, layers) for stage in ("before", "after"))
    write_document(tmp_path / "probes.json", ProbesDocument(9, "auto", 0, "test", stages))
    page = write_explanation_index(tmp_path, "here").read_text(encoding="utf-8")
    shown = page[page.index("One per class") : page.index("Sound or words")]
    assert 'href="utt%201/explanation.html"' in shown and "utt%200" not in shown
    assert "&lt;i&gt;" in page and "What each layer knows" in page
    for name in ("classes_integrated_gradients", "modalities", "positions", "claims", "probes"):
        assert (tmp_path / f"{name}.pdf").exists()


def test_probes_before_and_after() -> None:
    scores = {"before": (0.2, 0.3), "after": (0.4, 0.6)}
    layers = {
        stage: tuple(LayerProbe(layer, f1, 0.1, 0.7, 9, 3) for layer, f1 in enumerate(found))
        for stage, found in scores.items()
    }
    stages = tuple(StageProbes("text", *one) for one in layers.items())
    (axes,) = probes_figure(ProbesDocument(9, "auto", 0, "test", stages)).axes
    drawn = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert drawn == {"before fine-tuning": [0.2, 0.3], "after fine-tuning": [0.4, 0.6]}


@needs_chromium
def test_clicks_play_the_sound_at_their_place(tmp_path: Path) -> None:
    explanation = made(frames=[1.0] * 50)
    states = clicked(rendered(explanation), tmp_path / "profile")
    # Of 14 letters in a second, "No," and the space behind it are 4, "not" and its space 4.
    second = coloured_words(explanation, "integrated_gradients")[1].span_s
    assert second is not None
    assert second == pytest.approx((4 / 14, 8 / 14), abs=0.02)
    assert states["word"] == [False, pytest.approx(second[0], abs=0.001)]
    assert states["word played"] == [True, pytest.approx(second[1], abs=0.15)]
    assert states["place"] == [False, pytest.approx(0.5, abs=0.005)]
