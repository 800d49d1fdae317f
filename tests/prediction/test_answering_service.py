"""What a server keeps of its visitors, what it tells them, and where it listens."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

import mmemo
from mmemo import extras
from mmemo.commands import early_checks
from mmemo.errors import InputError
from mmemo.folders import config_dir
from mmemo.prediction.loaded_run import LoadedRun
from mmemo.prediction.transcription import SpeechRecogniser
from mmemo.serving import answering
from mmemo.serving.answering import AnsweringService, Upload, UploadLimits
from tests.commands.conftest import Cli
from tests.conftest import FIVE
from tests.prediction.conftest import MovedRun

pytest.importorskip("gradio")
pytestmark = pytest.mark.slow

Served = Callable[..., AnsweringService]


def explainer(classes: tuple[str, ...]) -> Any:  # noqa: ANN401
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose("serve", ["run=RUN", "integrated_gradients=null"])
    return instantiate(cfg.explainer, _convert_="all", classes=classes, shapley=False)


@pytest.fixture(scope="module")
def run(denoised: MovedRun) -> LoadedRun:
    return mmemo.load_run(denoised.path, accelerator="cpu")


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    folder = tmp_path / "uploads"
    folder.mkdir()
    return folder


@pytest.fixture
def served(run: LoadedRun, uploads: Path) -> Served:
    def serve(loaded: LoadedRun = run, **more: Any) -> AnsweringService:  # noqa: ANN401
        return AnsweringService(loaded, uploads, UploadLimits(), explainer(loaded.labels), **more)

    return serve


def uploaded(uploads: Path, clip: str, name: str = "mine.mp4") -> Upload:
    """A file where Gradio puts it: in a folder that is called by its content."""
    place = uploads / "digest"
    place.mkdir(exist_ok=True)
    return Upload(Path(shutil.copy(clip, place / name)), name)


def asking(visitor: str) -> Any:  # noqa: ANN401
    return SimpleNamespace(session_hash=visitor)


def test_a_sound_is_asked_about_again_after_its_file_is_gone(
    served: Served, run: LoadedRun, denoised: MovedRun, uploads: Path
) -> None:
    service = served()
    clip = denoised.test["path"][0]
    upload = uploaded(uploads, clip)
    first = service.answer(upload, "Hi.", "a")
    assert list(uploads.iterdir()) == []
    # Who uploads the same content has the same place, and has lost it to the first one's answer.
    second = service.answer(upload, "Oh no!", "b")
    for answer, words in ((first, "Hi."), (second, "Oh no!")):
        expected = run.predict(clip, text=words)
        np.testing.assert_allclose(answer.probabilities, expected.probabilities, atol=1e-4)  # type: ignore[arg-type]
        assert (answer.name, answer.transcript) == ("mine.mp4", words)
    service.forget("a")
    with pytest.raises(InputError, match="mine.mp4: expected it to be here still.*upload it again"):
        service.answer(upload, "Hi.", "b")


def test_the_explanation_is_of_the_visitors_own_last_answer(
    served: Served, denoised: MovedRun, uploads: Path
) -> None:
    service = served()
    upload = uploaded(uploads, denoised.test["path"][0])
    service.answer(upload, "Hi there.", "a")
    service.answer(upload, "Oh no!", "b")
    explained = service.explain("a", "joy")
    assert explained.explanation.target == "joy"
    assert explained.explanation.key == "mine.mp4"
    assert [word.text for word in explained.explanation.words] == ["Hi", "there"]
    assert not explained.explanation.has_word_times
    with pytest.raises(InputError, match="expected an answer of the last 10 minutes, found none"):
        service.explain("c", "predicted")
    service.end()
    with pytest.raises(InputError, match="the server was stopped"):
        service.explain("b", "predicted")


def test_words_that_were_written_down_stand_where_they_were_heard(
    served: Served, denoised: MovedRun, uploads: Path, tiny_recogniser: Path
) -> None:
    service = served(transcriber=SpeechRecogniser(str(tiny_recogniser), accelerator="cpu"))
    answer = service.answer(uploaded(uploads, denoised.test["path"][0]), "", "a")
    assert answer.words is not None
    read = service.explain("a", "predicted").explanation.words
    times = [(word.start_s, word.end_s) for word in answer.words]
    are_same = len(read) == len(times) > 0
    assert service.explain("a", "predicted").explanation.has_word_times == are_same


def test_old_sounds_and_uploads_are_dropped(
    served: Served, denoised: MovedRun, uploads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = served()
    clip = denoised.test["path"][0]
    upload = uploaded(uploads, clip)
    service.answer(upload, "Hi.", "a")
    waiting, fresh = uploaded(uploads, clip, "waiting.mp4"), uploaded(uploads, clip, "fresh.mp4")
    hour_ago = time.time() - 3600
    os.utime(waiting.path, (hour_ago, hour_ago))
    service.forget_old()
    assert list(uploads.rglob("*.mp4")) == [fresh.path]
    assert service.answer(upload, "Hi.", "a").label in FIVE, "it is not old"
    service.forget_old(0)
    assert list(uploads.iterdir()) == []
    with pytest.raises(InputError, match="found none; ask again"):
        service.explain("a", "predicted")
    monkeypatch.setattr(answering, "MAX_KEPT_BYTES", 1)
    for name in ("one.mp4", "two.mp4"):
        service.answer(uploaded(uploads, clip, name), "Hi.", name)
    service.explain("two.mp4", "predicted")
    with pytest.raises(InputError, match="one.mp4: expected it to be here still"):
        service.explain("one.mp4", "predicted")


def test_what_nobody_has_foreseen_is_a_short_text_and_a_traceback_in_the_log(
    served: Served,
    run: LoadedRun,
    denoised: MovedRun,
    uploads: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import gradio

    from mmemo.serving.page import FAULT, ServedPage

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("<b>secret</b>")

    page = ServedPage(served())
    monkeypatch.setattr(run, "predict", fail)
    upload = uploaded(uploads, denoised.test["path"][0])
    shown, _, _ = page.answer({"path": str(upload.path)}, None, "Hi.", asking("a"))
    assert FAULT in shown
    assert "secret" not in shown
    assert "RuntimeError: <b>secret</b>" in capsys.readouterr().err
    assert list(uploads.iterdir()) == []
    with pytest.raises(gradio.Error, match=FAULT):
        page.predict(None, "Hi.")
    # The user's own mistakes are told as they are, with their marks escaped.
    shown, _, _ = page.answer(str(uploads / "<i>.wav"), None, "Hi.", asking("a"))
    assert "&lt;i&gt;.wav: expected it to be here still" in shown
    assert "annotated" not in page.head()


def test_seeds_answer_together_and_are_not_explained(
    served: Served, seeds: tuple[MovedRun, MovedRun], uploads: Path
) -> None:
    from mmemo.serving.page import ServedPage, build_page

    together = mmemo.load_run([run.path for run in seeds], accelerator="cpu")
    service = served(together)
    page = ServedPage(service)
    clip = seeds[0].test["path"][0]
    row = page.predict(str(uploaded(uploads, clip).path), "Hi.")
    expected = together.predict(clip, text="Hi.")
    assert expected.spread is not None
    assert [row[f"prob_{name}"] for name in FIVE] == pytest.approx(expected.probabilities, abs=1e-4)
    assert [row[f"sd_{name}"] for name in FIVE] == pytest.approx(expected.spread, abs=1e-4)
    upload = {"path": str(uploaded(uploads, clip).path), "orig_name": "a.mp4"}
    shown, offer, _ = page.answer(upload, None, "Hi.", asking("a"))
    assert f"± {row['sd_joy']:.3f}" in shown
    assert "over 2 runs" in shown
    assert "No context was given" in shown
    assert offer == {"visible": False, "__type__": "update"}
    assert "load one run" in page.explain("predicted", asking("a"))
    assert "An explanation is of one run" in str(build_page(service, 1).get_config_file())


def test_other_places_warn_and_taken_ones_are_told(
    denoised: MovedRun, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmemo.commands import serve
    from mmemo.serving.server import listening_socket

    monkeypatch.setattr(serve, "serve", lambda *_: None)
    run = (f"run={denoised.path}", "accelerator=cpu")
    here = cli("serve", *run, "port=0")
    assert "page: http://127.0.0.1:" in here.stdout
    assert here.stderr == ""
    there = cli("serve", *run, "port=0", "host=0.0.0.0")
    assert "warning: host=0.0.0.0: everybody who reaches this machine" in there.stderr
    with listening_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        told = cli("serve", *run, f"port={port}", expect=1).stderr
    assert f"port: expected one that is free, could not listen at 127.0.0.1, port {port}" in told
    for wrong, what in (
        ("port=70000", "port: expected"),
        ("host=no.such.host.invalid", "host: expected a name or an address of this machine"),
        ("host=192.0.2.1", "could not listen at 192.0.2.1"),
        ("max_duration_s=0", "max_duration_s: expected"),
        ("max_upload_mb=none", "max_upload_mb: expected"),
        ("max_waiting=0", "max_waiting: expected"),
    ):
        assert what in cli("serve", *run, "port=0", wrong, expect=1).stderr


def test_gradio_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"the package gradio.*pip install 'mmemo\[serve\]'"):
        early_checks.check_early("serve", OmegaConf.create({"run": "RUN"}))


def test_it_composes_beside_a_command_that_runs() -> None:
    from hydra.core.global_hydra import GlobalHydra

    from mmemo.runs.composition import composed_config

    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        running = GlobalHydra.instance().hydra
        cfg = composed_config("serve", ["run=RUN", "asr=whisper"])
        assert GlobalHydra.instance().hydra is running
    assert (cfg.host, cfg.asr.accelerator) == ("127.0.0.1", "auto")
