"""Tables of others: codes of emotions, no transcripts, no sound, classes of one's own."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hydra.errors import InstantiationException

import mmemo
from mmemo.errors import InputError
from tests.commands.conftest import LEAST_LOGGER, Cli, only_run
from tests.commands.test_table_corpus import write_sound

CODES = ("ANG", "HAP", "NEU", "SAD", "FEA", "DIS")

pytestmark = pytest.mark.usefixtures("blank_figures")


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six speakers' clips, called as CREMA-D's are, and a table of them as a German Excel saves."""
    folder = tmp_path_factory.mktemp("cremad")
    lines = ["Datei;label;spk;sentence"]
    for who in range(6):
        for index, code in enumerate(CODES):
            name = f"{1001 + who}_{code}"
            (folder / "AudioWAV").mkdir(exist_ok=True)
            write_sound(folder / "AudioWAV" / f"{name}.wav", 200.0 + 90 * index + 7 * who)
            lines.append(f"{name};{code};{1001 + who};Sentence {index}.")
    (folder / "own.csv").write_bytes("\r\n".join(lines).encode("utf-16"))
    return folder


def without(options: list[str], beginning: str) -> list[str]:
    return [option for option in options if not option.startswith(beginning)]


@pytest.fixture
def command(sounds: Path, tmp_path: Path) -> list[str]:
    shutil.copytree(sounds, tmp_path / "cremad")
    return [
        *("train", "corpus=table", "corpus.csv=cremad/own.csv", "corpus.columns.path=Datei"),
        *("corpus.num_test_folds=3", "corpus.num_val_folds=2", f"cache_dir={tmp_path / 'cache'}"),
        *("denoiser=off", "preparer.num_workers=0", "audio_encoder=logmel_cnn", LEAST_LOGGER),
        *("audio_encoder.width=8", "text_encoder=scratch", "text_encoder.width=16", "seed=7"),
        *("text_encoder.num_layers=1", "fusion.bottleneck_dim=8", "classifier.hidden_dim=8"),
        *("trainer.max_epochs=1", "trainer.accelerator=cpu"),
    ]


def test_codes_that_nobody_told_of_are_refused_with_the_table_that_knows_them(
    cli: Cli, command: list[str], tmp_path: Path
) -> None:
    done = cli(*command, "labels=four", expect=1)
    assert (
        "labels=four: expected labels of anger, joy, neutral, sadness in table, got 83% that "
        "nobody knows: ang (6), hap (6), neu (6), fea (6), dis (6). corpus/emotions=cremad maps "
        "67% of them to these classes"
    ) in done.stderr
    assert "Traceback" not in done.stderr
    assert "own.csv: semicolon, UTF-16, 36 rows; path ← Datei, transcript ← sentence" in done.stderr
    # Told to go on with the rest, of which there is one class.
    done = cli(*command, "labels=four", "allow_unknown_labels=true", expect=1)
    assert "found none of anger, joy, neutral (emotion there: ang, dis" in done.stderr


def test_with_its_table_a_code_list_is_trained_on(
    cli: Cli, command: list[str], tmp_path: Path
) -> None:
    done = cli(*command, "labels=four", "corpus/emotions=cremad")
    assert "own.csv: emotions mapped: ang → anger (6), hap → joy (6), neu → neutral" in done.stderr
    assert "table: labels=four leaves out fear (6), disgust (6)" in done.stderr
    run = only_run(tmp_path)
    predictions = pd.read_parquet(run.predictions_file)
    assert set(predictions["target"]) == {"anger", "joy", "neutral", "sadness"}
    assert len(predictions) == 16
    # The same codes in another's table, for evaluation: the table of the run is not the file's.
    other = ["corpus=table", "corpus.csv=cremad/own.csv", "corpus.columns.path=Datei"]
    other += ["corpus.num_test_folds=3", "corpus.num_val_folds=2"]
    refused = cli("evaluate", f"run={run.path}", *other, expect=1)
    assert "corpus/emotions=cremad maps 67% of them to these classes" in refused.stderr
    evaluated = cli("evaluate", f"run={run.path}", *other, "corpus/emotions=cremad")
    assert "N = 24" in evaluated.stdout


def test_sound_needs_no_transcripts_and_text_no_sound(
    cli: Cli, command: list[str], tmp_path: Path
) -> None:
    table = pd.read_csv(tmp_path / "cremad" / "own.csv", sep=";", encoding="utf-16")
    path = tmp_path / "cremad" / "own.csv"
    options = [*command, "corpus/emotions=cremad", "labels=[anger,joy]"]
    table.drop(columns="sentence").to_csv(path, index=False)
    refused = cli(*options, expect=1)
    assert "own.csv: missing a column with each clip's transcript (called transcript" in (
        refused.stderr
    )
    assert "there are Datei, label, spk. Say which" in refused.stderr
    cli(*without(options, "text_encoder"), "text_encoder=none", "name=sound")

    # Some transcripts are there: they are needed where text is read.
    table.loc[table.index % 6 == 0, "sentence"] = ""
    table.loc[table.index % 12 == 0, "sentence"] = "Said."
    table.to_csv(path, index=False)
    cli(*options, "name=some")
    counts = json.loads(next((tmp_path / "outputs" / "some").rglob("data.json")).read_text())
    assert counts["counts"]["all"]["missing field"] == 3

    shutil.rmtree(tmp_path / "cremad" / "AudioWAV")
    refused = cli(*options, "cache_dir=elsewhere", expect=1)
    assert "own.csv: expected the clips that Datei names, found none of 36 (the first" in (
        refused.stderr
    )
    options = without(options, "audio_encoder")
    cli(*options, "audio_encoder=none", "name=text")
    table.drop(columns="Datei").to_csv(path, index=False)
    cli(*without(options, "corpus.columns.path"), "audio_encoder=none", "name=words")
    for name in ("text", "words"):
        document = json.loads(next((tmp_path / "outputs" / name).rglob("metrics.json")).read_text())
        assert document["protocol"]["has_sound"] is False


