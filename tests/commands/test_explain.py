"""``mmemo explain`` on runs that are trained in a moment."""

import json
import re
import shutil
import wave
from pathlib import Path

import pandas as pd
import pytest
import wandb
from transformers import RobertaModel

from mmemo.comparison.groups import seed_siblings
from mmemo.corpora.meld_raw import LAYOUT
from mmemo.explanation.attention_rollout import MEANING
from mmemo.explanation.encoder_probes import TABLE_FILE, encoder_stages
from mmemo.explanation.explainer import Explainer
from mmemo.explanation.explanation import METHODS, OF_NO_CLASS, Explanation
from mmemo.explanation.faithfulness import Faithfulness
from mmemo.explanation.inputs import UtteranceInput
from mmemo.explanation.passes import ExplanationError
from mmemo.explanation.summary import read_summary
from mmemo.runs.rebuilt_run import rebuild_run
from mmemo.runs.run_folder import RunFolder
from tests.commands.conftest import HOSTILE, Cli, TrainedRun, only_run
from tests.conftest import FIVE, meld_row, write_csv
from tests.wandb_files import read_run

QUICK = [
    "integrated_gradients.n_steps=3",
    "waveform_baseline.num_draws=1",
    "occlusion.stride_ms=100",
    "faithfulness_checks.num_orders=1",
    "num_pages=1",
]
HOSTILE_KEY = "test/dia0_utt0"


@pytest.fixture
def run(trained: TrainedRun) -> RunFolder:
    return trained.run


def only_set(run: RunFolder) -> Path:
    (settings,) = (run.path / "explanations").glob("*/settings.json")
    return settings.parent


def explanations(folder: Path) -> dict[str, Explanation]:
    found = [Explanation.load(path.parent) for path in folder.glob("*/explanation.json")]
    return {explanation.key: explanation for explanation in found}


