"""The examples of the page about extending: each is written as it stands, and trained with."""

from __future__ import annotations

import csv
import json
import math
import re
import runpy
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from mmemo.corpora.utterance import SPLITS
from mmemo.data.batch import AudioInput
from mmemo.reporting.self_contained import wav_bytes
from mmemo.runs.run_folder import RunFolder
from tests.commands.conftest import Cli
from tests.conftest import FIVE, tone
from tests.documentation.markdown import ROOT, Command, blocks, commands_of, text_of

PAGE = text_of(ROOT / "docs" / "extending.md")
SECTIONS = dict(part.split("\n", 1) for part in PAGE.split("\n## ")[1:])
WHERE = "Where files and classes lie"

ONE_EPOCH = "trainer.max_epochs=1"

Example = Callable[..., list[RunFolder]]


def commands(title: str) -> list[Command]:
    """The commands of a section, trainings first."""
    found = list(commands_of(SECTIONS[title], title, with_inline=False))
    return sorted(found, key=lambda command: command.words[1] != "train")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder of the reader's, whose modules Python finds for the test alone."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("my_"):
            del sys.modules[name]


@pytest.fixture
def example(project: Path, small: list[str], cli: Cli) -> Example:
    """Writes a section's files and types its commands, in small; the runs that they made."""

    def typed(title: str, *given: str, replaced: dict[str, str] | None = None) -> list[RunFolder]:
        for block in blocks(SECTIONS[title]):
            if block.title:
                path = project / block.title
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text, encoding="utf-8")
        for command in commands(title):
            run(command, given, replaced or {})
        return sorted(map(RunFolder, (project / "outputs").glob("*/*")), key=lambda r: r.path)

    def run(command: Command, given: tuple[str, ...], replaced: dict[str, str]) -> None:
        program, *words = command.words
        runs = [path.parent for path in (project / "outputs").glob("*/*/run.json")]
        last = max(runs, default=project, key=started)
        places = {"outputs/demo/RUN": str(last)} | replaced
        for name, there in places.items():
            words = [word.replace(name, there) for word in words]
        if program == "python":
            sys.argv = words
            runpy.run_path(str(project / words[0]), run_name="__main__")
            return
        if words[0] == "train":
            words = [word for word in words if word != "experiment=demo"]
            words += [*not_in(small, [*words, *given]), *given]
        if words[0] == "prepare":
            words += [o for o in small if o.startswith(("cache_dir", "preparer."))]
        cli(*words)

    return typed


def started(folder: Path) -> float:
    return folder.stat().st_ctime


def not_in(overrides: list[str], typed: list[str]) -> list[str]:
    """Those of values and groups that what is typed does not choose itself."""
    keys = {word.lstrip("+").partition("=")[0] for word in typed}
    return [o for o in overrides if not {o.partition("=")[0], o.partition(".")[0]} & keys]


def history(run: RunFolder) -> pd.DataFrame:
    return pd.read_csv(run.history_file)


def test_every_section_is_tested() -> None:
    named = set(re.findall(r'example\("([A-Z][^"]+)"', text_of(Path(__file__))))
    assert named == {title for title in SECTIONS if title != WHERE}
    others = [" ".join(c.words) for title in named for c in commands(title)]
    for command in commands_of(SECTIONS[WHERE], WHERE):
        if command.words[0] == "mmemo":
            assert any(other.startswith(" ".join(command.words)) for other in others)


pytestmark = pytest.mark.usefixtures("blank_figures")


