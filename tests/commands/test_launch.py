from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mmemo.commands.launch import WritableFolders
from mmemo.errors import InputError
from mmemo.folders import writable_folder
from mmemo.runs.input_errors import input_error
from mmemo.runs.overrides import make_paths_absolute, readable_by_hydra


@pytest.mark.parametrize(
    ("typed", "given"),
    [
        ("run=/a b/x=1(2),c", "run='/a b/x=1(2),c'"),
        ("run='/a b'", "run='/a b'"),
        ("corpus.root=~/MELD.Raw", f"corpus.root='{Path.home()}/MELD.Raw'"),
        ("seed=1,2,3", "seed=1,2,3"),
        ("resume=", "resume="),
        ("-m", "-m"),
    ],
)
def test_paths_are_quoted_for_hydra(typed: str, given: str) -> None:
    assert readable_by_hydra(typed) == given


def test_paths_become_absolute_and_names_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wavlm").mkdir()
    cfg = OmegaConf.create(
        {
            "cache_dir": "cache",
            "preparer": {"folder": "${cache_dir}/prepared"},
            "denoiser": None,
            "corpus": {"root": "~/MELD.Raw"},
            "audio_encoder": {"checkpoint": "wavlm"},
            "text_encoder": {"checkpoint": "roberta-base"},
        }
    )
    make_paths_absolute(cfg)
    assert cfg.cache_dir == str(tmp_path / "cache")
    assert cfg.preparer.folder == str(tmp_path / "cache" / "prepared")
    assert cfg.corpus.root == str(Path.home() / "MELD.Raw")
    assert cfg.audio_encoder.checkpoint == str(tmp_path / "wavlm")
    assert cfg.text_encoder.checkpoint == "roberta-base"
    assert cfg.denoiser is None


def test_the_users_error_is_found_behind_others() -> None:
    inner = InputError("inner")
    try:
        try:
            raise inner
        except InputError as error:
            raise RuntimeError("outer") from error
    except RuntimeError as outer:
        assert input_error(outer) is inner
    assert input_error(RuntimeError("alone")) is None


def test_an_unwritable_folder_names_its_option(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cache_dir: expected .* name another one with cache_dir="):
        writable_folder(tmp_path / "file" / "below", "cache_dir")
    made = writable_folder(tmp_path / "new" / "folder", "cache_dir")
    assert made.is_dir()
    assert not list(made.iterdir())


def test_runs_of_one_second_get_folders_of_their_own(tmp_path: Path) -> None:
    def folder(*given: str) -> str:
        overrides = {"hydra": list(given)}
        config = {"run": {"dir": str(tmp_path / "out" / "now-seed1")}, "overrides": overrides}
        cfg = OmegaConf.create({"output_dir": str(tmp_path), "hydra": config})
        WritableFolders().on_run_start(cfg)
        return Path(cfg.hydra.run.dir).name

    assert [folder() for _ in range(3)] == ["now-seed1", "now-seed1-2", "now-seed1-3"]
    # A folder that is named is taken as it is: whether there is a run in it is found out later.
    assert folder(f"hydra.run.dir={tmp_path}/out/now-seed1") == "now-seed1"