@pytest.mark.parametrize(
    ("given", "name", "classes", "colours"),
    [
        ("[joy,anger]", "joy-anger", ["joy", "anger"], {}),
        ("list.yaml", "list", ["anger", "sadness"], {}),
        ("coloured.yml", "coloured", ["anger", "no joy"], {"anger": "#000000"}),
        ("whole.yaml", "mine", ["anger", "fear"], {"fear": "red"}),
    ],
)
def test_own_classes_stand_in_the_runs_config(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: str,
    name: str,
    classes: list[str],
    colours: dict[str, str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.yaml").write_text("- anger\n- sadness\n")
    (tmp_path / "coloured.yml").write_text('anger: "#000000"\nno joy: null\n')
    whole = {"name": "mine", "classes": ["anger", "fear"], "colours": {"fear": "red"}}
    (tmp_path / "whole.yaml").write_text(yaml.safe_dump(whole))
    composed = mmemo.compose("demo", [f"labels={given}"])
    labels = composed.cfg.labels
    assert (labels.name, list(labels.classes)) == (name, classes)
    found = composed.experiment.labels
    assert found.classes == tuple(classes)
    assert colours.items() <= found.colours.items()
    assert len(set(found.colours.values())) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("3", "expected a list of classes, a mapping of classes to colours, or .*got 3"),
        ("[unclosed", "could not read it"),
        ("{classes: joy}", "expected a list of classes, a mapping .*got {'classes': 'joy'}"),
        ("[joy]", "labels 'f': expected two or more classes"),
        ("[joy, joy]", "labels 'f': expected two or more classes, each once, got joy, joy"),
        ("{joy: green, anger: nocolour}", "expected a colour such as .* for anger"),
        ("{classes: [joy, anger], colours: {fear: red}}", "got one of fear"),
    ],
)
def test_what_is_no_set_of_classes_is_told(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "f.yaml").write_text(content)
    # Hydra packs what a constructor raises; the command line unpacks it.
    with pytest.raises((InputError, InstantiationException), match=message):
        _ = mmemo.compose("demo", [f"labels={tmp_path}/f.yaml"]).experiment.labels
    with pytest.raises(InputError, match="none.yaml: expected a file with a list"):
        mmemo.compose("demo", [f"labels={tmp_path}/none.yaml"])


def test_raters_votes_are_trained_on_and_their_agreement_stands_beside_the_run(
    cli: Cli, command: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "cremad" / "own.csv"
    table = pd.read_csv(path, sep=";", encoding="utf-16")
    four = ["corpus/emotions=cremad", "labels=four", "loss=votes"]
    refused = cli(*command, *four, "name=refused", expect=1)
    assert "loss=votes: expected several ratings of each clip in the corpus table" in refused.stderr
    # One of three raters hears the next emotion: the majority is as it was.
    others = dict(zip(CODES, (*CODES[1:], CODES[0]), strict=True))
    table["r1"] = table["r2"] = table.pop("label")
    table["r3"] = table["r1"].map(others)
    table["sentiment"] = table["r1"].map({"HAP": "positive", "NEU": "neutral"}).fillna("negative")
    table.to_csv(path, index=False)
    felt = cli(
        *command, "corpus.ratings=[r1,r2,r3]", "labels=sentiment", "loss=votes", "name=s", expect=1
    )
    assert "loss=votes: expected labels of emotions, which raters' votes are for" in felt.stderr
    done = cli(*command, *four, "corpus.ratings=[r1,r2,r3]")
    # Of any two of the three ratings a third agree; by chance a sixth do: all six are alike.
    assert "3 ratings of 36 clips: Fleiss' kappa 0.200; 0 ties" in done.stderr
    run = only_run(tmp_path)
    agreement = json.loads(run.data_file.read_text())["prepared"]["agreement"]
    assert (agreement["num_raters"], agreement["num_items"], agreement["num_ties"]) == (3, 36, 0)
    assert agreement["kappa"] == pytest.approx((1 / 3 - 1 / 6) / (1 - 1 / 6))
    before = pd.read_parquet(run.predictions_file)
    assert before["target"].value_counts().to_dict() == dict.fromkeys(
        ("anger", "joy", "neutral", "sadness"), 4
    )
    cli("evaluate", f"run={run.path}")
    pd.testing.assert_frame_equal(pd.read_parquet(run.predictions_file), before)


@pytest.mark.slow
def test_own_classes_are_evaluated_compared_and_explained(
    cli: Cli, command: list[str], tmp_path: Path
) -> None:
    options = [*command, "corpus/emotions=cremad", "labels=[sadness,fear,disgust]"]
    cli(*options)
    run = only_run(tmp_path)
    before = pd.read_parquet(run.predictions_file)
    assert [c for c in before if c.startswith("prob_")] == [
        *("prob_sadness", "prob_fear", "prob_disgust")
    ]
    cli("evaluate", f"run={run.path}")
    pd.testing.assert_frame_equal(pd.read_parquet(run.predictions_file), before)
    cli("compare", "outputs/train", "comparison.num_resamples=50")
    (document,) = tmp_path.rglob("comparison.json")
    (table,) = json.loads(document.read_text())["tables"]
    assert table["protocol"]["classes"] == ["sadness", "fear", "disgust"]
    cli("explain", f"run={run.path}", "num_random=1")
