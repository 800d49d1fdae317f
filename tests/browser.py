"""Chromium, driven through its own debugging protocol over a pipe."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
    *("--autoplay-policy=no-user-gesture-required", "--remote-debugging-pipe"),
)


class Pipe:
    """The browser's end of the protocol.

    Args:
        to: Write end of the pipe that it reads.
        of: Read end of the one that it writes.
    """

    def __init__(self, to: int, of: int) -> None:
        self._to, self._of = to, of
        self._read = b""
        self._number = 0
        self.requested: list[str] = []

    def ask(self, method: str, session: str | None = None, **parameters: object) -> dict[str, Any]:
        """Send a command and wait for its answer; requests on the way are noted."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": session} if session else {}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            found = self._next()
            if found.get("id") == self._number:
                assert "error" not in found, found
                result: dict[str, Any] = found["result"]
                return result
            if found.get("method") == "Network.requestWillBeSent":
                self.requested.append(found["params"]["request"]["url"])

    def _next(self, timeout_s: float = 60) -> dict[str, Any]:
        while b"\0" not in self._read:
            assert select([self._of], [], [], timeout_s)[0], "the browser does not answer"
            self._read += os.read(self._of, 1 << 20)
        message, _, self._read = self._read.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


class Tab:
    """A page, or a frame of one that is kept apart.

    Args:
        pipe: To the browser.
        target: Its name there.
    """

    def __init__(self, pipe: Pipe, target: str) -> None:
        self.pipe = pipe
        attached = pipe.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "DOM"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: object) -> dict[str, Any]:
        """Send a command of this page."""
        return self.pipe.ask(method, self._session, **parameters)

    def frame(self, timeout_s: float = 30) -> Tab:
        """The frame that is kept apart."""
        end = time.monotonic() + timeout_s
        while True:
            found = self.pipe.ask("Target.getTargets")["targetInfos"]
            for target in (one["targetId"] for one in found if one["type"] == "iframe"):
                return Tab(self.pipe, target)
            assert time.monotonic() < end, "the page has no frame"
            time.sleep(0.1)

    def value(self, expression: str) -> Any:  # noqa: ANN401
        """What an expression of JavaScript, or a promise, comes to."""
        answer = self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression: str, timeout_s: float = 60) -> Any:  # noqa: ANN401
        """The first true value of an expression."""
        end = time.monotonic() + timeout_s
        while not (found := self.value(expression)):
            assert time.monotonic() < end, f"{expression}: {self.value('document.body.innerText')}"
            time.sleep(0.1)
        return found

    def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file as a user does."""
        found = self.ask("Runtime.evaluate", expression=f"document.querySelector({selector!r})")
        place = found["result"]["objectId"]
        self.ask("DOM.setFileInputFiles", files=[str(path)], objectId=place)


@contextmanager
def opened_tab(profile: Path) -> Iterator[Tab]:
    """A browser with one page.

    Args:
        profile: A folder for it alone.
    """
    # Chromium reads its third descriptor and writes to its fourth.
    (theirs, to), (of, theirs_too) = os.pipe(), os.pipe()
    handed = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (theirs, theirs_too)]
    shell = f'exec "$@" 3<&{handed[0]} 4>&{handed[1]}'
    command = [str(CHROMIUM), *OPTIONS, f"--user-data-dir={profile}"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        ["bash", "-c", shell, "bash", *command], pass_fds=handed, stdout=quiet, stderr=quiet
    ) as browser:
        for end in (theirs, theirs_too, *handed):
            os.close(end)
        try:
            pipe = Pipe(to, of)
            yield Tab(pipe, pipe.ask("Target.createTarget", url="about:blank")["targetId"])
        finally:
            browser.terminate()
            os.close(to)
            os.close(of)
