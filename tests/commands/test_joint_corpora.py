"""``mmemo train corpus=[a,b]``: prepared one by one, trained together, told apart in results."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import f1_score

from mmemo.audio.prepared import PreparedCorpus
from mmemo.comparison.document import ComparisonDocument
from mmemo.documents import read_document
from mmemo.runs.run_folder import RunFolder
from tests.commands.command_line import call
from tests.commands.conftest import LEAST_LOGGER, Cli, only_run, small_run
from tests.commands.test_table_corpus import write_sound

OWN = ("anger", "joy", "neutral", "sadness")
THEIRS = ("anger", "joy", "neutral", "surprise")
SHARED = ("anger", "joy", "neutral")
SPLITS = ("train", "train", "train", "val", "test")
"""Of the speakers of each corpus, who are called alike: each says a line of each class."""


def write_corpus(folder: Path, emotions: tuple[str, ...], pitch_hz: float) -> None:
    (folder / "sounds").mkdir(parents=True)
    rows = []
    for who, split in enumerate(SPLITS):
        for place, emotion in enumerate(emotions):
            path = f"sounds/{who}-{place}.wav"
            write_sound(folder / path, pitch_hz + 100 * place + 10 * who)
            rows.append([path, f"Line {place} of {who}.", emotion, f"p{who}", split])
    columns = ["path", "transcript", "emotion", "speaker", "split"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "own.csv", index=False)


def settings(folder: Path) -> list[str]:
    kept = [o for o in small_run(folder) if not o.startswith("corpus")]
    files = [f"corpus.{name}.csv={folder / name / 'own.csv'}" for name in ("own", "theirs")]
    return ["corpus=[own:table,theirs:table]", *files, *kept]


@dataclass(frozen=True)
class Joint:
    """Two corpora, and a run of both."""

    folder: Path
    run: RunFolder
    settings: list[str]


@pytest.fixture(scope="session")
def joint_for_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("joint") / "here"
    write_corpus(folder / "own", OWN, 200.0)
    write_corpus(folder / "theirs", THEIRS, 205.0)
    assert call(folder, "train", *settings(folder)) == 0
    return folder.rename(folder.with_name("kept"))


@pytest.fixture
def joint(joint_for_all: Path) -> Joint:
    """Trained once for all tests, and put back as it was."""
    folder = joint_for_all.with_name("here")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(joint_for_all, folder)
    return Joint(folder, only_run(folder), settings(folder))


def test_both_are_trained_and_tested_and_told_apart(joint: Joint) -> None:
    run = joint.run
    card, metrics = run.read_data_card(), run.read_metrics()
    assert card.prepared.corpus == metrics.protocol.corpus == "own+theirs"
    assert metrics.protocol.classes == SHARED
    # Three speakers of each say a line of each shared class.
    assert {c: n for c, n in card.classes["train"].items()} == dict.fromkeys(SHARED, 6)
    assert card.counts["train"] == {"rows": 24, "kept": 18, "class excluded": 6}
    table = pd.read_parquet(run.predictions_file)
    test = table[table["split"] == "test"]
    assert test["key"].tolist() == [
        f"{name}/sounds/4-{place}.wav" for name in ("own", "theirs") for place in range(3)
    ]
    assert test["corpus"].tolist() == ["own"] * 3 + ["theirs"] * 3
    assert set(test["speaker"]) == {"own/p4", "theirs/p4"}
    assert metrics.protocol.unit == "speaker"
    assert set(metrics.by_corpus) == {"own", "theirs"}
    for name, splits in metrics.by_corpus.items():
        rows = test[test["corpus"] == name]
        assert splits["test"].num_utterances == 3
        assert splits["test"].accuracy == pytest.approx((rows["target"] == rows["pred"]).mean())
        macro = f1_score(rows["target"], rows["pred"], average="macro", labels=SHARED)
        assert splits["test"].macro.f1 == pytest.approx(macro)
    assert "Metrics by corpus" in run.report_file.read_text()


def test_what_both_share_is_told(joint: Joint) -> None:
    found = {
        o.what: (o.num, o.num_rows, o.num_rows_trained) for o in joint.run.read_data_card().overlaps
    }
    # Five names and, with three classes left, fifteen lines of each; all that is tested or
    # validated is said by p3 or p4, who train nowhere.
    assert found == {
        "speakers": (5, 30, 0),
        "transcripts": (15, 30, 0),
        "speakers with transcripts": (15, 30, 0),
    }


def test_the_saved_config_has_both_and_the_classes_that_were_told_apart(joint: Joint) -> None:
    saved = yaml.safe_load(joint.run.composed_config_file.read_text())
    assert [*saved["corpus"]["parts"]] == ["own", "theirs"]
    assert saved["labels"]["name"] == "five-shared"
    assert [*saved["labels"]["colours"]] == [*SHARED]
    assert joint.run.read_info().choices["corpus"] == "own:table+theirs:table"


def test_each_is_prepared_as_if_it_were_alone(joint: Joint, cli: Cli) -> None:
    prepared = joint.folder / "cache" / "prepared"
    parts = [path for path in prepared.glob("table-*") if path.is_dir()]
    assert len(parts) == 2
    before = {file: file.stat().st_mtime_ns for part in parts for file in part.glob("*.i16")}
    alone = [f"corpus.csv={joint.folder / 'own' / 'own.csv'}", "denoiser=off"]
    cache = [f"cache_dir={joint.folder / 'cache'}", "preparer.num_workers=0"]
    cli("prepare", "corpus=table", *alone, *cache)
    kept = [o for o in joint.settings if o.startswith("corpus")]
    # The other way round it is another corpus, of the same sound.
    turned = ["corpus=[theirs:table,own:table]", *kept[1:], "denoiser=off"]
    printed = cli("prepare", *turned, *cache)
    assert "class excluded" in printed.stdout
    assert "sadness is left out, which not every corpus has (own 5)" in printed.stderr
    assert {file: file.stat().st_mtime_ns for file in before} == before
    (place,) = (path for path in prepared.glob("theirs+own-*") if path.is_dir())
    assert not [*place.glob("*.i16")]
    corpus, part = PreparedCorpus(place), PreparedCorpus(parts[0])
    corpus.check_size()
    assert corpus.damaged() == []
    of_part = corpus.kept[corpus.kept["audio_file"].str.contains(part.folder.name)]
    columns = ["audio_file", "offset", "num_samples"]
    places = [list(rows[columns].itertuples(index=False)) for rows in (of_part, part.kept)]
    for here, there in zip(*places, strict=True):
        np.testing.assert_array_equal(corpus.read(*here), part.read(*there))


def test_evaluating_again_says_the_same(joint: Joint, cli: Cli) -> None:
    before = json.loads(joint.run.metrics_file.read_text())
    printed = cli("evaluate", f"run={joint.run.path}").stdout
    assert "By corpus:" in printed
    assert json.loads(joint.run.metrics_file.read_text()) == before


def test_a_run_of_both_goes_on(joint: Joint, cli: Cli) -> None:
    run = joint.run
    wanted = pd.read_parquet(run.predictions_file)
    run.write_info(status="interrupted", checkpoint=None)
    cli("train", f"resume={run.path}")
    assert run.read_info().status == "finished"
    pd.testing.assert_frame_equal(pd.read_parquet(run.predictions_file), wanted)


def test_a_clip_is_answered_and_an_utterance_explained_by_its_key(joint: Joint, cli: Cli) -> None:
    clip = joint.folder / "theirs" / "sounds" / "4-1.wav"
    output = joint.folder / "answers.csv"
    cli(
        "predict", f"run={joint.run.path}", f"input={clip}", "text=Line 1 of 4.", f"output={output}"
    )
    table = pd.read_parquet(joint.run.predictions_file).set_index("key")
    answer = pd.read_csv(output).iloc[0]
    told = table.loc["theirs/sounds/4-1.wav"]
    assert answer["pred"] == told["pred"]
    cli(
        *("explain", f"run={joint.run.path}", "keys=[theirs/sounds/4-1.wav]", "logger=none"),
        "integrated_gradients.n_steps=4",
    )
    (page,) = joint.run.path.glob("explanations/*/index.html")
    assert "theirs/sounds/4-1.wav" in page.read_text()


def test_a_comparison_has_the_rows_of_each(joint: Joint, cli: Cli) -> None:
    output = joint.folder / "compared"
    cli("compare", str(joint.run.path), f"output={output}")
    document = read_document(output / "comparison.json", ComparisonDocument, "it", "")
    found = [(t.protocol.part, t.protocol.num_utterances["test"]) for t in document.tables]
    assert found == [(None, 6), ("own", 3), ("theirs", 3)]
    by_corpus = joint.run.read_metrics().by_corpus
    for table in document.tables[1:]:
        (group,) = table.groups
        told = by_corpus[str(table.protocol.part)]["test"]
        assert group.test["macro_f1"].mean == pytest.approx(told.macro.f1)
    columns = {one.evaluated_on for one in document.cross_corpus}
    assert columns > {"own", "theirs"}
    frame = pd.read_csv(output / "comparison.csv")
    assert frame["part"].fillna("all").tolist() == ["all", "own", "theirs"]


def test_it_is_evaluated_on_one_of_its_corpora(joint: Joint, cli: Cli) -> None:
    csv = joint.folder / "theirs" / "own.csv"
    cli(
        *("evaluate", f"run={joint.run.path}", "corpus=table", f"corpus.csv={csv}"),
        *("split=test", f"cache_dir={joint.folder / 'cache'}", "preparer.num_workers=0"),
    )
    (place,) = joint.run.path.glob("on_table-*")
    metrics = RunFolder(joint.run.path, other=place.name).read_metrics()
    own = joint.run.read_metrics().by_corpus["theirs"]["test"]
    assert metrics.splits["test"].accuracy == own.accuracy
    other = metrics.protocol.evaluated_on
    assert other is not None
    # The names of its speakers are known again, though they stand behind that of their corpus.
    assert other.shared["speakers"].num == 1
    assert other.shared["clips"].num_rows == 3
    assert not other.is_leaked


def test_a_clip_that_one_trains_and_the_other_tests_stops_the_run(joint: Joint, cli: Cli) -> None:
    shutil.copy(joint.folder / "own/sounds/0-1.wav", joint.folder / "theirs/sounds/4-1.wav")
    printed = cli("train", *joint.settings, expect=1).stderr
    assert "train (own/sounds/0-1.wav), test (theirs/sounds/4-1.wav)" in printed
    assert "the same sound" in printed


def test_a_missing_file_of_one_is_told_by_its_name(joint: Joint, cli: Cli) -> None:
    (joint.folder / "theirs" / "own.csv").unlink()
    printed = cli("train", *joint.settings, expect=1).stderr
    assert "this is of the corpus theirs: write corpus.theirs.KEY for corpus.KEY" in printed


def test_an_audit_is_of_each_and_of_both(joint: Joint, cli: Cli) -> None:
    chosen = [o for o in joint.settings if o.startswith("corpus")]
    printed = cli("audit", *chosen, f"output_dir={joint.folder / 'out'}").stdout
    assert "own and theirs have transcripts in common: 20, of 40 rows" in printed
    (folder,) = (joint.folder / "out" / "audit").iterdir()
    rows = {
        name: sum(
            s["num_rows"] for s in json.loads((folder / name / "audit.json").read_text())["splits"]
        )
        for name in ("", "own", "theirs")
    }
    assert rows == {"": 40, "own": 20, "theirs": 20}


def test_by_union_all_classes_stay(joint: Joint, cli: Cli, tmp_path: Path) -> None:
    cli("train", *joint.settings, "corpus.rule=union", "name=union")
    run = only_run(tmp_path, "union")
    protocol = run.read_metrics().protocol
    assert protocol.labels == "five"
    assert protocol.classes == ("anger", "joy", "neutral", "sadness", "surprise")
    assert protocol.num_utterances == {"train": 24, "val": 8, "test": 8}


def test_a_model_of_words_reads_both(joint: Joint, cli: Cli, tmp_path: Path) -> None:
    kept = [o for o in joint.settings if not o.startswith("audio_encoder")]
    cli("train", *kept, "audio_encoder=none", "name=text", LEAST_LOGGER)
    assert only_run(tmp_path, "text").read_metrics().by_corpus.keys() == {"own", "theirs"}
