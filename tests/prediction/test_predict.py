"""``mmemo predict``: a file, a folder, a table with broken rows, several runs, long recordings."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mmemo
from mmemo.audio.media import decode
from mmemo.evaluation.calibration import scaled
from mmemo.reporting.self_contained import wav_bytes
from mmemo.runs.run_folder import RunFolder
from tests.audio.test_odd_media import tone_file, tracks, with_bad_packets
from tests.commands.conftest import Cli
from tests.conftest import FIVE
from tests.prediction.conftest import MovedRun

pytestmark = pytest.mark.slow

PROBABILITIES = [f"prob_{name}" for name in FIVE]
Table = Callable[..., Path]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    def write(rows: list[dict[str, object]]) -> Path:
        path = tmp_path / "asked.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
            writer.writeheader()
            writer.writerows(rows)
        return path

    return write


def of_test(run: MovedRun) -> list[dict[str, object]]:
    """The test rows as a user's table, context included."""
    columns = {"path": "path", "transcript": "transcript", "speaker": "speaker"}
    columns |= {"dialogue_id": "dialogue", "utterance_id": "order"}
    return run.test[[*columns]].rename(columns=columns).to_dict("records")  # type: ignore[return-value]


def probabilities(frame: pd.DataFrame) -> np.ndarray:
    return frame[PROBABILITIES].to_numpy(dtype=np.float64)


def test_a_file_is_answered_as_in_evaluation(denoised: MovedRun, cli: Cli, tmp_path: Path) -> None:
    row = denoised.test.iloc[1]
    asked = [f"run={denoised.path}", f"input={row['path']}", f"text={row['transcript']}"]
    out = cli("predict", *asked, "accelerator=cpu", "output=[a.csv,a.jsonl,a.parquet]").stdout
    temperature = RunFolder(denoised.path).read_metrics().calibration.temperature.values[0]  # type: ignore[union-attr]
    assert f"calibrated by the temperature {temperature:.3f}, fitted on validation" in out
    own = row[PROBABILITIES].to_numpy(dtype=np.float64)[None]
    tables = [
        pd.read_csv(tmp_path / "a.csv"),
        pd.DataFrame(map(json.loads, (tmp_path / "a.jsonl").read_text().splitlines())),
        pd.read_parquet(tmp_path / "a.parquet"),
    ]
    for found in tables:
        np.testing.assert_allclose(probabilities(found), scaled(own, temperature), atol=1e-4)
        assert found["pred"].iloc[0] == row["pred"]
        assert found["duration_s"].iloc[0] == pytest.approx(row["duration_s"], abs=0.05)
        assert found["used_duration_s"].iloc[0] == 0.25, "data.max_duration_s"
        assert bool(found["calibrated"].iloc[0]) is True
        assert found["time_s"].iloc[0] > 0
    assert "longer than 0.25 s, where the model cuts" in out
    cli("predict", *asked, "accelerator=cpu", "calibrated=false", "output=b.parquet")
    plain = pd.read_parquet(tmp_path / "b.parquet")
    np.testing.assert_allclose(probabilities(plain), own, atol=1e-4)


def test_a_table_is_answered_with_its_context_and_its_broken_rows(
    seeds: tuple[MovedRun, MovedRun], cli: Cli, table: Table, tmp_path: Path
) -> None:
    run = seeds[0]
    rows = of_test(run)
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound")
    rows += [
        {"path": str(broken), "transcript": "Hello."},
        {"path": "nowhere.wav", "transcript": "Hello."},
        {"path": rows[0]["path"], "transcript": ""},
        {"path": rows[0]["path"], "transcript": "Hello.", "start": "7", "end": "8"},
        {"path": rows[0]["path"], "transcript": "Hello.", "start": "soon"},
        {"path": "", "transcript": ""},
        {"path": "https://example.org/a.wav", "transcript": "Hello."},
    ]
    words = [f"run={run.path}", f"input={table(rows)}", "accelerator=cpu", "calibrated=false"]
    out = cli("predict", *words, "output=all.parquet", "num_workers=0", expect=1).stdout
    found = pd.read_parquet(tmp_path / "all.parquet")
    assert len(found) == len(rows)
    np.testing.assert_allclose(
        probabilities(found[:15]), run.test[PROBABILITIES].to_numpy(), atol=1e-4
    )
    assert found["reason"][:15].isna().all()
    assert found["reason"][15:].tolist() == [
        "corrupt container",
        "missing clip",
        "missing modality",
        "outside the recording",
        "no time",
        "missing field",
        "an address",
    ]
    assert found["pred"][15:].isna().all()
    assert "7 of 22 have no answer" in out
    assert str(broken) in out