@pytest.mark.slow
def test_an_encoder(example: Example, tiny_wavlm: Path, project: Path) -> None:
    checkpoint = shutil.copytree(tiny_wavlm, project / "checkpoint")
    block = next(b for b in blocks(SECTIONS["An encoder"]) if "data2vec" in b.title)
    assert "facebook/data2vec-audio-large" in block.text
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            SECTIONS,
            "An encoder",
            SECTIONS["An encoder"].replace("facebook/data2vec-audio-large", str(checkpoint)),
        )
        first, second = example("An encoder", ONE_EPOCH)
    configs = [OmegaConf.load(run.config_file) for run in (first, second)]
    targets = {cfg.audio_encoder._target_.rpartition(".")[2] for cfg in configs}
    assert targets == {"PretrainedAudioEncoder", "LoudnessEncoder"}
    torch.manual_seed(0)
    encoder = import_module("my_encoder").LoudnessEncoder()
    waveform, mask = torch.zeros(2, 16_000), torch.zeros(2, 16_000, dtype=torch.bool)
    for row, length in enumerate((16_000, 4_810)):
        waveform[row, :length], mask[row, :length] = torch.randn(length), True
    together = encoder(AudioInput(waveform, mask))
    alone = encoder(AudioInput(waveform[1:, :4_810], mask[1:, :4_810]))
    torch.testing.assert_close(together.pooled[1:], alone.pooled)


@pytest.mark.slow
def test_a_fusion(example: Example) -> None:
    (run,) = example("A fusion", ONE_EPOCH)
    assert RunFolder(run.path, "audio").metrics_file.is_file()


@pytest.mark.slow
def test_a_denoiser(example: Example, project: Path) -> None:
    example("A denoiser", ONE_EPOCH)
    (manifest,) = (project / "cache" / "prepared").glob("meld-*-quiet-1-*/manifest.parquet")
    # One clip is broken.
    rows = pd.read_parquet(manifest).dropna(subset="level_after_db")
    assert len(rows) == 44
    change_db = rows["level_after_db"] - rows["level_before_db"]
    assert change_db.tolist() == pytest.approx([20 * math.log10(0.5)] * len(rows), abs=0.1)


