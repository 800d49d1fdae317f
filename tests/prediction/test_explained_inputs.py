"""``mmemo explain`` on what a user gives, by a run that was moved away from its corpus."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmemo.documents import OtherVersionError
from mmemo.explanation.explanation import Explanation, read_record
from mmemo.explanation.scale import word_spans_s
from mmemo.explanation.summary import read_summary
from tests.commands.conftest import Cli
from tests.conftest import FIVE
from tests.prediction.conftest import MovedRun

pytestmark = pytest.mark.slow

QUICK = (
    "accelerator=cpu",
    "integrated_gradients.n_steps=3",
    "waveform_baseline.num_draws=1",
    "occlusion.stride_ms=100",
)


@pytest.fixture
def run(denoised: MovedRun, tmp_path: Path) -> Path:
    """A copy of its own, which explanations are written into."""
    return Path(shutil.copytree(denoised.path, tmp_path / "run"))


def sets(run: Path) -> list[Path]:
    return sorted(path.parent for path in (run / "explanations").glob("*/settings.json"))


def explained(folder: Path) -> dict[str, Explanation]:
    found = [Explanation.load(path.parent) for path in folder.glob("*/explanation.json")]
    return {explanation.key: explanation for explanation in found}


def test_a_file_is_explained_as_its_utterance_was_evaluated(
    denoised: MovedRun, run: Path, cli: Cli
) -> None:
    row = denoised.test.iloc[2]
    asked = [f"run={run}", f"input={row['path']}", f"text={row['transcript']}", *QUICK]
    printed = cli("explain", *asked).stdout
    (folder,) = sets(run)
    assert folder.name.startswith("input-predicted-")
    assert str(folder / "index.html") in printed
    ((key, found),) = explained(folder).items()
    assert key == Path(row["path"]).name
    own = row[[f"prob_{name}" for name in FIVE]].to_numpy(dtype=np.float64)
    np.testing.assert_allclose(found.probabilities, own, atol=1e-4)
    assert found.true is None
    assert found.target == found.predicted == row["pred"]
    (page,) = folder.glob("*/explanation.html")
    assert "annotated" not in page.read_text().partition("</p>")[0]
    index = (folder / "index.html").read_text()
    assert "annotated" not in index
    assert "None" not in index
    assert read_summary(folder).num_annotated == 0
    assert "all 1 explanations are there" in cli("explain", *asked).stdout
    assert "leakage" not in printed
    # Other words, or other sound under the same name, are another explanation.
    cli("explain", f"run={run}", f"input={row['path']}", "text=Other words.", *QUICK)
    assert len(sets(run)) == 2


def test_a_table_is_explained_but_for_its_broken_rows(
    denoised: MovedRun, run: Path, cli: Cli, tmp_path: Path
) -> None:
    clip = denoised.test["path"][2]
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    words = [{"text": "Tone", "start_s": 0.01, "end_s": 0.04}]
    words += [{"text": "two.", "start_s": 0.05, "end_s": 0.2}]
    rows = [
        {"path": clip, "transcript": "Hi there.", "start": "0", "end": "0.15"},
        {"path": clip, "words": json.dumps(words)},
        {"path": "broken.wav", "transcript": "Hi."},
        {"path": clip, "words": "[1]"},
        {"path": "", "transcript": "Words alone."},
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "asked.csv", index=False)
    command = ["explain", f"run={run}", f"input={tmp_path / 'asked.csv'}", "target=joy", *QUICK]
    printed = cli(*command, "faithfulness=true", "faithfulness_checks.num_orders=1", expect=1)
    assert "2 of 5 utterances failed" in printed.stdout
    assert "broken.wav: corrupt container" in printed.stdout
    (folder,) = sets(run)
    failures = json.loads((folder / "failures.json").read_text())
    assert set(failures) == {"broken.wav", f"{clip}#2"}
    assert failures[f"{clip}#2"].startswith("no words with times")
    found = explained(folder)
    assert set(found) == {f"{clip} 0-0.15 s", clip, "text"}
    assert {one.target for one in found.values()} == {"joy"}
    assert found[f"{clip} 0-0.15 s"].duration_s == pytest.approx(0.15, abs=0.02)
    assert found["text"].sound is None
    assert [(w.text, w.start_s, w.end_s) for w in found[clip].words] == [
        ("Tone", 0.01, 0.04),
        ("two", 0.05, 0.2),
    ]
    assert read_summary(folder).checks


def test_words_that_are_written_down_have_their_times(
    seeds: tuple[MovedRun, MovedRun], tiny_recogniser: Path, cli: Cli, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(seeds[0].path, tmp_path / "run"))
    clip = seeds[0].test["path"][1]
    asr = ["asr=whisper", f"asr.checkpoint={tiny_recogniser}"]
    cli("explain", f"run={run}", f"input={clip}", *asr, *QUICK)
    cli("predict", f"run={run}", f"input={clip}", *asr, "accelerator=cpu", "output=a.jsonl")
    heard = json.loads((tmp_path / "a.jsonl").read_text())
    (found,) = explained(sets(run)[0]).values()
    assert len(found.words) == len(heard["words"]) > 0
    assert [w.start_s for w in found.words] == [word["start_s"] for word in heard["words"]]


def test_a_speakers_name_has_no_time(
    seeds: tuple[MovedRun, MovedRun], cli: Cli, tmp_path: Path
) -> None:
    """The model reads it in front of the words."""
    run = Path(shutil.copytree(seeds[0].path, tmp_path / "run"))
    words = json.dumps([{"text": "Hi.", "start_s": 0.1, "end_s": 0.2}])
    row = {"path": seeds[0].test["path"][1], "words": words, "speaker": "Ada Byron"}
    pd.DataFrame([row]).to_csv(tmp_path / "asked.csv", index=False)
    cli("explain", f"run={run}", "input=asked.csv", *QUICK)
    (found,) = explained(sets(run)[0]).values()
    assert found.transcript == "Ada Byron: Hi."
    assert [(w.text, w.start_s) for w in found.words] == [
        ("Ada", None),
        ("Byron:", None),
        ("Hi.", 0.1),
    ]
    assert word_spans_s(found) == [(0.1, 0.1), (0.1, 0.1), (0.1, 0.2)]
    (page,) = run.glob("explanations/*/*/explanation.html")
    assert "estimated" not in page.read_text()


def test_seeds_are_compared_on_a_file(
    seeds: tuple[MovedRun, MovedRun], cli: Cli, tmp_path: Path
) -> None:
    group = Path(shutil.copytree(seeds[0].path.parent, tmp_path / "group"))
    one = group / seeds[0].path.name
    row = seeds[0].test.iloc[1]
    asked = [f"run={one}", f"input={row['path']}", f"text={row['transcript']}", *QUICK]
    checks = ["faithfulness=true", "faithfulness_checks.num_orders=1"]
    printed = cli("explain", *asked, *checks).stdout
    assert "after 1 of other seeds have explained the same" in printed
    assert "seed 2: 1 utterances" in printed
    assert "other seeds" in printed.lower()


def test_what_is_asked_twice_is_told(denoised: MovedRun, run: Path, cli: Cli) -> None:
    clip = f"input={denoised.test['path'][1]}"
    for options, told in (
        ([clip, "keys=[test/dia0_utt1]"], "keys: expected utterances of the run's corpus, or"),
        ([clip, "probes=true"], "probes: expected utterances of the run's corpus"),
        ([clip, "target=true"], "target: expected predicted or a class beside input"),
        ([clip, "target=happy"], "target: expected predicted, true or one of"),
        (["input=nowhere.wav"], "nowhere.wav is not there"),
        (["asr=whisper"], "asr: expected input beside it"),
    ):
        done = cli("explain", f"run={run}", *options, *QUICK, expect=1)
        assert told in done.stderr
        assert "Traceback" not in done.stderr


def test_what_cannot_be_read_alone_is_an_error(run: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    done = cli("explain", f"run={run}", "input=broken.wav", "text=Hi.", *QUICK, expect=1)
    assert "expected at least one that can be read, got 1 that cannot" in done.stderr
    assert "corrupt container" in done.stderr


def test_an_explanation_of_an_earlier_layout_is_told(
    denoised: MovedRun, run: Path, cli: Cli
) -> None:
    cli("explain", f"run={run}", "text=Hi.", *QUICK)
    (record,) = run.glob("explanations/*/*/explanation.json")
    record.write_text(record.read_text().replace('"version": 2', '"version": 1'))
    with pytest.raises(OtherVersionError, match="its version is 1, this mmemo reads 2; remove"):
        read_record(record.parent)