def test_a_set_is_explained_and_goes_on(
    cli: Cli, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = f"keys=[{HOSTILE_KEY},test/dia0_utt1,test/dia0_utt2]"
    command = ["explain", f"run={run.path}", keys, "target=true", *QUICK]
    done = Explainer.explain

    def fails(self: Explainer, classifier, given: UtteranceInput, *rest):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN002, ANN202
        if given.key == "test/dia0_utt1":
            raise ExplanationError("dia0_utt1 is not finite")
        return done(self, classifier, given, *rest)

    monkeypatch.setattr(Explainer, "explain", fails)
    printed = cli(*command).stdout
    assert "1 of 3 utterances failed:\n  test/dia0_utt1: dia0_utt1 is not finite" in printed
    folder = only_set(run)
    first = explanations(folder)
    assert set(first) == {HOSTILE_KEY, "test/dia0_utt2"}
    assert all(explanation.target == explanation.true for explanation in first.values())
    assert json.loads((folder / "summary.json").read_text())["num"] == 2
    page = next(folder.glob("*/explanation.html")).read_text()
    index = (folder / "index.html").read_text()
    assert "test/dia0_utt2" in index
    assert HOSTILE not in index + page, "text of the corpus is escaped"

    monkeypatch.setattr(Explainer, "explain", done)
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/explanation.json")}
    printed = cli(*command).stdout
    assert "explaining: 1 utterances (2 are there), " in printed
    assert "failed" not in printed
    found = explanations(folder)
    assert set(found) == {*first, "test/dia0_utt1"}
    assert {path: path.stat().st_mtime_ns for path in before} == before

    (told,) = [line for line in printed.splitlines() if line.startswith("explaining: ")]
    new = found["test/dia0_utt1"]
    assert f"{new.forward_passes} forward and {new.backward_passes} backward passes" in told


def test_a_random_model_that_fails_costs_no_other_check(
    cli: Cli, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ExplanationError("random weights are not finite")

    whole_check = Faithfulness.add_randomised
    monkeypatch.setattr(Faithfulness, "add_randomised", fails)
    command = ["explain", f"run={run.path}", f"keys={HOSTILE_KEY}", "faithfulness=true", *QUICK]
    printed = cli(*command).stdout
    assert f"{HOSTILE_KEY}: random weights are not finite" in printed
    (file,) = only_set(run).glob("*/checks.json")
    whole = json.loads(file.read_text())
    assert "deletion area" in {row["name"] for row in whole["rows"]}
    assert whole["randomisation"] == {}
    assert whole["settings"]["is_randomised"] is False

    file.write_text(file.read_text()[:100])
    cli(*command)
    assert json.loads(file.read_text()) == whole, "what cannot be read is made again"

    noted = {HOSTILE_KEY: "random weights are not finite"}
    failures = only_set(run) / "failures.json"
    unchecked = cli("explain", f"run={run.path}", f"keys={HOSTILE_KEY}", *QUICK).stdout
    assert json.loads(failures.read_text()) == noted, "nothing has tried it since"
    assert "1 of 1 utterances failed" in unchecked
    monkeypatch.setattr(Faithfulness, "add_randomised", whole_check)
    assert "failed" not in cli(*command).stdout
    assert json.loads(failures.read_text()) == {}
    mended = json.loads(file.read_text())
    assert mended["settings"]["is_randomised"] is True
    assert mended["randomisation"]
    file.unlink()


def test_what_cannot_be_done_is_told_before_anything_is(cli: Cli, run: RunFolder) -> None:
    for option, message in (
        ("logger=csv", "logger: expected wandb or none, got"),
        ("faithfulness_checks.num_orders=0", "faithfulness_checks.num_orders: expected at least 1"),
        ("layer_probes.groups=foo", "layer_probes.groups: expected auto, dialogue, speaker"),
        ("other_seeds=/nowhere/run", "/nowhere/run: expected a run folder"),
    ):
        options = ["num_random=1", "faithfulness=true", *QUICK, option]
        assert message in cli("explain", f"run={run.path}", *options, expect=1).stderr
    assert not (run.path / "explanations").exists()


def test_none_that_works_is_an_error(
    cli: Cli, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ExplanationError("no memory")

    monkeypatch.setattr(Explainer, "explain", fails)
    printed = cli("explain", f"run={run.path}", f"keys={HOSTILE_KEY}", *QUICK, expect=1)
    assert f"none was; the first: {HOSTILE_KEY}: no memory" in printed.stderr
    unknown = cli("explain", f"run={run.path}", "keys=test/dia9_utt9", *QUICK, expect=1)
    assert "keys: expected keys of utterances" in unknown.stderr
    target = cli("explain", f"run={run.path}", f"keys={HOSTILE_KEY}", "target=love", expect=1)
    assert "target: expected predicted, true or one of anger" in target.stderr
    probes = cli("explain", f"run={run.path}", "num_random=1", "probes=true", *QUICK, expect=1)
    assert "probes=true: expected a run with a pretrained encoder" in probes.stderr
    features = cli("explain", f"run={run.path}", "feature_shap=true", *QUICK, expect=1)
    assert "feature_shap=true: expected a run of a classical classifier" in features.stderr


def test_all_methods_are_drawn_checked_and_compared(cli: Cli, run: RunFolder) -> None:
    options = [
        f"methods=[{','.join(METHODS)}]",
        "lime.num_samples=20",
        "kernel_shap.num_samples=20",
        "faithfulness=true",
        "faithfulness_checks.num_randomised=0",
    ]
    # It has three words: of fewer no two methods are compared.
    command = ["explain", f"run={run.path}", f"keys=[{HOSTILE_KEY}]", *options, *QUICK]
    printed = cli(*command).stdout
    folder = only_set(run)
    (explanation,) = explanations(folder).values()
    assert list(explanation.attributions) == list(METHODS)
    told = f"{explanation.forward_passes} forward and {explanation.backward_passes} backward"
    assert told in printed
    assert MEANING in explanation.notes
    (file,) = folder.glob("*/checks.json")
    rows = {(row["method"], row["modality"]) for row in json.loads(file.read_text())["rows"]}
    assert {("lime and kernel_shap", "text"), ("occlusion and grad_cam", "audio")} <= rows
    assert ("attention_rollout", "text") in rows
    page = (file.parent / "explanation.html").read_text(encoding="utf-8")
    for name in METHODS.values():
        assert name in page
    index = (folder / "index.html").read_text(encoding="utf-8")
    assert "lime and kernel shap, text" in index
    assert {word.method for word in read_summary(folder).words} <= set(METHODS) - OF_NO_CLASS
    assert "all 1 explanations are there" in cli(*command).stdout
    unknown = cli("explain", f"run={run.path}", "methods=[lemon]", expect=1)
    assert "methods/lemon" in unknown.stderr and "kernel_shap" in unknown.stderr


def test_seeds_are_compared_and_all_is_logged(cli: Cli, small: list[str], tmp_path: Path) -> None:
    cli("train", "-m", *small, "seed=7,8", "trainer.max_epochs=1")
    runs = sorted(
        (RunFolder.open(p.parent) for p in (tmp_path / "outputs").rglob("run.json")),
        key=lambda run: run.path.name,
    )
    assert seed_siblings(runs[0]) == [runs[1].path]
    options = ["faithfulness=true", "num_random=2", "logger=wandb", *QUICK]
    options += ["faithfulness_checks.num_randomised=1"]
    printed = cli("explain", f"run={runs[0].path}", *options).stdout
    wandb.teardown()
    assert "seed 8: 2 utterances, " in printed
    (told,) = [line for line in printed.splitlines() if line.startswith("checks: at most ")]
    assert re.search(r"passes, about \d+ s, after 1 of other seeds have explained the same$", told)
    folder = only_set(runs[0])
    checks = [json.loads(path.read_text()) for path in sorted(folder.glob("*/checks.json"))]
    assert [bool(one["randomisation"]) for one in checks].count(True) == 1
    stages = next(one["randomisation"] for one in checks if one["randomisation"])
    assert set(stages) == {
        "integrated_gradients/audio",
        "integrated_gradients/text",
        "occlusion/audio",
        "occlusion/text",
    }
    names = [stage["name"] for stage in stages["integrated_gradients/audio"]]
    assert names[:2] == ["head", "fusion"]
    assert names[-1] == "everything"
    found = {(row["method"], row["modality"], row["name"]) for one in checks for row in one["rows"]}
    assert ("integrated_gradients", "audio", "correlation with loudness") in found
    assert ("occlusion", "audio", "correlation across 2 seeds") in found
    assert ("integrated_gradients", "both", "relative delta") in found
    summary = read_summary(folder)
    assert "correlation across 2 seeds" in {row.name for row in summary.checks}
    assert "Can they be believed?" in printed and "IG and occlusion" in printed
    assert len(explanations(folder)) == 2, "those of the other seed do not count"

    (path,) = runs[0].path.glob("wandb/offline-run-*")
    written = read_run(path)
    (artifact,) = written.artifacts
    places = {entry.path: Path(entry.local_path) for entry in artifact.manifest.contents}
    (content,) = [place for name, place in places.items() if name.endswith(".table.json")]
    columns, rows = (json.loads(content.read_text())[part] for part in ("columns", "data"))
    logged = [dict(zip(columns, row, strict=True)) for row in rows]
    by_key = explanations(folder)
    assert {row["key"] for row in logged} == set(by_key)
    for row in logged:
        with wave.open(str(places[row["audio"]["path"]])) as file:
            sound = by_key[row["key"]].sound
            assert sound is not None
            assert file.getnframes() == len(sound)
    assert sum(row["joint"] is not None for row in logged) == 1, "one has a page"
    assert any(f"explanations/{folder.name}/modalities" in row for row in written.history)

    again = cli("explain", f"run={runs[0].path}", *options[:2], *options[3:]).stdout
    assert "explaining: all 2 explanations are there" in again

    runs[1].write_info(checkpoint=None)
    option = f"other_seeds={runs[1].path}"
    left_out = cli("explain", f"run={runs[0].path}", *options[:2], *options[3:], option).stderr
    assert f"left out, {runs[1].path.name}: " in left_out
    assert "its training has not ended" in left_out


def spread_over_dialogues(tones: Path) -> None:
    """Three utterances in each dialogue of the test split, and the same words in each class."""
    texts = ("You are here.", "My friend!", "I'm fine.", "You are my friend.", "Fine.")
    rows = [meld_row(i // 3, i, FIVE[i % 5], texts[i % 5]) for i in range(15)]
    write_csv(tones / "test_sent_emo.csv", rows)
    clips = tones / LAYOUT["test"].clips
    for i in range(3, 15):
        (clips / f"dia0_utt{i}.mp4").rename(clips / f"dia{i // 3}_utt{i}.mp4")


def test_what_layers_know_before_and_after_fine_tuning(
    cli: Cli, small: list[str], tones: Path, tmp_path: Path, tiny_roberta: Path
) -> None:
    spread_over_dialogues(tones)
    checkpoint = shutil.copytree(tiny_roberta, tmp_path / "checkpoint")
    overrides = [o for o in small if not o.startswith("text_encoder")]
    overrides += ["text_encoder=roberta_base", f"text_encoder.checkpoint={checkpoint}"]
    cli("train", *overrides, "trainer.max_epochs=1", "optimizer.lr=0.1")
    run = only_run(tmp_path)
    command = ["explain", f"run={run.path}", "num_random=1", "probes=true", *QUICK]
    printed = cli(*command).stdout
    assert "no layers of the audio encoder: LogMelEncoder" in printed
    file = only_set(run) / TABLE_FILE
    assert f"layer probes: {file}" in printed
    assert "probes: text/before, text/after; 15 forward passes each" in printed
    assert "probes: all are there" in cli(*command).stdout
    table = pd.read_csv(file)
    assert set(table["encoder"]) == {"text"}
    assert table.groupby("stage")["layer"].apply(list).to_dict() == {
        "before": [0, 1, 2],
        "after": [0, 1, 2],
    }
    assert (table["num_utterances"].unique(), table["num_groups"].unique()) == ([15], [5])
    assert table["low"].isna().all(), "five dialogues have no interval"
    # Three of each class have the same words, and no probe has seen their dialogue; what stands for
    # all of them before the first layer is the same for all.
    before = list(table[table["stage"] == "before"]["macro_f1"])
    assert before[0] < 0.2
    assert before[1:] == pytest.approx([1.0, 1.0])
    stages, _ = encoder_stages(rebuild_run(run.path, None))
    begun, ended = (stages["text", stage].state_dict() for stage in ("before", "after"))
    for name, value in RobertaModel.from_pretrained(checkpoint).state_dict().items():
        if "pooler" not in name and "position_ids" not in name:
            assert begun[f"model.{name}"].equal(value), name
    assert begun.keys() == ended.keys()
    assert not all(value.equal(ended[name]) for name, value in begun.items())

    shutil.rmtree(checkpoint)
    printed = cli(*command).stdout
    assert "nothing before fine-tuning, its checkpoint cannot be loaded" in printed
    assert set(pd.read_csv(file)["stage"]) == {"after"}
    one_speaker = cli(*command, "layer_probes.groups=speaker", expect=1)
    assert "expected utterances of at least two groups, and of two classes" in one_speaker.stderr


def test_words_alone(cli: Cli, small: list[str], tmp_path: Path) -> None:
    words = [o for o in small if not o.startswith("audio_encoder")] + ["audio_encoder=none"]
    cli("train", *words)
    run = only_run(tmp_path)
    cli("explain", f"run={run.path}", "errors=true", "num_random=2", *QUICK)
    for explanation in explanations(only_set(run)).values():
        assert explanation.sound is None
        assert explanation.shapley is not None
        assert set(explanation.shapley.values) == {"text"}
        found = explanation.integrated_gradients, explanation.occlusion
        for attribution in found:
            assert attribution is not None
            assert attribution.words is not None
            assert len(attribution.words) == len(explanation.words)


def test_what_has_no_gradient_is_occluded(cli: Cli, small: list[str], tmp_path: Path) -> None:
    sound = [o for o in small if not o.startswith(("audio_encoder", "text_encoder"))]
    cli("train", *sound, "audio_encoder=egemaps", "text_encoder=none", "trainer.max_epochs=1")
    run = only_run(tmp_path)
    printed = cli("explain", f"run={run.path}", f"keys={HOSTILE_KEY}", *QUICK).stdout
    (explanation,) = explanations(only_set(run)).values()
    assert explanation.integrated_gradients is None
    assert explanation.occlusion is not None
    assert explanation.occlusion.frames is not None
    assert any("cannot be differentiated" in note for note in explanation.notes), (
        explanation.notes,
        printed,
    )
    assert "cannot be differentiated" in next(only_set(run).glob("*/explanation.html")).read_text()
