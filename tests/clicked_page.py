"""Pages with a player, driven in a browser."""

from __future__ import annotations

import json
import shutil
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

CLICK = """
<script>
const audio = document.getElementById("player");
const states = {};
const note = (name) => { states[name] = [audio.paused, audio.currentTime]; };
addEventListener("load", () => {
  audio.addEventListener("pause", () => {
    note("word played");
    const panel = document.querySelector(".time");
    const box = panel.getBoundingClientRect();
    const middle = (Number(panel.dataset.start) + Number(panel.dataset.end)) / 2;
    const half = box.left + box.width * middle;
    panel.dispatchEvent(new MouseEvent("click", { clientX: half, bubbles: true }));
    note("place");
    fetch("/states", { method: "POST", body: JSON.stringify(states) });
  }, { once: true });
  document.querySelectorAll("button.word")[1].click();
  note("word");
});
</script>
"""


def clicked(page: str, profile: Path) -> dict[str, tuple[bool, float]]:
    """Whether a page's player pauses, and where in s, after clicks on its second word and middle.

    A browser shows it in real time: sound does not play in virtual time.
    """
    page = page.replace("</body>", CLICK + "</body>")
    posted: Queue[bytes] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page.encode())

        def do_POST(self) -> None:  # noqa: N802
            posted.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        command = [
            str(CHROMIUM),
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--autoplay-policy=no-user-gesture-required", "--remote-debugging-port=0"),
            *(f"--user-data-dir={profile}", f"http://127.0.0.1:{server.server_port}/"),
        ]
        quiet = subprocess.DEVNULL
        with subprocess.Popen(command, stdout=quiet, stderr=quiet) as browser:
            try:
                states: dict[str, tuple[bool, float]] = json.loads(posted.get(timeout=30))
            finally:
                browser.terminate()
                server.shutdown()
    return states
