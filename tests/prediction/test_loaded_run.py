"""A run in Python: the same answers as by command, and the page of the documentation."""

import subprocess
import sys
from functools import partialmethod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mmemo
from mmemo.audio.media import Sound, decode
from mmemo.corpora.spoken_demo import SpokenDemoCorpus
from mmemo.errors import InputError
from mmemo.prediction.answers import SpokenWord
from mmemo.prediction.loaded_run import LoadedRun, _recording
from mmemo.reporting.self_contained import wav_bytes
from tests.conftest import FIVE
from tests.documentation.markdown import ROOT, blocks, text_of
from tests.prediction.conftest import MovedRun

pytestmark = pytest.mark.slow

SMALL = (
    "integrated_gradients.n_steps=4",
    "waveform_baseline.num_draws=1",
    "occlusion.window_ms=100",
)


@pytest.fixture(scope="module")
def run(denoised: MovedRun) -> LoadedRun:
    return mmemo.load_run(denoised.path, accelerator="cpu")


def test_importing_is_light() -> None:
    code = (
        "import sys, mmemo; print(mmemo.__version__, "
        "{'torch', 'lightning', 'transformers', 'pandas', 'numpy', 'hydra'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == f"{mmemo.__version__} set()\n"


def test_samples_and_files_are_answered_as_in_evaluation(
    run: LoadedRun, denoised: MovedRun
) -> None:
    row = denoised.test.iloc[2]
    own = row[[f"prob_{name}" for name in run.labels]].to_numpy(dtype=np.float64)
    sound = decode(row["path"])
    stereo = np.stack([sound.waveform, sound.waveform])
    for audio, rate in (
        (row["path"], None),
        (sound.waveform, sound.sample_rate),
        (stereo, sound.sample_rate),
        (stereo.T, sound.sample_rate),
    ):
        answer = run.predict(audio, rate, row["transcript"], calibrated=False)
        assert answer.probabilities is not None
        np.testing.assert_allclose(answer.probabilities, own, atol=1e-4)
    assert run.labels == FIVE
    assert run.modalities == ("audio", "text")
    assert run.protocol.corpus == "meld"
    assert answer.label == row["pred"]
    assert list(answer.by_class) == list(FIVE)


@pytest.mark.parametrize(
    ("subtype", "dtype"),
    [("PCM_U8", np.uint8), ("PCM_S8", np.int8), ("PCM_16", np.int16), ("PCM_32", np.int32)],
)
def test_integers_have_the_full_scale_of_a_file_of_them(
    subtype: str, dtype: type[np.integer[Any]], tmp_path: Path
) -> None:
    """Against what soundfile reads of the same samples, the least and the greatest among them."""
    soundfile = pytest.importorskip("soundfile")
    info = np.iinfo(dtype)
    middle = 128 if info.min == 0 else 0
    samples = np.array([info.min, info.max, middle, middle + info.max // 4], dtype)
    path = tmp_path / ("a.aiff" if subtype == "PCM_S8" else "a.wav")
    with soundfile.SoundFile(path, "w", 16_000, 1, subtype) as file:
        # As bytes: soundfile has no samples of 8 bits.
        file.write(samples.astype(np.float64) / 2.0 ** (8 * samples.itemsize - 1) - (middle > 0))
    expected, rate = soundfile.read(path, dtype="float64")
    assert expected[0] == -1.0
    recording = _recording(samples, rate)
    assert recording is not None and isinstance(recording.source, Sound)
    np.testing.assert_allclose(recording.source.waveform, expected, atol=1e-7)
    np.testing.assert_allclose(decode(path).waveform, expected, atol=1e-7)


def test_samples_of_no_sound_are_told() -> None:
    for dtype in (np.uint16, np.uint64, np.bool_, np.complex64, np.object_):
        with pytest.raises(InputError, match="audio: expected samples that are floats, signed"):
            _recording(np.zeros(10, dtype), 16_000)
    with pytest.raises(InputError, match="audio: expected finite samples"):
        _recording(np.array([0.0, np.nan]), 16_000)
    for rate in (0, -1, 16_000.5):
        with pytest.raises(InputError, match="sample_rate: expected"):
            _recording(np.zeros(10), rate)  # type: ignore[arg-type]


def test_files_with_texts_and_a_broken_one(
    run: LoadedRun, denoised: MovedRun, tmp_path: Path
) -> None:
    rows = denoised.test[:3]
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    files = [*rows["path"], tmp_path / "broken.wav"]
    answers = run.predict_files(files, [*rows["transcript"], None], calibrated=False)
    table = run.table(answers, calibrated=False)
    expected = rows[[f"prob_{name}" for name in run.labels]].to_numpy()
    found = table[[f"prob_{name}" for name in run.labels]].to_numpy(dtype=np.float64)
    np.testing.assert_allclose(found[:3], expected, atol=1e-4)
    assert table["reason"].tolist()[3] == "corrupt container"
    assert answers[3].label is None
    with pytest.raises(InputError, match="texts: expected one for each of 4 files, got 1"):
        run.predict_files(files, ["Hi."])


def test_what_one_utterance_lacks_is_an_error(run: LoadedRun, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sample_rate: expected the rate"):
        run.predict(np.zeros(100))
    with pytest.raises(InputError, match="expected sound and words"):
        run.predict()
    with pytest.raises(InputError, match="missing clip: .*nowhere.wav: no such file"):
        run.predict(tmp_path / "nowhere.wav", text="Hi.")
    with pytest.raises(InputError, match=r"audio: expected samples \(T,\)"):
        run.predict(np.zeros((2, 2, 2)), 16_000)


def test_an_explanation_is_of_the_answer_that_was_given(run: LoadedRun, denoised: MovedRun) -> None:
    row = denoised.test.iloc[2]
    words = [SpokenWord("Tone", 0.01, 0.05), SpokenWord("2", 0.05, 0.2)]
    explanation = run.explain(row["path"], text=row["transcript"], words=words, overrides=SMALL)
    answer = run.predict(row["path"], text=row["transcript"], calibrated=False)
    np.testing.assert_allclose(explanation.probabilities, answer.probabilities, atol=1e-5)  # type: ignore[arg-type]
    assert explanation.true is None
    assert explanation.target == explanation.predicted == answer.label
    assert [(w.start_s, w.end_s) for w in explanation.words] == [(0.01, 0.05), (0.05, 0.2)]
    with pytest.raises(InputError, match="nobody has annotated"):
        run.explain(row["path"], text=row["transcript"], target="true", overrides=SMALL)


def test_an_explanation_of_no_corpus_has_its_page(
    run: LoadedRun, denoised: MovedRun, tmp_path: Path
) -> None:
    from mmemo.explanation.page import write_explanation_page

    row = denoised.test.iloc[2]
    run.explain(row["path"], text=row["transcript"], overrides=SMALL).save(tmp_path)
    page = write_explanation_page(tmp_path).read_text()
    assert "annotated" not in page.partition("</p>")[0]


def test_every_cell_of_the_page_runs(
    seeds: tuple[MovedRun, MovedRun],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = partialmethod(SpokenDemoCorpus.__init__, num_workers=0)
    monkeypatch.setattr(SpokenDemoCorpus, "__init__", few)
    monkeypatch.setenv("MMEMO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs" / "demo").mkdir(parents=True)
    (tmp_path / "outputs" / "demo" / "RUN").symlink_to(seeds[0].path)
    noise = 0.1 * np.random.default_rng(0).standard_normal(8_000).astype(np.float32)
    (tmp_path / "clip.wav").write_bytes(wav_bytes(noise, 16_000))
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    cells = [b.text for b in blocks(text_of(ROOT / "docs" / "python.md"))]
    cells += [b.text for b in blocks(text_of(ROOT / "README.md")) if b.language == "python"]
    assert len(cells) == 7
    names: dict[str, object] = {}
    for cell in cells:
        exec(compile(cell, "python.md", "exec"), names)  # noqa: S102
    printed = capsys.readouterr().out
    assert "broken.wav None corrupt container" in printed
    logits = names["logits"]
    assert isinstance(logits, torch.Tensor)
    assert logits.shape == (len(names["batch"]), 5)  # type: ignore[arg-type]
    assert f"'{FIVE[0]}'" in printed


def test_what_does_not_compose_is_told() -> None:
    with pytest.raises(InputError, match="compose: expected settings of mmemo train"):
        mmemo.compose("demo", ["no_such_setting=1"])


@pytest.mark.parametrize(
    "named",
    [
        ["initial=runs", "initial.text=RUN"],
        ["initial=runs", "initial.audio=RUN", "initial.frozen=false"],
        ["distillation=telme", "distillation.teacher=RUN"],
    ],
)
def test_what_is_made_of_other_runs_is_not_built_without_them(named: list[str]) -> None:
    with pytest.raises(InputError, match=r"build: expected .* no other run, got \S+=\S*RUN; train"):
        mmemo.compose("demo", named).build()