def test_stretches_of_a_table_are_those_of_the_sound(
    denoised: MovedRun, cli: Cli, table: Table, tmp_path: Path
) -> None:
    """Two clips one after the other in a file, told apart by times, are answered as apart."""
    rows = denoised.test[:2]
    sounds = [decode(path) for path in rows["path"]]
    rate = sounds[0].sample_rate
    joined = np.concatenate([sound.waveform for sound in sounds])
    (tmp_path / "long.wav").write_bytes(wav_bytes(joined, rate))
    times = np.cumsum([0, *(len(sound.waveform) / rate for sound in sounds)])
    asked = [
        {"path": "long.wav", "transcript": text, "start": times[i], "end": times[i + 1]}
        for i, text in enumerate(rows["transcript"])
    ]
    words = [f"run={denoised.path}", f"input={table(asked)}", "accelerator=cpu"]
    cli("predict", *words, "calibrated=false", "output=parts.parquet")
    found = pd.read_parquet(tmp_path / "parts.parquet")
    # The file has 16 bits, the clips are decoded to floats.
    np.testing.assert_allclose(probabilities(found), rows[PROBABILITIES].to_numpy(), atol=2e-3)
    assert found["start_s"].tolist() == pytest.approx(times[:2].tolist())


def test_a_folder_is_answered_without_words_where_the_model_learnt_to(
    denoised: MovedRun, cli: Cli, tmp_path: Path
) -> None:
    (denoised.clips / "notes.txt").write_text("not sound")
    words = [f"run={denoised.path}", f"input={denoised.clips}", "accelerator=cpu"]
    out = cli("predict", *words, "embeddings=true", "output=f.parquet", "num_workers=1").stdout
    (denoised.clips / "notes.txt").unlink()
    found = pd.read_parquet(tmp_path / "f.parquet")
    assert len(found) == len(list(denoised.clips.glob("*.mp4")))
    assert (found["missing"] == "text").all()
    assert f"{len(found)} without words, which the model was trained to do without" in out
    assert "fitted on validation with sound and words." in out
    assert "1 files of the folder are not called as sound or video: notes.txt" in out
    assert found["path"].tolist() == sorted(map(str, denoised.clips.glob("*.mp4")))
    assert {len(vector) for vector in found["embedding_fused"]} == {16}
    assert {len(vector) for vector in found["embedding_audio"]} == {16}
    assert "embedding_text" not in found


def test_words_alone(denoised: MovedRun, cli: Cli, tmp_path: Path) -> None:
    text = "Well, that's it: {no} ${more}, isn't it?"
    cli("predict", f"run={denoised.path}", f"text={text}", "output=t.jsonl", "accelerator=cpu")
    (found,) = map(json.loads, (tmp_path / "t.jsonl").read_text().splitlines())
    assert found["transcript"] == text
    assert found["missing"] == "audio"
    assert found["duration_s"] is None
    assert sum(found[name] for name in PROBABILITIES) == pytest.approx(1)


def test_a_model_that_needs_words_says_so(seeds: tuple[MovedRun, MovedRun], cli: Cli) -> None:
    run = seeds[0]
    words = [f"run={run.path}", f"input={run.test['path'][0]}", "accelerator=cpu"]
    told = cli("predict", *words, expect=1).stderr
    assert "expected words, which the model of" in told
    assert "asr=whisper" in told
    told = cli("predict", *words, "text=Hi.", "window_s=0.2", expect=1).stderr
    assert "which of these words are said in which stretch is not known" in told


def test_context_that_is_not_given_is_told(seeds: tuple[MovedRun, MovedRun], cli: Cli) -> None:
    run = seeds[0]
    words = [f"run={run.path}", f"input={run.test['path'][0]}", "text=Hi.", "accelerator=cpu"]
    assert "No context was given" in cli("predict", *words).stdout


