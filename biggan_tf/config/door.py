"""The frame of every command-line program: its gin flags and how its errors end."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence

from absl import app, flags, logging

from biggan_tf.config.bindings import no_value
from biggan_tf.config.parsing import GIN_FOLDER
from biggan_tf.errors import BadInput

# What TensorFlow's C++ side prints as errors on a machine without CUDA are none, and
# real ones arrive as exceptions. It has to be said before TensorFlow is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def define_flags() -> None:
    """Defines --gin_file and --gin_param; both repeat, later ones win."""
    flags.DEFINE_multi_string(
        "gin_file",
        [],
        f"A gin file, as a path or by its bare name in {GIN_FOLDER}. Repeatable.",
    )
    flags.DEFINE_multi_string(
        "gin_param",
        [],
        'A binding after all files, as in --gin_param="train.total_steps = 1000". '
        "Repeatable.",
    )


def run(main: Callable[[], None]) -> None:
    """Parses the flags and calls `main`; a `BadInput` ends in one line and status 2."""

    def guarded(arguments: Sequence[str]) -> None:
        logging.set_verbosity(logging.WARNING)
        if len(arguments) > 1:
            raise app.UsageError(f"unexpected argument {arguments[1]!r}")
        try:
            with call_errors():
                main()
        except BadInput as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)

    for name in ("gin_file", "gin_param"):
        if name in flags.FLAGS:  # --help shows the flags of the main module only
            flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])
    app.run(guarded)


@contextlib.contextmanager
def call_errors() -> Iterator[None]:
    """Undoes gin's wrapping of errors from configurable functions.

    gin appends lines to the message of whatever a configurable raises, and reports a
    parameter that has no value as a RuntimeError or TypeError of several lines.

    Raises:
      BadInput: the plain sentence of a wrapped BadInput, or which parameter has no
        value. Every other error passes as it is.
    """
    try:
        yield
    except BadInput as error:
        sentence, wrapping, _ = str(error).partition("\n  In call to configurable")
        if not wrapping:
            raise
        raise BadInput(sentence) from error
    except (RuntimeError, TypeError) as error:
        required = re.search(
            r"Required bindings for `(?P<room>.+)` not provided in config: "
            r"\[(?P<names>.*)\]",
            str(error),
        ) or re.search(
            r"No values supplied by Gin or caller for arguments: \[(?P<names>.*)\]\n"
            r".*\n.*\n  In call to configurable '(?P<room>\w+)'",
            str(error),
        )
        if not required:
            raise
        name = re.findall(r"\w+", required["names"])[0]
        raise BadInput(no_value(f"{required['room']}.{name}")) from error
