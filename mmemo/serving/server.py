"""From a page to a server: where it listens, what it lets a browser fetch, and how it ends."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from types import FrameType

import gradio as gr
import uvicorn
from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmemo.errors import InputError
from mmemo.serving.answering import AnsweringService

HEADERS = {
    # Nothing is fetched from elsewhere, whatever a library of the page would like to.
    "Content-Security-Policy": (
        "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

SWEEP_S = 60.0
"""From one look for what is old to the next."""

SHUTDOWN_S = 3
"""What is under way when the server is stopped has so long."""


@contextmanager
def upload_folder() -> Iterator[Path]:
    """A folder of this process alone for what is uploaded, which is gone afterwards.

    Gradio reads its place, and that it reports nothing to anybody, from the environment.
    """
    with tempfile.TemporaryDirectory(prefix="mmemo-serve-") as name:
        given = {
            "GRADIO_TEMP_DIR": name,
            "GRADIO_ANALYTICS_ENABLED": "False",
            # It would keep what was asked in the browser, and offer to send it to a hub.
            "GRADIO_RUN_HISTORY": "False",
        }
        before = {key: os.environ.get(key) for key in given}
        os.environ.update(given)
        try:
            yield Path(name)
        finally:
            for key, value in before.items():
                os.environ.pop(key)
                if value is not None:
                    os.environ[key] = value


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens: from now on nobody else has the port.

    Args:
        host: Name or address of this machine.
        port: 0 for any that is free.

    Raises:
        InputError: If the port is taken or not allowed, or the address is none of this machine.
    """
    try:
        (family, kind, protocol, _, address), *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listening = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"host: expected a name or an address of this machine, got '{host}' ({error}); "
            "127.0.0.1 is the machine itself"
        ) from error
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen()
    except OSError as error:
        listening.close()
        raise InputError(
            f"port: expected one that is free, could not listen at {host}, port {port} "
            f"({error.strerror}); name another with port=N, or port=0 for any"
        ) from error
    return listening


def is_local(listening: socket.socket) -> bool:
    """Whether only this machine reaches it."""
    return ipaddress.ip_address(listening.getsockname()[0]).is_loopback


def address_of(listening: socket.socket) -> str:
    """What a browser on this machine is pointed at."""
    host, port = listening.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "127.0.0.1" if listening.family == socket.AF_INET else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(page: gr.Blocks, service: AnsweringService, listening: socket.socket) -> None:
    """Serve the page until a signal ends it, which then is raised again.

    Args:
        page: Of the service.
        service: Whose old uploads and answers are dropped meanwhile.
        listening: Where; it is closed afterwards.
    """
    # Without FastAPI's own pages of documentation, whose scripts come from elsewhere.
    app = FastAPI(openapi_url=None)
    gr.mount_gradio_app(
        app,
        page,
        "/",
        footer_links=[],
        max_file_size=service.limits.max_upload_bytes,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        theme=gr.themes.Default(
            font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
        ),
    )
    app.add_middleware(SameOrigin)
    config = uvicorn.Config(
        app, log_level="error", ws="none", timeout_graceful_shutdown=SHUTDOWN_S, server_header=False
    )
    with _swept(service):
        _Server(config, service).run(sockets=[listening])


class SameOrigin:
    """Tells the browser with each answer to fetch nothing from elsewhere.

    Args:
        app: What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, with the headers."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, with_headers)


class _Server(uvicorn.Server):
    """Ends at once, and quietly, what is under way when it is told to end.

    Args:
        config: Of the server.
        service: What works.
    """

    def __init__(self, config: uvicorn.Config, service: AnsweringService) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._service.end()
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        # Gradio holds one open for each page.
        for connection in list(self.server_state.connections):
            connection.transport.close()


@contextmanager
def _swept(service: AnsweringService) -> Iterator[None]:
    ended = Event()

    def sweep() -> None:
        while not ended.wait(SWEEP_S):
            service.forget_old()

    Thread(target=sweep, name="sweep", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
