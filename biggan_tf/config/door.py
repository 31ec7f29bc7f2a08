"""The frame of every command-line program: its gin flags, and how errors end it."""

import os
import re
import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from biggan_tf.config.parsing import GIN_FOLDER
from biggan_tf.errors import BadInput

# Without CUDA, TensorFlow prints false errors; real ones arrive as exceptions.
# This has to come before TensorFlow is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def define_flags() -> None:
    """Defines --gin_file and --gin_param; both may be repeated; later ones win."""
    flags.DEFINE_multi_string("gin_file", [], f"A path, or a name in {GIN_FOLDER}.")
    flags.DEFINE_multi_string("gin_param", [], 'Such as "train.total_steps = 1000".')


def run(main: Callable[[], None]) -> None:
    """Parses the flags and calls `main`; a `BadInput` ends in one line and status 2."""

    def guarded(arguments: Sequence[str]) -> None:
        logging.set_verbosity(logging.WARNING)
        if len(arguments) > 1:
            raise app.UsageError(f"unexpected argument {arguments[1]!r}")
        try:
            for argument in sys.argv:
                _check_unicode(argument)
            main()
        except BadInput as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)

    for name in ("gin_file", "gin_param"):
        if name in flags.FLAGS:  # --help shows the flags of the main module only
            flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])
    # A shell leaves the ~ in --flag=~/folder as it is.
    app.run(guarded, [_at_home(word) for word in sys.argv])


def _at_home(word: str) -> str:
    """Expands the ~ in --flag=~/x, --data=folder:~/x and --network=inception=~/x."""
    match = re.fullmatch(r"(--?\w+=(?:\w+[:=])?)(~/.*)", word, re.DOTALL)
    return match[1] + os.path.expanduser(match[2]) if match else word


def _check_unicode(argument: str) -> None:
    """Raises BadInput if what was typed cannot be written to a file or terminal."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        shown = argument.encode(errors="backslashreplace").decode()
        raise BadInput(f"{shown}: this is no valid UTF-8; rename it.") from None