def test_seeds_answer_together(
    seeds: tuple[MovedRun, MovedRun], cli: Cli, table: Table, tmp_path: Path
) -> None:
    rows = of_test(seeds[0])[:4]
    common = [f"input={table(rows)}", "accelerator=cpu"]
    each = []
    for number, run in enumerate(seeds):
        cli("predict", f"run={run.path}", *common, f"output={number}.parquet")
        each.append(probabilities(pd.read_parquet(tmp_path / f"{number}.parquet")))
    listed = f"run=[{seeds[0].path},{seeds[1].path}]"
    for name, runs in (("listed", listed), ("group", f"run={seeds[0].path.parent}")):
        out = cli("predict", runs, *common, f"output={name}.parquet").stdout
        assert "2 runs together" in out
        found = pd.read_parquet(tmp_path / f"{name}.parquet")
        np.testing.assert_allclose(probabilities(found), np.mean(each, axis=0), atol=1e-6)
        spread = found[[f"sd_{name}" for name in FIVE]].to_numpy()
        np.testing.assert_allclose(spread, np.std(each, axis=0, ddof=1), atol=1e-6)
    assert spread.max() > 1e-3


def test_runs_that_hear_otherwise_do_not_answer_together(
    denoised: MovedRun, seeds: tuple[MovedRun, MovedRun], cli: Cli
) -> None:
    runs = f"run=[{seeds[0].path},{denoised.path}]"
    told = cli("predict", runs, "text=Hi.", "accelerator=cpu", expect=1).stderr
    assert "expected models of the same preparation of sound" in told


def test_windows_of_a_long_recording(denoised: MovedRun, cli: Cli, tmp_path: Path) -> None:
    sound = decode(denoised.test["path"][0])
    long = np.tile(sound.waveform, 3)
    (tmp_path / "long.wav").write_bytes(wav_bytes(long, sound.sample_rate))
    duration_s = len(long) / sound.sample_rate
    words = [f"run={denoised.path}", "input=long.wav", "accelerator=cpu"]
    out = cli("predict", *words, "window_s=0.2", "hop_s=0.1", "output=w.parquet").stdout
    found = pd.read_parquet(tmp_path / "w.parquet")
    assert found["start_s"].tolist() == pytest.approx([0.1 * i for i in range(len(found))])
    assert found["end_s"].iloc[-1] == pytest.approx(duration_s)
    assert found["end_s"].iloc[-2] < duration_s
    assert (found["duration_s"] - duration_s).abs().max() < 1e-6
    assert "where the model cuts" not in out, "nothing is left unheard"
    told = cli("predict", *words, "window_s=3", expect=1).stderr
    assert "window_s: expected at most 0.25 s" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["input=nowhere.wav"], "nowhere.wav is not there"),
        ([], "expected a file, a folder, a CSV or text"),
        (["text=Hi.", "output=a.txt"], "expected a file that ends in .csv, .jsonl, .parquet"),
        (["text=Hi.", "embeddings=true", "output=a.csv"], "expected a file that holds vectors"),
        (["text=Hi.", "hop_s=1"], "expected window_s beside it"),
    ],
)
def test_what_cannot_be_asked_is_told(
    words: list[str], told: str, denoised: MovedRun, cli: Cli
) -> None:
    done = cli("predict", f"run={denoised.path}", "accelerator=cpu", *words, expect=1)
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_damage_and_a_choice_of_tracks_are_told(
    denoised: MovedRun, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "damaged.mp4").write_bytes(with_bad_packets(tone_file("mp4", "aac", 440.0), [20]))
    (tmp_path / "several.mkv").write_bytes(tracks(1))
    folder = tmp_path / "odd"
    folder.mkdir()
    for name in ("damaged.mp4", "several.mkv"):
        (tmp_path / name).rename(folder / name)
    asked = [f"run={denoised.path}", f"input={folder}", "accelerator=cpu"]
    said = cli("predict", *asked, "output=a.csv").stdout
    found = pd.read_csv(tmp_path / "a.csv")
    assert found["num_bad_packets"].tolist() == [1, 0]
    assert "packets of sound cannot be decoded" in found["note"][0]
    assert found["note"][1] == "of 2 sound tracks (ger, eng), number 1 is heard"
    assert "several.mkv: of 2 sound tracks" in " ".join(said.split())
    # A clip with one track has none of this number: it is a row with its reason.
    cli("predict", *asked, "audio_track=ger", "output=b.csv", expect=1)
    chosen = pd.read_csv(tmp_path / "b.csv")
    assert chosen["reason"].fillna("").tolist() == ["no such track", ""]
    other = probabilities(chosen)[1] - probabilities(found)[1]
    assert np.abs(other).max() > 1e-6
    run = mmemo.load_run(denoised.path)
    answer = run.predict(folder / "several.mkv", audio_track="ger")
    np.testing.assert_allclose([*answer.by_class.values()], probabilities(chosen)[1], atol=1e-4)
