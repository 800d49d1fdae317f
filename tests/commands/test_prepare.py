from pathlib import Path

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
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "tones"], "nothing else"


def test_bad_annotations_are_one_message(cli: Cli, tones: Path, tmp_path: Path) -> None:
    (tones / "dev_sent_emo.csv").unlink()
    arguments = [f"corpus.root={tones}", f"cache_dir={tmp_path / 'cache'}", "denoiser=off"]
    done = cli("prepare", *arguments, expect=1)
    assert done.stderr.startswith(f"mmemo: error: {tones / 'dev_sent_emo.csv'}: expected")
    assert "Traceback" not in done.stderr
