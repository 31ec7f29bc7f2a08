"""What lets a program end while TensorFlow reads images ahead."""

import atexit
import threading
import time


class _Gate:
    """Every Python function that tf.data calls runs inside `with GATE:`.

    TensorFlow's threads prefetch until its buffers are full. One that asks for Python
    while the interpreter shuts down is ended on the spot, and whoever destroys its
    pipeline waits for it forever. So at exit calls fail at once, which fills the
    buffers, and the interpreter goes on when no more calls come.
    """

    def __init__(self) -> None:
        self._lock, self._open = threading.Lock(), True
        self._calls = self._running = 0
        atexit.register(self._close)

    def __enter__(self) -> None:
        """Raises RuntimeError once the program ends."""
        with self._lock:
            self._calls += 1
            if not self._open:
                raise RuntimeError("the program ends")
            self._running += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._running -= 1

    def _close(self) -> None:
        self._open = False
        seen = None
        while self._running or self._calls != seen:
            seen = self._calls
            time.sleep(0.05)


GATE = _Gate()
