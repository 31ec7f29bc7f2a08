"""Opens a page to explore an exported module with, in a browser of this machine.

    pip install 'biggan-tf[explore]'
    python -m biggan_tf.explore --module=runs/demo/export

The page draws sheets of samples of the classes that you choose, or of a mix of them, at
any truncation and seed. A click keeps an image; what is kept can be varied a little,
moved along the directions in which pictures change most, shown at up to eleven
truncations, and walked through in a film. Give it a picture of yours, and it keeps the
module's image that is most like it. Each picture can be downloaded, with its latents
and with the command of `biggan_tf.sample` that makes it again.

The address is printed. Only this machine can open it; --host=0.0.0.0 lets everybody in
who can reach the machine. Ctrl-C ends the program.
"""

import errno
import socket

from absl import flags

from biggan_tf import api, config
from biggan_tf.errors import BadInput

_MODULE = flags.DEFINE_string(
    "module", None, "Folder or hub handle of an export.", required=True
)
_HOST = flags.DEFINE_string("host", "127.0.0.1", "Address that the page is served at.")
_PORT = flags.DEFINE_integer(
    "port", 7860, "Of the page; if it is in use, the next free one.", 1, 65535
)


def main() -> None:
    try:
        from biggan_tf import explorer
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise BadInput(
            "biggan_tf.explore: its extra is missing; with Python 3.10 or later, "
            "pip install 'biggan-tf[explore]'."
        ) from None
    host, port = _HOST.value, _free_port(_HOST.value, _PORT.value)
    if port != _PORT.value:
        print(f"--port={_PORT.value} is in use; taking {port}")
    explorer.serve(api.load(_MODULE.value), _MODULE.value, host, port)


def _free_port(host: str, first: int) -> int:
    """Returns the first port from `first` on that can be served at."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in range(first, min(first + 100, 65536)):
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                return port
            except (OSError, TypeError, UnicodeError) as error:
                number = getattr(error, "errno", None)
                if number not in (errno.EADDRINUSE, errno.EACCES):
                    reason = getattr(error, "strerror", "it is none")
                    raise BadInput(
                        f"--host={host}: take an address of this machine ({reason})."
                    ) from None
    raise BadInput(f"--port={first}: take another; from there on 100 are in use.")


def program() -> None:
    config.run(main)


if __name__ == "__main__":
    program()
