import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import LeaveOneGroupOut as LeaveOneGroupOutOfSklearn

from mmemo.corpora.leaks import check_disjoint, leak_shares, protocol_stamp
from mmemo.corpora.meld import MeldCorpus
from mmemo.corpora.oversampled_split import OversampledBeforeSplit
from mmemo.corpora.splits import GroupDisjointSplit, LeaveOneGroupOut, OfficialSplit
from mmemo.errors import InputError
from tests.conftest import FIVE


def make_rows(
    num_groups: int, emotions: tuple[str, ...] = ("joy", "anger", "anger")
) -> pd.DataFrame:
    """Groups of one speaker each, every one with the same emotions; all of the corpus' train."""
    rows = [
        {"speaker": f"s{g}", "season": 1, "episode": g, "emotion": emotion}
        for g in range(num_groups)
        for emotion in emotions
    ]
    table = pd.DataFrame(rows)
    keys = [f"train/u{index}" for index in range(len(table))]
    return table.assign(key=keys, split="train", media_path=[f"/clips/{key}" for key in keys])


def by_speaker(**changes: object) -> GroupDisjointSplit:
    settings = {"num_test_folds": 4, "num_val_folds": 3, "test_fold": 0, "seed": 5} | changes
    return GroupDisjointSplit("speaker_disjoint", ["speaker"], **settings)  # type: ignore[arg-type]


def oversampled(**changes: object) -> OversampledBeforeSplit:
    settings = {"source_splits": ["train"], "test_share": 0.2, "val_share": 0.1, "seed": 3}
    return OversampledBeforeSplit(**(settings | changes))  # type: ignore[arg-type]


def test_official_keeps_the_corpus_split() -> None:
    rows = make_rows(3)
    rows["split"] = ["train"] * 4 + ["val"] * 3 + ["test"] * 2
    assigned = OfficialSplit().assign(rows, "emotion")
    pd.testing.assert_frame_equal(assigned[rows.columns], rows)
    assert assigned["corpus_split"].tolist() == rows["split"].tolist()
    assert assigned["source_key"].tolist() == rows["key"].tolist()


def test_every_group_is_in_one_split() -> None:
    rows = make_rows(12)
    assigned = by_speaker().assign(rows, "emotion")
    assert assigned["key"].tolist() == rows["key"].tolist(), "in corpus order"
    assert (assigned.groupby("speaker")["split"].nunique() == 1).all()
    # 12 alike groups: a quarter is tested, a third of the other nine validates.
    sizes = assigned.groupby("split")["speaker"].nunique().to_dict()
    assert sizes == {"train": 6, "val": 3, "test": 3}
    assert set(assigned["corpus_split"]) == {"train"}
    check_disjoint(assigned, by_speaker())


def test_the_folds_test_each_group_once() -> None:
    rows = make_rows(11)
    tested: list[str] = []
    for fold in range(4):
        assigned = by_speaker(test_fold=fold).assign(rows, "emotion")
        tested += assigned.loc[assigned["split"] == "test", "speaker"].unique().tolist()
    assert sorted(tested) == sorted(rows["speaker"].unique())


def test_nested_folds_validate_once_each_group_that_is_not_tested() -> None:
    rows = make_rows(11)
    for fold in range(4):
        validated: list[str] = []
        for val_fold in range(3):
            split = by_speaker(test_fold=fold, nested=True, val_fold=val_fold)
            assigned = split.assign(rows, "emotion")
            of = {s: set(assigned.loc[assigned["split"] == s, "speaker"]) for s in ("val", "test")}
            assert not of["val"] & of["test"]
            validated += sorted(of["val"])
        assert sorted([*validated, *of["test"]]) == sorted(rows["speaker"].unique())
    plain = by_speaker(test_fold=2).assign(rows, "emotion")
    first = by_speaker(test_fold=2, nested=True).assign(rows, "emotion")
    pd.testing.assert_frame_equal(first, plain)


def test_two_columns_name_a_group() -> None:
    rows = make_rows(12)
    rows["season"] = [1, 2, 2] * 12
    split = GroupDisjointSplit("episode_disjoint", ["season", "episode"], 2, 2, 0, 0)
    assigned = split.assign(rows, "emotion")
    assert (assigned.groupby(["season", "episode"])["split"].nunique() == 1).all()
    assert (assigned.groupby("episode")["split"].nunique() > 1).any()


def test_the_seed_decides() -> None:
    rows = make_rows(12)
    for build in (by_speaker, oversampled):
        first = build(seed=1).assign(rows, "emotion")
        pd.testing.assert_frame_equal(build(seed=1).assign(rows, "emotion"), first)
        assert build(seed=2).assign(rows, "emotion")["split"].tolist() != first["split"].tolist()


