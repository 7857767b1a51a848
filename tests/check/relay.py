"""The cable of a phone in the test bed: passes TCP of the loopback on, port to port, until it is killed."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading


def main(listen: int, to: int) -> None:
    """Accept on `listen` and connect each to `to`."""
    with socket.create_server(("127.0.0.1", listen)) as listener:
        while True:
            near, _ = listener.accept()
            try:
                far = socket.create_connection(("127.0.0.1", to))
            except OSError:
                near.close()  # adbd is not there (yet)
                continue
            for pair in ((near, far), (far, near)):
                threading.Thread(target=_copy, args=pair, daemon=True).start()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    for each in (source, sink):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
