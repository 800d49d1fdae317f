"""Windows, pauses, words that are written down, and timelines."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmemo.audio.clip_worker import ClipWorker
from mmemo.audio.media import Sound, decode
from mmemo.audio.recordings import Recording, RecordingWorker, SlidingWindows, prepared_recordings
from mmemo.errors import InputError
from mmemo.prediction.answers import Prediction, SpokenWord
from mmemo.prediction.timeline import render_timeline, timeline_figure, write_timelines
from mmemo.prediction.transcription import _words
from mmemo.reporting.self_contained import wav_bytes
from tests.clicked_page import clicked, needs_chromium
from tests.commands.conftest import Cli
from tests.conftest import FIVE
from tests.prediction.conftest import MovedRun

SPEECH = Path(__file__).parents[1] / "audio" / "deepfilternet2_reference.flac"
COLOURS = dict(zip(FIVE, ("#111111", "#222222", "#333333", "#444444", "#555555"), strict=True))


def silence(duration_s: float, rate: int = 1000) -> Sound:
    return Sound(np.zeros(round(duration_s * rate), np.float32), rate, "mono", duration_s)


@pytest.mark.parametrize(
    ("duration_s", "spans"),
    [
        (1.0, [(0.0, 1.0)]),
        (4.0, [(0.0, 4.0)]),
        (5.0, [(0.0, 4.0), (2.0, 5.0)]),
        (8.0, [(0.0, 4.0), (2.0, 6.0), (4.0, 8.0)]),
    ],
)
def test_windows_cover_a_recording_once(
    duration_s: float, spans: list[tuple[float, float]]
) -> None:
    assert SlidingWindows(4, 2)(silence(duration_s), (0.0, duration_s)) == spans


def test_windows_of_a_part_begin_with_it() -> None:
    assert SlidingWindows(2, 2)(silence(9), (3.0, 8.0)) == [(3.0, 5.0), (5.0, 7.0), (7.0, 8.0)]


def test_windows_leave_no_gaps() -> None:
    with pytest.raises(InputError, match="hop_s: expected at most window_s"):
        SlidingWindows(2, 3)


def test_a_stretch_is_prepared_as_the_file_of_it_alone(tmp_path: Path) -> None:
    """With and without processes, and where the file goes on behind it."""
    generator = np.random.default_rng(0)
    noise = (0.1 * generator.standard_normal(24_000)).astype(np.float32)
    (tmp_path / "all.wav").write_bytes(wav_bytes(noise, 8_000))
    (tmp_path / "part.wav").write_bytes(wav_bytes(noise[8_000:16_000], 8_000))
    worker = RecordingWorker(ClipWorker(None, 16_000, 30.0))
    recordings = [Recording(tmp_path / "all.wav", 1.0, 2.0), Recording(tmp_path / "part.wav")]
    here = list(prepared_recordings(worker, recordings, 0))
    there = list(prepared_recordings(worker, recordings, 1))
    samples = [prepared.stretches[0].samples for prepared in (*here, *there)]
    assert all(found is not None and np.array_equal(found, samples[0]) for found in samples)
    assert [prepared.duration_s for prepared in here] == [3.0, 1.0]


def test_pauses_end_stretches() -> None:
    pytest.importorskip("silero_vad")
    from mmemo.audio.speech_segments import SpeechSegments

    said = decode(SPEECH)
    pause = np.zeros(said.sample_rate, np.float32)
    waveform = np.concatenate([pause, said.waveform, pause, pause, said.waveform, pause])
    sound = replace(said, waveform=waveform, duration_s=len(waveform) / said.sample_rate)
    found = SpeechSegments()(sound, (0.0, sound.duration_s))
    # Each second of speech begins a second, or four, after the beginning.
    np.testing.assert_allclose(found, [(1.0, 2.0), (4.0, 5.0)], atol=0.15)
    later = SpeechSegments()(sound, (2.5, sound.duration_s))
    np.testing.assert_allclose(later, found[1:], atol=0.05)
    assert SpeechSegments()(silence(2.0, 16_000), (0.0, 2.0)) == []
    short = SpeechSegments(max_duration_s=0.5, margin_s=0.0)(sound, (0.0, sound.duration_s))
    assert max(end - start for start, end in short) <= 0.5


@pytest.mark.slow
def test_segments_by_command(denoised: MovedRun, cli: Cli, tmp_path: Path) -> None:
    pytest.importorskip("silero_vad")
    (tmp_path / "quiet.wav").write_bytes(wav_bytes(silence(2, 16_000).waveform, 16_000))
    words = [f"run={denoised.path}", "segments=speech", "accelerator=cpu", "output=s.parquet"]
    cli("predict", *words, f"input={SPEECH}", "segments.margin_s=0")
    found = pd.read_parquet(tmp_path / "s.parquet")
    assert ((found["end_s"] - found["start_s"]) <= 0.25 + 1e-6).all(), "all of it is heard"
    out = cli("predict", *words, "input=quiet.wav", expect=1).stdout
    assert "no speech" in out


def test_times_of_words_stay_in_the_sound_and_in_order() -> None:
    chunks = [
        {"text": " I", "timestamp": (0.1, 0.2)},
        {"text": " ", "timestamp": (0.2, 0.2)},
        {"text": " am", "timestamp": (None, 0.5)},
        {"text": " here", "timestamp": (0.9, None)},
        {"text": "!", "timestamp": (2.4, 2.8)},
    ]
    assert _words({"text": "", "chunks": chunks}, 1.0) == (
        SpokenWord("I", 0.1, 0.2),
        SpokenWord("am", 0.2, 0.5),
        SpokenWord("here", 0.9, 1.0),
        SpokenWord("!", 1.0, 1.0),
    )


@pytest.mark.slow
def test_words_are_written_down_and_read(
    denoised: MovedRun, tiny_recogniser: Path, cli: Cli, tmp_path: Path
) -> None:
    clip = denoised.test["path"][1]
    run = [f"run={denoised.path}", "accelerator=cpu"]
    asr = ["asr=whisper", f"asr.checkpoint={tiny_recogniser}"]
    cli("predict", *run, f"input={clip}", *asr, "output=heard.jsonl")
    heard = json.loads((tmp_path / "heard.jsonl").read_text())
    assert heard["transcript"]
    assert heard["transcript"] == " ".join(word["text"] for word in heard["words"])
    assert heard["missing"] is None
    ends = [0.0, *(word["end_s"] for word in heard["words"])]
    assert ends == sorted(ends)
    assert ends[-1] <= heard["duration_s"] + 1e-6
    cli("predict", *run, f"input={clip}", f"text={heard['transcript']}", "output=told.jsonl")
    told = json.loads((tmp_path / "told.jsonl").read_text())
    for name in FIVE:
        assert heard[f"prob_{name}"] == pytest.approx(told[f"prob_{name}"], abs=1e-6)
    cli("predict", *run, f"input={clip}", "text=Given.", *asr, "output=given.jsonl")
    assert json.loads((tmp_path / "given.jsonl").read_text())["transcript"] == "Given."


@pytest.mark.slow
def test_windows_have_the_words_that_are_said_in_them(
    seeds: tuple[MovedRun, MovedRun], cli: Cli, tmp_path: Path
) -> None:
    """By a model that needs words; each window is answered as a row of its own would be."""
    run = [f"run={seeds[0].path}", "accelerator=cpu", "calibrated=false"]
    clip = seeds[0].test["path"][1]
    times = [("I", 0.02, 0.06), ("am", 0.06, 0.12), ("here", 0.17, 0.2), ("now", 0.22, 0.28)]
    words = json.dumps([dict(zip(("text", "start_s", "end_s"), w, strict=True)) for w in times])
    later = json.dumps([{"text": "here", "start_s": 0.07, "end_s": 0.1}])
    pd.DataFrame(
        [
            {"path": clip, "start": "0", "end": "0.3", "words": words},
            {"path": clip, "start": "0.1", "end": "0.25", "words": later},
            {"path": clip, "start": "0", "end": "0.14", "transcript": "Not cut."},
            {"path": clip, "transcript": "Cut, with no times."},
        ]
    ).to_csv(tmp_path / "asked.csv", index=False)
    windows = ["window_s=0.15", "hop_s=0.15"]
    cli("predict", *run, "input=asked.csv", *windows, "output=w.parquet", expect=1)
    found = pd.read_parquet(tmp_path / "w.parquet")
    assert found["transcript"].tolist()[:4] == ["I am", "here now", "here", "Not cut."]
    assert [list(w) if w is not None else None for w in found["words"]][1] == [
        {"text": "here", "start_s": pytest.approx(0.02), "end_s": pytest.approx(0.05)},
        {"text": "now", "start_s": pytest.approx(0.07), "end_s": pytest.approx(0.13)},
    ]
    assert found["reason"].fillna("").tolist() == [""] * 4 + ["words without times"]
    assert "asr=whisper" in found["detail"].iloc[4]
    parts = found.iloc[:4][["path", "transcript"]].assign(
        start=found["start_s"], end=found["end_s"]
    )
    parts.to_csv(tmp_path / "parts.csv", index=False)
    cli("predict", *run, "input=parts.csv", "output=p.parquet")
    alone = pd.read_parquet(tmp_path / "p.parquet")
    columns = [f"prob_{name}" for name in FIVE]
    np.testing.assert_allclose(
        alone[columns].to_numpy(float), found[columns].to_numpy(float)[:4], atol=1e-5
    )
    # What is written is read again, whatever it is written as; the words of a column of transcripts
    # that is called so are no times.
    asked = [f"input={tmp_path / 'w.parquet'}", "columns.start=start_s", "columns.end=end_s"]
    cli("predict", *run, *asked, "output=q.jsonl")
    again = [json.loads(line) for line in (tmp_path / "q.jsonl").read_text().splitlines()]
    assert [row["transcript"] for row in again[:2]] == ["I am", "here now"]
    assert again[1]["words"] == [dict(word) for word in found["words"].iloc[1]]
    pd.DataFrame([{"path": clip, "words": "Plain."}]).to_csv(tmp_path / "t.csv", index=False)
    cli("predict", *run, "input=t.csv", "columns.transcript=words", "output=t.parquet")
    assert pd.read_parquet(tmp_path / "t.parquet")["transcript"].tolist() == ["Plain."]


@pytest.mark.slow
def test_words_of_stretches_are_written_down_where_those_of_the_whole_are_given(
    seeds: tuple[MovedRun, MovedRun], tiny_recogniser: Path, cli: Cli, tmp_path: Path
) -> None:
    asked = [f"run={seeds[0].path}", "accelerator=cpu", f"input={seeds[0].test['path'][1]}"]
    asr = ["asr=whisper", f"asr.checkpoint={tiny_recogniser}", "output=s.parquet"]
    cli("predict", *asked, *asr, "text=All of it.", "window_s=0.2", "hop_s=0.1")
    found = pd.read_parquet(tmp_path / "s.parquet")
    assert len(found) > 1
    assert found["transcript"].notna().all()
    assert not found["transcript"].eq("All of it.").any()
    cli("predict", *asked, *asr, "text=All of it.", "window_s=5")
    assert pd.read_parquet(tmp_path / "s.parquet")["transcript"].tolist() == ["All of it."]


@pytest.mark.slow
def test_a_recogniser_that_is_none_is_named(denoised: MovedRun, cli: Cli, tmp_path: Path) -> None:
    words = [f"run={denoised.path}", f"input={denoised.test['path'][1]}", "accelerator=cpu"]
    done = cli("predict", *words, "asr=whisper", f"asr.checkpoint={tmp_path}", expect=1)
    assert "asr.checkpoint: expected a model that writes down speech" in done.stderr


def made(name: str, num: int, spread: bool = False) -> list[Prediction]:
    generator = np.random.default_rng(0)
    return [
        Prediction(
            name,
            FIVE,
            generator.dirichlet(np.ones(len(FIVE))),
            np.full(len(FIVE), 0.05) if spread else None,
            start_s=float(place),
            end_s=float(place + 1),
            duration_s=float(num),
            transcript="<b>Hi</b>" if place == 0 else None,
        )
        for place in range(num)
    ]


def test_a_timeline_draws_what_was_answered() -> None:
    answers = made("talk.wav", 4, spread=True)
    figure = timeline_figure(answers, COLOURS)
    above, below = figure.axes
    assert [line.get_label() for line in above.lines] == list(FIVE)
    for index, line in enumerate(above.lines):
        np.testing.assert_allclose(line.get_xdata(), [0.5, 1.5, 2.5, 3.5])
        expected = [a.probabilities[index] for a in answers]  # type: ignore[index]
        np.testing.assert_allclose(line.get_ydata(), expected)
        assert line.get_color() == COLOURS[FIVE[index]]
    assert len(above.collections) == len(FIVE), "a band for each"
    assert [bar.get_x() for bar in below.patches] == [0, 1, 2, 3]


def test_a_timelines_page_plays_and_escapes(tmp_path: Path) -> None:
    (tmp_path / "talk.wav").write_bytes(wav_bytes(np.zeros(4_000, np.float32), 1_000))
    page = render_timeline(made(str(tmp_path / "talk.wav"), 4), COLOURS, "RUN")
    assert 'src="data:audio/wav;base64,' in page
    assert "&lt;b&gt;Hi&lt;/b&gt;" in page
    assert "<b>Hi</b>" not in page
    assert re.findall(r'data-start="([\d.]+)" data-stop="([\d.]+)"', page) == [
        (f"{place}.0", f"{place + 1}.0") for place in range(4)
    ]
    assert "http" not in re.sub(r'xmlns[:\w]*="[^"]*"', "", page)


@needs_chromium
def test_a_click_on_a_timeline_moves_its_player(tmp_path: Path) -> None:
    (tmp_path / "talk.wav").write_bytes(wav_bytes(np.zeros(4_000, np.float32), 1_000))
    page = render_timeline(made(str(tmp_path / "talk.wav"), 4), COLOURS, "RUN")
    states = clicked(page, tmp_path / "profile")
    assert states["word"] == [False, pytest.approx(1.0, abs=0.001)], "the second stretch begins"
    assert states["word played"] == [True, pytest.approx(2.0, abs=0.15)], "and ends"
    assert states["place"] == [False, pytest.approx(2.0, abs=0.02)], "the middle of the picture"


def test_overlaps_of_windows_are_halved_between_them() -> None:
    answers = [
        replace(answer, start_s=2.0 * place, end_s=2.0 * place + 4, duration_s=8.0)
        for place, answer in enumerate(made("talk.wav", 3))
    ]
    bars = timeline_figure(answers, COLOURS).axes[1].patches
    found = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars]
    assert found == [(0, 3), (3, 5), (5, 8)]


def test_each_recording_has_its_timeline(tmp_path: Path) -> None:
    answers = [*made("a/talk.wav", 2), *made("b/talk.wav", 2)]
    broken = replace(answers[0], name="c.wav", probabilities=None, reason="unreadable")
    pages = write_timelines([*answers, broken], tmp_path, COLOURS, "RUN")
    assert [page.name for page in pages] == ["talk.html", "talk-2.html"]
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["talk-2.png", "talk.png"]


@pytest.mark.slow
def test_a_timeline_by_command(denoised: MovedRun, cli: Cli, tmp_path: Path) -> None:
    clip = denoised.test["path"][0]
    words = [f"run={denoised.path}", f"input={clip}", "accelerator=cpu", "timeline=lines"]
    assert "timeline: expected stretches" in cli("predict", *words, expect=1).stderr
    out = cli("predict", *words, "window_s=0.1").stdout
    (page,) = (tmp_path / "lines").glob("*.html")
    assert str(page) in out