@pytest.mark.parametrize("empty", [None, ""])
def test_a_row_without_a_group_is_named(empty: str | None) -> None:
    rows = make_rows(12)
    rows.loc[[4, 7], "speaker"] = empty
    with pytest.raises(InputError, match=r"speaker of every row, 2 of 36 .* first is train/u4\)"):
        by_speaker().assign(rows, "emotion")
    with pytest.raises(InputError, match="36 of 36 rows lack them"):
        by_speaker().assign(rows.drop(columns="speaker"), "emotion")


def test_too_few_groups_are_told() -> None:
    with pytest.raises(InputError, match="at least 4 groups of one speaker, .* got 3"):
        by_speaker().assign(make_rows(3), "emotion")


def unbalanced() -> pd.DataFrame:
    """Twelve speakers; fear is of one of them alone, and rarer than any number of folds."""
    rows = make_rows(12)
    rows.loc[0:1, "emotion"] = "fear"
    return rows


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("classes", ["one rare", "all rare"])
def test_classes_may_be_rarer_than_the_folds(classes: str) -> None:
    rows = unbalanced()
    if classes == "all rare":
        # Three folds of four speakers, each of whose utterances has a class of its own.
        rows["emotion"] = [f"e{number}" for number in range(len(rows))]
    tested: list[str] = []
    for fold in range(4):
        assigned = by_speaker(test_fold=fold).assign(rows, "emotion")
        assert set(assigned["split"]) == {"train", "val", "test"}
        assert (assigned.groupby("speaker")["split"].nunique() == 1).all()
        tested += assigned.loc[assigned["split"] == "test", "key"].tolist()
    assert sorted(tested) == sorted(rows["key"])


def one_speaker_out(**changes: object) -> LeaveOneGroupOut:
    settings = {"test_fold": 0, "num_val_folds": 5, "seed": 3} | changes
    return LeaveOneGroupOut("leave_one_speaker_out", ["speaker"], **settings)  # type: ignore[arg-type]


def test_each_group_is_left_out_once_as_by_scikit_learn() -> None:
    rows = unbalanced()
    rows = rows.sample(frac=1, random_state=0).reset_index(drop=True)
    theirs = LeaveOneGroupOutOfSklearn().split(rows, groups=rows["speaker"])
    split = one_speaker_out()
    assert split.count_folds(rows) == 12
    for fold, (_, test) in enumerate(theirs):
        split = one_speaker_out(test_fold=fold)
        assigned = split.assign(rows, "emotion")
        assert split.num_test_folds == 12
        assert np.flatnonzero(assigned["split"] == "test").tolist() == test.tolist()
        assert (assigned.groupby("speaker")["split"].nunique() == 1).all()
        # A fifth of the other eleven speakers validates.
        sizes = assigned.groupby("split")["speaker"].nunique()
        assert sizes["val"] in (2, 3)
        assert sizes.sum() == 12
    with pytest.raises(InputError, match="test_fold: expected 0 to 11, as 12 groups .* got 12"):
        one_speaker_out(test_fold=12).assign(rows, "emotion")


def test_few_groups_validate_one_each() -> None:
    # Five sessions, as of IEMOCAP: one is tested, one validates, three are trained on.
    rows = make_rows(10)
    rows["session"] = [f"Ses0{1 + index // 6}" for index in range(30)]
    split = LeaveOneGroupOut("leave_one_group_out", ["session"], 4, num_val_folds=5, seed=0)
    assigned = split.assign(rows, "emotion")
    sizes = assigned.groupby("split")["session"].unique()
    assert sizes["test"].tolist() == ["Ses05"]
    assert (len(sizes["val"]), len(sizes["train"])) == (1, 3)
    assert (assigned.groupby("speaker")["split"].nunique() == 1).all()


def test_two_corpora_validate_by_smaller_groups() -> None:
    rows = make_rows(10)
    rows["corpus"] = ["a"] * 15 + ["b"] * 15
    settings = {"test_fold": 1, "num_val_folds": 5, "seed": 0}
    with pytest.raises(InputError, match=r"at least 2 groups .* got 1; .*val_group_columns=\[spe"):
        LeaveOneGroupOut("leave_one_group_out", ["corpus"], **settings).assign(rows, "emotion")  # type: ignore[arg-type]
    split = LeaveOneGroupOut(
        "leave_one_group_out",
        ["corpus"],
        val_group_columns=["speaker"],
        **settings,  # type: ignore[arg-type]
    )
    assigned = split.assign(rows, "emotion")
    assert set(assigned.loc[assigned["split"] == "test", "corpus"]) == {"b"}
    sizes = assigned[assigned["corpus"] == "a"].groupby("split")["speaker"].nunique()
    assert sizes.to_dict() == {"train": 4, "val": 1}