@pytest.mark.slow
def test_a_corpus(example: Example, project: Path, tones: Path) -> None:
    clips = sorted(tones.glob("*_splits/*.mp4"))[:30]
    with (project / "interviews.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "transcript", "label"])
        for index, clip in enumerate(clips):
            emotion = FIVE[index % 5].replace("joy", "cheerful")
            writer.writerow([clip, f"Sentence {index}.", emotion])
    for index, (split, emotion) in enumerate(product(SPLITS, FIVE)):
        place = project / "diaries" / f"{index:02}.wav"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(wav_bytes(tone(150.0 + 50 * index, 0.3, 16_000), 16_000))
        told = {"who": f"w{index}", "words": f"Day {index}.", "mood": emotion, "part": split}
        place.with_suffix(".json").write_text(json.dumps(told))
    codes = dict(zip(("ang", "hap", "neu", "sad", "sur"), FIVE, strict=True))
    for index, (who, code, take) in enumerate(product("abc", codes, (1, 2))):
        place = project / "calls" / who / f"{code}_s{take}.wav"
        place.parent.mkdir(exist_ok=True, parents=True)
        place.write_bytes(wav_bytes(tone(150.0 + 30 * index, 0.3, 16_000), 16_000))
    replaced = {f"/data/{name}": str(project / name) for name in ("calls", "diaries")}
    with pytest.MonkeyPatch.context() as patch:
        own = SECTIONS["A corpus"].replace("/data/interviews.csv", str(project / "interviews.csv"))
        patch.setitem(SECTIONS, "A corpus", own)
        runs = example("A corpus", ONE_EPOCH, replaced=replaced)
    by_corpus = {
        json.loads(r.metrics_file.read_text())["protocol"]["corpus"]: r
        for r in runs
        if r.metrics_file.is_file()
    }
    assert set(by_corpus) == {"interviews", "calls", "diaries"}
    diaries = pd.read_parquet(by_corpus["diaries"].predictions_file)
    assert list(diaries["transcript"]) == [f"Day {index}." for index in range(5, 15)]
    calls = pd.read_parquet(by_corpus["calls"].predictions_file)
    assert set(calls["transcript"]) == {"I will come.", "I will not come."}
    assert calls.groupby("split")["speaker"].nunique().tolist() == [1, 1]
    assert calls.groupby("split")["target"].nunique().tolist() == [5, 5]


@pytest.mark.slow
def test_a_loss(example: Example) -> None:
    (run,) = example("A loss")
    assert history(run)["val/loss"].notna().all()
    loss = import_module("my_loss").ConfidencePenalty("own", beta=0.25)
    # Of an even answer over C classes loss and entropy are both log C.
    found = loss(torch.zeros(2, 4), torch.tensor([0, 3]))
    torch.testing.assert_close(found, torch.full((2,), 0.75 * math.log(4)))


@pytest.mark.slow
def test_a_callback(example: Example) -> None:
    (run,) = example("A callback")
    norms = history(run)["train/gradient_norm"]
    assert len(norms) == 2
    # Gradients are clipped at trainer.gradient_clip_val=1.
    assert ((norms > 0) & (norms <= 1 + 1e-5)).all()


@pytest.mark.slow
def test_a_metric(example: Example, capfd: pytest.CaptureFixture[str], project: Path) -> None:
    outputs = {"outputs/demo": str(project / "outputs")}
    (run,) = (r for r in example("A metric", replaced=outputs) if r.info_file.is_file())
    lines = [line.split() for line in capfd.readouterr().out.splitlines()]
    told = {words[0]: words[2] for words in lines if words[:1] in (["val"], ["test"])}
    epochs = history(run)
    chosen = epochs.loc[epochs["val/arousal_error"].idxmin()]
    assert float(told["val"]) == pytest.approx(chosen["val/uar"], abs=5e-4)
    found = json.loads(run.metrics_file.read_text())
    assert found["protocol"]["selection"] == "checkpoint with the min val/arousal_error"
    for name in ("arousal_error", "kappa"):
        assert found["splits"]["val"]["own"][name] == pytest.approx(chosen[f"val/{name}"], abs=1e-5)
    rows = pd.read_csv(run.table_file).set_index(["split", "row"])["score"]
    assert rows["test", "kappa"] == pytest.approx(found["splits"]["test"]["own"]["kappa"])
    document = json.loads(next(project.rglob("comparison.json")).read_text())
    (group,) = document["tables"][0]["groups"]
    assert document["direction"] == "min"
    assert group["test"]["arousal_error"]["mean"] == pytest.approx(
        found["splits"]["test"]["own"]["arousal_error"]
    )


@pytest.mark.slow
def test_a_label_set(example: Example, tones: Path) -> None:
    runs = example("A label set", ONE_EPOCH, replaced={"=DIR": f"={tones}"})
    found = json.loads(runs[-1].metrics_file.read_text())["protocol"]["classes"]
    assert found == ["anger", "joy", "neutral", "sadness"]


@pytest.mark.slow
def test_a_module_of_ones_own(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    (run,) = example("A module of your own")
    assert OmegaConf.load(run.config_file).module.head_epochs == 1
    kind = import_module("my_module").HeadFirst
    classifier = nn.Module()
    classifier.audio_encoder, classifier.text_encoder = nn.Linear(2, 2), None
    classifier.audio_encoder.bias.requires_grad = False
    head = {"num_classes": 2, "loss": nn.Identity(), "optimizer": torch.optim.SGD}
    module = kind(head_epochs=2, classifier=classifier, **head)
    for epoch, is_trained in enumerate((False, False, True)):
        monkeypatch.setattr(kind, "current_epoch", epoch)
        module.on_train_epoch_start()
        assert classifier.audio_encoder.weight.requires_grad is is_trained
        assert not classifier.audio_encoder.bias.requires_grad


@pytest.mark.parametrize("kind", ["pkg", "file"])
def test_configs_of_a_package_are_found(project: Path, cli: Cli, kind: str) -> None:
    assert "hydra.searchpath=[pkg://my_package.conf]" in SECTIONS[WHERE]
    folder = project / "my_package" / "conf" / "labels"
    folder.mkdir(parents=True)
    for path in (folder.parent, folder.parent.parent):
        (path / "__init__.py").touch()
    (block,) = (b for b in blocks(SECTIONS["A label set"]) if b.title)
    name = f"of_a_{kind}"
    (folder / f"{name}.yaml").write_text(block.text)
    places = {"pkg": "pkg://my_package.conf", "file": f"file://{folder.parent}"}
    shown = cli("train", f"hydra.searchpath=[{places[kind]}]", f"labels={name}", "--cfg", "job")
    assert OmegaConf.create(shown.stdout).labels.name == "moods"
