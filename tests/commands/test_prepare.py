from pathlib import Path

import pandas as pd

from tests.commands.conftest import Cli


def test_prepare_says_what_it_did(cli: Cli, tones: Path, tmp_path: Path) -> None:
    arguments = [f"corpus.root={tones}", f"cache_dir={tmp_path / 'cache'}", "denoiser=off"]
    printed = cli("prepare", *arguments, "preparer.num_workers=0").stdout
    assert "44 of 45 rows kept" in printed
    assert "1 skipped" in printed
    assert "corrupt container" in printed
    (folder,) = (tmp_path / "cache" / "prepared").glob("meld-*-undenoised-16000-30s")
    assert f"prepared corpus: {folder}" in printed
    assert str(folder / "skipped.csv") in printed
    assert str(folder / "manifest_five.csv") in printed
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "tones"], "nothing else"


def test_bad_annotations_are_one_message(cli: Cli, tones: Path, tmp_path: Path) -> None:
    (tones / "dev_sent_emo.csv").unlink()
    arguments = [f"corpus.root={tones}", f"cache_dir={tmp_path / 'cache'}", "denoiser=off"]
    done = cli("prepare", *arguments, expect=1)
    assert done.stderr.startswith(f"mmemo: error: {tones / 'dev_sent_emo.csv'}: expected")
    assert "Traceback" not in done.stderr


def test_every_row_read_is_kept_or_skipped(cli: Cli, tones: Path, tmp_path: Path) -> None:
    arguments = [f"corpus.root={tones}", f"cache_dir={tmp_path / 'cache'}", "denoiser=off"]
    arguments += ["preparer.num_workers=0", "labels.name=two", "min_duration_s=0.1"]
    labels = ["~labels.colours", "+labels.colours={joy:red,anger:blue}"]
    printed = cli("prepare", *arguments, *labels).stdout
    lines = [line.split() for line in printed.splitlines()[-5:]]
    assert lines[:4] == [
        ["train", "15", "6", "8", "1"],
        ["val", "15", "6", "9", "0"],
        ["test", "15", "6", "9", "0"],
        ["all", "45", "18", "26", "1"],
    ]
    assert " ".join(lines[4]) == "labels=two: 18 of 45 rows kept, 27 skipped"
    (path,) = (tmp_path / "cache" / "prepared").glob("*/manifest_two.csv")
    states = pd.read_csv(path)
    assert len(states) == 45
    assert (states["status"] == "kept").sum() == 18
    reasons = states["reason"].value_counts().to_dict()
    assert reasons == {"class excluded": 26, "corrupt container": 1}
    assert set(states.loc[states["status"] == "kept", "emotion"]) == {"anger", "joy"}

    printed = cli("prepare", *arguments, *labels, "min_duration_s=0.5").stdout
    assert "labels=two: 0 of 45 rows kept, 45 skipped" in printed
    assert "shorter than min_duration_s" in printed


def test_shards_run_side_by_side_on_a_cluster_launcher(
    forked_cli: Cli, cli: Cli, tones: Path, tmp_path: Path
) -> None:
    arguments = [f"corpus.root={tones}", f"cache_dir={tmp_path / 'cache'}", "denoiser=off"]
    arguments += ["preparer.num_workers=0"]
    launcher = ["-m", "shard=0,1", "shards=2", "hydra/launcher=submitit_local"]
    forked_cli("prepare", *arguments, *launcher)
    (folder,) = (tmp_path / "cache" / "prepared").glob("meld-*-30s")
    assert sorted(p.name for p in folder.glob("*.i16")) == ["audio-0-of-2.i16", "audio-1-of-2.i16"]
    assert len(pd.read_parquet(folder / "manifest.parquet")) == 45
    printed = cli("prepare", *arguments).stdout
    assert "44 of 45 rows kept" in printed
    assert not (folder / "audio.i16").exists(), "there was nothing left to do"
    done = cli("prepare", *arguments, "shard=2", "shards=2", expect=1)
    assert "shard: expected a number from 0 to 1, one less than shards=2, got 2" in done.stderr
