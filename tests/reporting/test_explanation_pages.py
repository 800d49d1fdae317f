from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
import wave
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from mmemo.errors import InputError
from mmemo.explanation.attribution_scale import (
    AGAINST_COLOUR,
    FOR_COLOUR,
    colours,
    difference,
    normalised,
)
from mmemo.explanation.check_figures import curves_figure, randomisation_figure
from mmemo.explanation.explanation import Attribution
from mmemo.explanation.figures import write_explanation_figures
from mmemo.explanation.index import write_explanation_index
from mmemo.explanation.mel_spectrogram import mel_edges_hz, mel_spectrogram_db
from mmemo.explanation.page import render_explanation, write_explanation_page
from mmemo.explanation.panels import TimeAxis, frame_panels, shown_words
from mmemo.explanation.set_figures import probes_figure
from mmemo.explanation.set_summary import write_set_summary
from tests.explanation.made_explanations import RATE, made

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
OCCLUSION = Attribution(np.array([0.0, 1.0, 1.0, 0.0]), np.array([1.0, 0.0, -2.0]))


@pytest.fixture(autouse=True)
def unsaved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take a second each to write; that they are asked for is what matters here."""

    def write(self: Figure, path: Path, **_: object) -> None:
        assert self.axes
        Path(path).write_bytes(b"figure")

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
    edges = mel_edges_hz(RATE / 2)
    assert edges[band] < 1000 < edges[band + 2]
    assert mel_spectrogram_db(np.zeros(10, dtype=np.float32), RATE).max() == -70.0


def test_frames_end_where_the_sound_ends() -> None:
    explanation = made(sound=np.full(3 * 320 + 160, 0.1, dtype=np.float32), occlusion=OCCLUSION)
    axis = TimeAxis(explanation.duration_s)
    gradients, occlusion, both = frame_panels(explanation, axis)
    assert [box.value for box in gradients.frames] == [0.0, 1.0, -0.5, 0.25]
    assert [box.value for box in both.frames] == [0.0, 0.0, -1.0, 0.25]
    assert (gradients.largest, occlusion.largest, both.largest) == (2.0, 1.0, None)
    last = gradients.frames[-1]
    assert last.left + last.width == pytest.approx(axis.end)
    assert last.width == pytest.approx(gradients.frames[0].width / 2, abs=0.02)


CURVES = {
    "shares": [0.0, 0.5, 1.0],
    "deletion": [0.9, 0.3, 0.1],
    "insertion": [0.1, 0.8, 0.9],
    "random_deletion": [0.9, 0.5, 0.1],
    "random_insertion": [0.1, 0.5, 0.9],
}


def drawn(figure: Figure | None) -> list[dict[str, list[float]]]:
    """Of each panel the heights of its lines, by label."""
    assert figure is not None
    return [
        {str(line.get_label()): [float(y) for y in line.get_ydata()] for line in axes.get_lines()}
        for axes in figure.axes
    ]


def test_curves_of_checks_are_means_over_explanations() -> None:
    other = CURVES | {"deletion": [0.7, 0.1, 0.1]}
    documents = [
        {"curves": {"occlusion/text": CURVES, "occlusion/audio": CURVES}, "randomisation": {}},
        {"curves": {"occlusion/text": other}, "randomisation": {}},
    ]
    text, audio = drawn(curves_figure(documents))
    assert text["deletion"] == pytest.approx([0.8, 0.2, 0.1])
    assert audio["deletion"] == pytest.approx([0.9, 0.3, 0.1])
    assert text["insertion, random order"] == pytest.approx([0.1, 0.5, 0.9])
    assert randomisation_figure(documents) is None
    assert curves_figure([]) is None


def test_what_randomisation_leaves_is_drawn_where_it_is_known() -> None:
    stages = [
        [{"name": "head", "correlation": 0.4}, {"name": "everything", "correlation": None}],
        [{"name": "head", "correlation": 0.8}, {"name": "everything", "correlation": -0.2}],
    ]
    documents = [{"curves": {}, "randomisation": {"occlusion/text": one}} for one in stages]
    (panel,) = drawn(randomisation_figure(documents))
    assert [values[0] for values in list(panel.values())[:2]] == [0.4, 0.8]
    assert list(panel.values())[2] == pytest.approx([0.6, -0.2])


def test_a_page_holds_sound_words_and_checks(tmp_path: Path) -> None:
    explanation = made(transcript="<b> not again!", occlusion=OCCLUSION)
    explanation.save(tmp_path)
    row = {"method": "occlusion", "modality": "text", "name": "deletion area"}
    row |= {"value": 0.25, "reference": 0.5, "verdict": "better than random"}
    checks = {"rows": [row], "curves": {"occlusion/text": CURVES}, "randomisation": {}}
    (tmp_path / "checks.json").write_text(json.dumps(checks), encoding="utf-8")
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


def test_pages_of_one_modality(tmp_path: Path) -> None:
    text = render_explanation(made(frames=None), [], {})
    assert "<audio" not in text and "<svg" not in text and "No sound" in text
    assert "disabled" in text and "Not checked" in text
    audio = render_explanation(replace(made(words=None), words=(), transcript=""), [], {})
    assert "<audio" in audio and "<h2>Words</h2>" not in audio
    neither = replace(made(frames=None, words=None), words=())
    write_explanation_figures(neither, tmp_path)
    assert list(tmp_path.iterdir()) == []


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
    write_set_summary(tmp_path)
    rows = [
        {"encoder": "audio", "stage": stage, "layer": layer, "macro_f1": 0.5, "low": 0.4, "high": 1}
        for stage in ("before", "after")
        for layer in range(3)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "probes.csv", index=False)
    page = write_explanation_index(tmp_path, "here").read_text(encoding="utf-8")
    shown = page[page.index("One per class") : page.index("Sound or words")]
    assert 'href="utt%201/explanation.html"' in shown and "utt%200" not in shown
    assert "&lt;i&gt;" in page and "What each layer knows" in page
    for name in ("classes_integrated_gradients", "modalities", "positions", "claims", "probes"):
        assert (tmp_path / f"{name}.pdf").exists()


def test_probes_before_and_after() -> None:
    table = pd.DataFrame(
        {
            "encoder": ["text"] * 4,
            "stage": ["before", "before", "after", "after"],
            "layer": [1, 0, 0, 1],
            "macro_f1": [0.3, 0.2, 0.4, 0.6],
            "low": [0.2, 0.1, 0.3, 0.5],
            "high": [0.4, 0.3, 0.5, 0.7],
        }
    )
    (axes,) = probes_figure(table).axes
    drawn = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert drawn == {"before fine-tuning": [0.2, 0.3], "after fine-tuning": [0.4, 0.6]}


CLICK = """
<script>
const audio = document.getElementById("player");
const states = {};
const note = (name) => { states[name] = [audio.paused, audio.currentTime]; };
addEventListener("load", () => {
  audio.addEventListener("pause", () => {
    note("word played");
    const panel = document.querySelector("svg.time");
    const box = panel.getBoundingClientRect();
    const half = box.left + box.width * Number(panel.dataset.end) / 960 / 2;
    panel.dispatchEvent(new MouseEvent("click", { clientX: half, bubbles: true }));
    note("place");
    fetch("/states", { method: "POST", body: JSON.stringify(states) });
  }, { once: true });
  document.querySelectorAll("button.word")[1].click();
  note("word");
});
</script>
"""


def browsed(page: str, profile: Path) -> dict[str, tuple[bool, float]]:
    """What a page posts when a browser shows it in real time: sound does not play in virtual."""
    posted: Queue[bytes] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page.encode())

        def do_POST(self) -> None:  # noqa: N802
            posted.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        command = [
            str(CHROMIUM),
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--autoplay-policy=no-user-gesture-required", "--remote-debugging-port=0"),
            *(f"--user-data-dir={profile}", f"http://127.0.0.1:{server.server_port}/"),
        ]
        quiet = subprocess.DEVNULL
        with subprocess.Popen(command, stdout=quiet, stderr=quiet) as browser:
            try:
                states: dict[str, tuple[bool, float]] = json.loads(posted.get(timeout=30))
            finally:
                browser.terminate()
                server.shutdown()
    return states


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_clicks_play_the_sound_at_their_place(tmp_path: Path) -> None:
    explanation = made(frames=[1.0] * 50)
    page = render_explanation(explanation, [], {}).replace("</body>", CLICK + "</body>")
    states = browsed(page, tmp_path / "profile")
    # Of 14 letters in a second, "No," and the space behind it are 4, "not" and its space 4.
    second = shown_words(explanation, "integrated_gradients", TimeAxis(1.0))[1]
    assert (second.start_s, second.stop_s) == pytest.approx((4 / 14, 8 / 14), abs=0.02)
    assert states["word"] == [False, pytest.approx(second.start_s, abs=0.001)]
    assert states["word played"] == [True, pytest.approx(second.stop_s, abs=0.15)]
    assert states["place"] == [False, pytest.approx(0.5, abs=0.005)]
