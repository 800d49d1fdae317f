"""An interpreter for jobs that has imported everything: it is forked from one that has.

A hundred cells would spend their time on imports. A server is started once; what stands for
``python`` in the jobs hands it its arguments, folder, environment and streams, and ends as the
process that the server forks does.
"""

from __future__ import annotations

import array
import importlib
import json
import os
import runpy
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

CLIENT = """#!{python} -SE
import array, json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect("{place}")
asked = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
streams = array.array("i", [0, 1, 2])
server.sendmsg([len(asked).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
server.sendall(asked)
sys.exit(int(server.recv(16) or b"1"))
"""


def write_client(path: Path, place: Path) -> Path:
    """Write what stands for ``python``; ``place`` is the server's socket."""
    path.write_text(CLIENT.format(python=sys.executable, place=place))
    path.chmod(0o755)
    return path


def serve(place: Path, imported: Sequence[str], prepare: Callable[[], None]) -> None:
    """Fork a process for each client, until this one is killed."""
    for name in imported:
        importlib.import_module(name)
    prepare()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place))
        listening.listen(64)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            client, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                # It waits for the process that works, whose end is the client's.
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _answer(client)
            client.close()


def _answer(client: socket.socket) -> None:
    size, streams = _received(client)
    asked = b""
    while len(asked) < size:
        asked += client.recv(size - len(asked))
    arguments, folder, environment = json.loads(asked)
    worker = os.fork()
    if worker == 0:
        client.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        _run(arguments)
    status = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
    client.sendall(str(abs(status)).encode())
    os._exit(0)


def _received(client: socket.socket) -> tuple[int, list[int]]:
    streams = array.array("i")
    size, ancillary, _, _ = client.recvmsg(4, socket.CMSG_LEN(3 * streams.itemsize))
    streams.frombytes(ancillary[0][2])
    return int.from_bytes(size, "big"), list(streams)


def _run(arguments: list[str]) -> None:
    """What ``python -u -m MODULE …`` does."""
    module = arguments.index("-m") + 1
    sys.argv = arguments[module:]
    status = 0
    try:
        runpy.run_module(arguments[module], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        status = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
