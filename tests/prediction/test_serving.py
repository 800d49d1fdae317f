"""``mmemo serve`` as a visitor meets it: by the web API, in a browser, and when it is ended."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from mmemo.audio.media import decode
from mmemo.reporting.self_contained import wav_bytes
from tests.browser import CHROMIUM, Tab, opened_tab
from tests.commands.command_line import typed
from tests.commands.conftest import Cli
from tests.conftest import FIVE
from tests.documentation.markdown import ROOT, blocks, text_of
from tests.forking import Forked, Forking
from tests.prediction.conftest import MovedRun

pytest.importorskip("gradio")
pytestmark = pytest.mark.slow

SMALL = ("integrated_gradients.n_steps=4", "waveform_baseline.num_draws=1")
LIMITS = ("max_duration_s=2", "max_upload_mb=0.2")


@dataclass(frozen=True)
class Server:
    """A server that answers.

    Args:
        process: It.
        address: Where.
        temporary: Its folder for temporary files.
    """

    process: Forked
    address: str
    temporary: Path

    @property
    def files(self) -> list[Path]:
        """All temporary files that there are."""
        return [path for path in self.temporary.rglob("*") if path.is_file()]

    def post(self, path: str, body: bytes, kind: str) -> tuple[int, str]:
        """Status and text that are answered."""
        connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=60)
        connection.request("POST", f"/gradio_api/{path}", body, {"Content-Type": kind})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def upload(self, name: str, content: bytes) -> tuple[int, str]:
        """Send a file as a form does."""
        head = f'--end\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
        body = head.encode() + content + b"\r\n--end--\r\n"
        return self.post("upload", body, "multipart/form-data; boundary=end")

    def ask(self, *data: object) -> tuple[str, object]:
        """The event that ends a question, and what came with it."""
        asked = json.dumps({"data": data}).encode()
        _, joined = self.post("call/predict", asked, "application/json")
        event = json.loads(joined)["event_id"]
        connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=60)
        connection.request("GET", f"/gradio_api/call/predict/{event}")
        *_, name, value = connection.getresponse().read().decode().strip().splitlines()
        return name.removeprefix("event: "), json.loads(value.removeprefix("data: "))

    def ask_of(self, path: Path, words: str | None) -> tuple[str, object]:
        """Upload a file and ask about it."""
        status, answered = self.upload(path.name, path.read_bytes())
        assert status == 200, answered
        return self.ask(json.loads(answered)[0], words)


def serve(temporary: Path, arguments: tuple[str, ...]) -> None:
    """Run the command with a folder of its own for temporary files."""
    tempfile.tempdir = str(temporary)
    typed("serve", *arguments)


def started(forking: Forking, folder: Path, *arguments: str) -> Server:
    temporary = folder / "temporary"
    temporary.mkdir()
    words = ("port=0", "accelerator=cpu", *arguments)
    process = forking.start(serve, temporary, words, folder=folder)
    end = time.monotonic() + 120
    while "page: " not in (printed := process.stdout.read_text()):
        assert time.monotonic() < end and process.process.is_alive(), process.stderr.read_text()
        time.sleep(0.1)
    return Server(process, printed.partition("page: ")[2].split()[0], temporary)


@pytest.fixture(scope="module")
def server(
    denoised: MovedRun, forking: Forking, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    server = started(forking, folder, f"run={denoised.path}", *SMALL, *LIMITS)
    yield server
    server.process.kill()


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.wav"
    path.write_bytes(wav_bytes(np.zeros(8_000, dtype=np.float32), 16_000)[:100])
    return path


def predicted(cli: Cli, folder: Path, run: Path, clip: str, words: str) -> list[float]:
    """What ``mmemo predict`` says of a clip."""
    asked = (f"run={run}", f"input={clip}", f"text={words}", "accelerator=cpu")
    cli("predict", *asked, "output=predicted.jsonl")
    row = json.loads((folder / "predicted.jsonl").read_text())
    return [row[f"prob_{name}"] for name in FIVE]


def test_the_web_api_answers_as_mmemo_predict(
    server: Server, denoised: MovedRun, cli: Cli, tmp_path: Path
) -> None:
    row = denoised.test.iloc[1]
    event, answer = server.ask_of(Path(row["path"]), row["transcript"])
    assert event == "complete"
    (found,) = answer  # type: ignore[misc]
    expected = predicted(cli, tmp_path, denoised.path, row["path"], row["transcript"])
    assert [found[f"prob_{name}"] for name in FIVE] == pytest.approx(expected, abs=1e-4)  # type: ignore[index]
    own = json.loads((tmp_path / "predicted.jsonl").read_text())
    assert {*found, "path"} == {*own, "file"}
    same = set(own) - {"path", "time_s", "transcript"} - {f"prob_{name}" for name in FIVE}
    assert {key: found[key] for key in same} == {key: own[key] for key in same}  # type: ignore[index]
    assert found["file"] == Path(row["path"]).name  # type: ignore[index]
    assert server.files == []
    _, alone = server.ask(None, row["transcript"])
    assert alone[0]["missing"] == "audio"  # type: ignore[index]


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_line_of_the_documentation_answers(
    server: Server, denoised: MovedRun, tmp_path: Path
) -> None:
    (line,) = (b.text for b in blocks(text_of(ROOT / "docs" / "serving.md")) if "curl" in b.text)
    shutil.copy(denoised.test["path"][1], tmp_path / "clip.wav")
    line = line.replace("http://127.0.0.1:7860", server.address)
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True)
    event, data = done.stdout.strip().splitlines()
    assert event == "event: complete", done.stderr
    (found,) = json.loads(data.removeprefix("data: "))
    assert found["transcript"] == "I am fine."
    assert sum(found[f"prob_{name}"] for name in FIVE) == pytest.approx(1)
    assert server.files == []


def test_the_cell_of_the_documentation_answers(
    server: Server,
    denoised: MovedRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pages = blocks(text_of(ROOT / "docs" / "serving.md"))
    (cell,) = (block.text for block in pages if block.language == "python")
    shutil.copy(denoised.test["path"][1], tmp_path / "clip.wav")
    monkeypatch.chdir(tmp_path)
    exec(cell.replace("http://127.0.0.1:7860", server.address), {})  # noqa: S102
    *_, name, duration_s = capsys.readouterr().out.split()
    assert name in FIVE
    assert float(duration_s) == pytest.approx(denoised.test["duration_s"][1], abs=0.05)
    assert server.files == []


def test_what_cannot_be_answered_is_told_and_deleted(
    server: Server, broken: Path, tmp_path: Path
) -> None:
    long = tmp_path / "long.wav"
    long.write_bytes(wav_bytes(np.zeros(20_000, dtype=np.float32), 8_000))
    (tmp_path / "mine.wav").write_bytes(long.read_bytes())
    for (event, answer), told in (
        (server.ask_of(broken, "Hi."), "truncated: broken.wav: the file ends"),
        (server.ask_of(long, "Hi."), "long.wav: expected at most 2 s of sound, got 2.5 s"),
        (server.ask(None, " "), "expected a sound and what is said"),
        (server.ask(str(tmp_path / "mine.wav"), "Hi."), "expected an upload, got mine.wav"),
        (server.ask("http://127.0.0.1:1/a.wav", "Hi."), "expected an upload, got a.wav"),
        (server.ask({"path": "/etc/hosts", "meta": {"_type": "gradio.FileData"}}, ""), "hosts"),
        (server.ask([1], "Hi."), "expected the path that an upload was answered with, got [1]"),
        (server.ask(None, 7), "words: expected text, got 7"),
        (server.ask(None, "a" * 20_000), "words: expected at most"),
    ):
        assert event == "error"
        assert told in answer["error"]  # type: ignore[index]
        assert str(server.temporary) not in answer["error"]  # type: ignore[index]
    status, answered = server.upload("large.wav", bytes(300_000))
    assert (status, "maximum allowed size" in answered) == (413, True)
    assert server.files == []
    assert (tmp_path / "mine.wav").exists()
    assert server.process.stderr.read_text() == ""


def write(tab: Tab, words: str) -> None:
    tab.value(
        "(() => { const field = document.querySelector('#words textarea');"
        f"field.value = {json.dumps(words)};"
        "field.dispatchEvent(new Event('input', { bubbles: true })); })()"
    )


def choose(tab: Tab, path: Path) -> None:
    tab.value("document.querySelector('#file button[aria-label=Clear]')?.click()")
    tab.wait("document.querySelector('#file input[type=file]') !== null")
    tab.choose_file("#file input[type=file]", path)
    tab.wait(f"document.querySelector('#file').innerText.includes({json.dumps(path.name)})")


def ask(tab: Tab, shown: str) -> str:
    tab.value("document.querySelector('#ask').click()")
    text = "document.querySelector('#answer')?.innerText"
    return str(tab.wait(f"{text}?.includes({json.dumps(shown)}) && {text}"))


def press(tab: Tab, name: str) -> None:
    """A button of the microphone's, when it is shown."""
    buttons = "[...document.querySelectorAll('#microphone button')]"
    found = f"{buttons}.find((one) => one.innerText === {json.dumps(name)} && one.offsetParent)"
    tab.wait(f"{found} !== undefined")
    tab.value(f"{found}.click()")


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_visitor_uploads_reads_the_answer_and_its_explanation(
    server: Server, denoised: MovedRun, broken: Path, cli: Cli, tmp_path: Path
) -> None:
    clip, words = Path(denoised.test["path"][2]), denoised.test["transcript"][2]
    expected = predicted(cli, tmp_path, denoised.path, str(clip), words)
    with opened_tab(tmp_path / "profile") as tab:
        tab.ask("Page.navigate", url=server.address)
        tab.wait("document.querySelector('#ask') !== null")
        choose(tab, broken)
        write(tab, words)
        assert ask(tab, "broken.wav").startswith("truncated: broken.wav: the file ends")
        choose(tab, clip)
        assert FIVE[int(np.argmax(expected))] in ask(tab, clip.name)
        rows = "[...document.querySelectorAll('#answer tr')].map((row) => row.dataset.probability)"
        assert [float(value) for value in tab.value(rows)] == pytest.approx(expected, abs=1e-4)
        assert server.files == []

        tab.value("document.querySelector('#explain').click()")
        tab.wait("document.querySelector('#explanation iframe') !== null")
        frame = tab.frame()
        frame.wait("document.querySelector('#player')?.readyState === 4")
        shown = "[...document.querySelectorAll('.words')[0].querySelectorAll('button')]"
        found = frame.value(f"{shown}.map((word) => word.innerText)")
        assert found == denoised_words(words)
        assert frame.value("document.querySelectorAll('.time svg').length") > 0
        sound = decode(clip)
        length = frame.value("document.querySelector('#player').duration")
        assert length == pytest.approx(min(sound.duration_s, 0.25), abs=0.01)
        frame.value(f"{shown}[0].click()")
        frame.wait("document.querySelector('#player').currentTime > 0")

        write(tab, "Something else.")
        assert ask(tab, clip.name), "its sound is still known"
        press(tab, "Record")
        time.sleep(1)
        press(tab, "Stop")
        tab.wait("document.querySelector('#file input[type=file]') !== null")
        # A busy machine may record less than is heard at most.
        answer = ask(tab, "audio.wav")
        assert re.search(r"Heard: 0\.(25|[01]\d) s", answer), "the file has made room for it"
        assert server.files == []
        elsewhere = [
            url
            for url in tab.pipe.requested
            if not url.startswith((server.address, "data:", "blob:", "about:"))
        ]
        assert elsewhere == []
        assert len(tab.pipe.requested) > 10
    assert server.process.stderr.read_text() == ""


def denoised_words(transcript: str) -> list[str]:
    """The words that the run's cleaning leaves (``text_cleaning=paper``)."""
    from mmemo.data.text_cleaning import AlphanumericCleaning

    return AlphanumericCleaning()(transcript).split()


def test_ctrl_c_ends_it_quietly(denoised: MovedRun, forking: Forking, tmp_path: Path) -> None:
    server = started(forking, tmp_path, f"run={denoised.path}")
    server.upload("waiting.wav", b"nobody asks about it")
    assert len(server.files) == 1
    os.kill(server.process.pid, signal.SIGINT)
    assert server.process.ended(20) == 130
    assert server.process.stderr.read_text().splitlines() == [
        "mmemo: stopped by SIGINT; what was finished is kept"
    ]
    assert list(server.temporary.iterdir()) == []