def test_all_folds_are_of_a_sweep() -> None:
    for build in (by_speaker, one_speaker_out):
        with pytest.raises(InputError, match="test_fold=all: expected a sweep.*train -m"):
            build(test_fold="all")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"test_fold": 4}, r"test_fold: expected 0 to 3 .* got 4"),
        ({"num_val_folds": 1}, "num_val_folds: expected at least 2, got 1"),
        ({"nested": True, "val_fold": 3}, r"val_fold: expected 0 to 2 .* got 3"),
        ({"val_fold": 1}, r"val_fold: expected 0 where folds are not nested, got 1; .*nested=true"),
    ],
)
def test_settings_of_folds_are_checked(changes: dict[str, int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        by_speaker(**changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"test_share": 0.6, "val_share": 0.4}, "together below 1, got 0.6 and 0.4"),
        ({"val_share": 0.0}, "above 0"),
        ({"source_splits": ["dev"]}, "one or more of train, val, test, got dev"),
    ],
)
def test_settings_of_oversampling_are_checked(changes: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        oversampled(**changes)


def test_classes_are_copied_to_one_size_then_split() -> None:
    # 10 joy, 3 anger, 1 fear; two more are not of the source split.
    rows = make_rows(16, ("joy",))
    rows.loc[10:12, "emotion"] = "anger"
    rows.loc[13, "emotion"] = "fear"
    rows.loc[14:15, "split"] = "test"
    assigned = oversampled().assign(rows, "emotion")
    assert assigned["emotion"].value_counts().to_dict() == {"joy": 10, "anger": 10, "fear": 10}
    copies = assigned["source_key"].value_counts()
    assert sorted(copies[["train/u10", "train/u11", "train/u12"]]) == [3, 3, 4]
    assert copies["train/u13"] == 10
    assert not copies.index.isin(["train/u14", "train/u15"]).any()
    assert assigned["key"].is_unique
    fear = assigned.loc[assigned["emotion"] == "fear", "key"].tolist()
    assert fear == ["train/u13", *[f"train/u13#{n}" for n in range(2, 11)]]
    sizes = assigned.groupby(["split", "emotion"]).size()
    assert sizes["train"].tolist() == [7, 7, 7]
    assert sizes["val"].tolist() == [1, 1, 1]
    assert sizes["test"].tolist() == [2, 2, 2]
    # No row of joy has a copy; all rows of fear are copies of one.
    joy = leak_shares(assigned[assigned["emotion"] == "joy"])
    assert joy == {"val": 0.0, "test": 0.0}
    assert leak_shares(assigned[assigned["emotion"] == "fear"]) == {"val": 1.0, "test": 1.0}


def test_too_few_rows_to_copy_are_told() -> None:
    with pytest.raises(InputError, match="each of 2 classes in every split, got a split of 1 rows"):
        oversampled().assign(make_rows(3), "emotion")


def test_leak_share_is_counted_by_source() -> None:
    rows = pd.DataFrame(
        {
            "split": ["train", "train", "val", "val", "test", "test", "test", "test"],
            "source_key": ["a", "b", "a", "c", "b", "b", "c", "d"],
        }
    )
    assert leak_shares(rows) == {"val": 0.5, "test": 0.5}
    assert leak_shares(rows[rows["split"] == "train"]) == {"val": 0.0, "test": 0.0}


def test_one_utterance_in_two_splits_is_refused() -> None:
    rows = OfficialSplit().assign(make_rows(2), "emotion")
    rows.loc[3:, "split"] = "test"
    check_disjoint(rows, OfficialSplit())
    one_file = rows.assign(media_path=["/a.wav", *rows["media_path"][1:5], "/a.wav"])
    said = r"/a.wav is in train \(train/u0\), test \(train/u5\); 1 in all"
    with pytest.raises(InputError, match=said):
        check_disjoint(one_file, OfficialSplit())
    one_source = rows.assign(source_key=["k", "k", "x", "k", "y", "y"])
    with pytest.raises(InputError, match="k is in train .* test"):
        check_disjoint(one_source, OfficialSplit())
    check_disjoint(one_source, oversampled())


@pytest.mark.parametrize("way", ["dots", "symbolic", "folder", "hard"])
def test_one_file_by_another_name_is_refused(tmp_path: Path, way: str) -> None:
    rows = OfficialSplit().assign(make_rows(2), "emotion")
    rows.loc[3:, "split"] = "test"
    clips = [tmp_path / f"{number}.wav" for number in range(6)]
    for clip in clips:
        clip.write_bytes(b"sound")
    check_disjoint(rows.assign(media_path=list(map(str, clips))), OfficialSplit())
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    other = {"dots": tmp_path / "sub" / ".." / "0.wav", "folder": tmp_path / "link" / "0.wav"}
    other |= {name: tmp_path / f"{name}.wav" for name in ("symbolic", "hard")}
    other["symbolic"].symlink_to(clips[0])
    other["hard"].hardlink_to(clips[0])
    paths = [*map(str, clips[:5]), str(other[way])]
    leaky = rows.assign(media_path=paths)
    with pytest.raises(InputError, match=r"0.wav = .* is in train .*; 1 in all \(one file\)"):
        check_disjoint(leaky, OfficialSplit())
    assert leak_shares(leaky)["test"] == pytest.approx(1 / 3)
    if way in ("dots", "folder"):
        clips[0].unlink()
        with pytest.raises(InputError, match="one file"):
            check_disjoint(leaky, OfficialSplit())
    check_disjoint(leaky, OfficialSplit(leaky=True))


def test_one_sound_in_two_splits_is_refused() -> None:
    rows = OfficialSplit().assign(make_rows(2), "emotion")
    rows.loc[3:, "split"] = "test"
    sound = rows.assign(crc32=[1, 2, 3, 4, 5, 1], num_samples=[9, 9, 9, 9, 9, 9])
    with pytest.raises(InputError, match="1 in all .the same sound: equal checksum and length"):
        check_disjoint(sound, OfficialSplit())
    assert leak_shares(sound)["test"] == pytest.approx(1 / 3)
    longer = sound.assign(num_samples=[9, 9, 9, 9, 9, 8])
    check_disjoint(longer, OfficialSplit())
    # Digital silence of one length, and transcripts without sound, are no clips in common.
    silence = zlib.crc32(bytes(2 * 9))
    check_disjoint(sound.assign(crc32=[silence, 2, 3, 4, 5, silence]), OfficialSplit())
    check_disjoint(sound.assign(crc32=0, num_samples=0), OfficialSplit())


def test_the_stamp_names_a_leak() -> None:
    assert protocol_stamp("official", False) == "official"
    assert protocol_stamp("copied", True) == "copied (LEAKY)"


def read_five(shared_data: Path) -> pd.DataFrame:
    rows = MeldCorpus(None, shared_data / "meld").read().frame()
    return rows[rows["emotion"].isin(FIVE)]


def test_meld_oversampled_has_the_counts_that_the_paper_implies(shared_data: Path) -> None:
    assigned = oversampled(seed=0).assign(read_five(shared_data), "emotion")
    assert assigned["emotion"].value_counts().to_dict() == dict.fromkeys(FIVE, 4710)
    sizes = assigned.groupby(["split", "emotion"]).size()
    assert sizes["test"].to_dict() == dict.fromkeys(FIVE, 942)
    trained = set(assigned.loc[assigned["split"] == "train", "source_key"])
    test = assigned[assigned["split"] == "test"]
    leaked = {name: set(rows["source_key"]) & trained for name, rows in test.groupby("emotion")}
    share = {
        name: sum(key in leaked[name] for key in rows["source_key"]) / len(rows)
        for name, rows in test.groupby("emotion")
    }
    assert share["neutral"] == 0
    assert min(share["sadness"], share["anger"], share["surprise"]) > 0.97
    assert leak_shares(assigned)["test"] == pytest.approx(sum(share.values()) / 5)


@pytest.mark.parametrize(
    ("name", "columns", "folds", "expected"),
    [
        ("episode_disjoint", ["season", "episode"], (5, 10), (0.72, 0.08, 0.20)),
        ("speaker_disjoint", ["speaker"], (6, 5), (0.67, 0.165, 0.165)),
    ],
)
def test_meld_in_disjoint_groups(
    shared_data: Path,
    name: str,
    columns: list[str],
    folds: tuple[int, int],
    expected: tuple[float, ...],
) -> None:
    rows = read_five(shared_data)
    split = GroupDisjointSplit(name, columns, *folds, test_fold=0, seed=0)
    assigned = split.assign(rows, "emotion")
    check_disjoint(assigned, split)
    assert (assigned.groupby(columns)["split"].nunique() == 1).all()
    shares = assigned["split"].value_counts(normalize=True)[["train", "val", "test"]]
    assert shares.tolist() == pytest.approx(expected, abs=0.01)
    overall = rows["emotion"].value_counts(normalize=True)
    for part in ("train", "val", "test"):
        found = assigned.loc[assigned["split"] == part, "emotion"].value_counts(normalize=True)
        assert (found - overall).abs().max() < 0.03
