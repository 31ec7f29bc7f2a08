"""Calling Python from tf.data without hanging the end of the program."""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
from collections.abc import Iterator


class Gate:
    """Every Python function that tf.data calls runs inside `with gate.call():`.

    Prefetching goes on in threads of TensorFlow until its buffers are full. A thread
    that asks for Python while the interpreter shuts down is ended on the spot, and
    whoever destroys its pipeline waits for it forever. So, at exit, calls fail at once,
    which fills the buffers, and the interpreter goes on when no more calls come.
    """

    def __init__(self) -> None:
        """Open, until the program ends."""
        self._lock = threading.Lock()
        self._open = True
        self._calls = 0
        self._running = 0
        atexit.register(self._close)

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """Raise RuntimeError once the program ends."""
        with self._lock:
            self._calls += 1
            if not self._open:
                raise RuntimeError("the program ends")
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1

    def _close(self) -> None:
        self._open = False
        seen = None
        while self._running or self._calls != seen:
            seen = self._calls
            time.sleep(0.05)
