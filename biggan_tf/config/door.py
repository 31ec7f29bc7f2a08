"""The frame of every command-line program: its gin flags, and how errors end it."""

import ast
import contextlib
import errno
import importlib
import itertools
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence

from absl import app, flags, logging

from biggan_tf.config.bindings import suggestion
from biggan_tf.config.parsing import GIN_FOLDER
from biggan_tf.errors import BadInput

# Without CUDA, TensorFlow prints false errors; real ones arrive as exceptions.
# This has to come before TensorFlow is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def define_flags() -> None:
    """Defines --gin_file and --gin_param; both may be repeated; later ones win."""
    flags.DEFINE_multi_string("gin_file", [], f"A path, or a name in {GIN_FOLDER}.")
    flags.DEFINE_multi_string("gin_param", [], 'Such as "train.total_steps = 1000".')


def leave_out(unread: Iterable[str], with_flag: str, right: str) -> None:
    """Raises BadInput, which names both flags, if one was given that nothing reads.

    Args:
        unread: names of flags.
        with_flag: what they do not go with, as it was given: "--output=x.png".
        right: the end of the sentence.
    """
    for name in unread:
        if flags.FLAGS[name].present:
            raise BadInput(f"{with_flag}: leave out --{name}; {right}.")


def run(main: Callable[[], None]) -> None:
    """Parses the flags and calls `main`; a `BadInput` ends in one line and status 2.

    So does a wrong flag. `--help` ends with status 0.
    """

    def guarded(_: Sequence[str]) -> None:
        logging.set_verbosity(logging.WARNING)
        with _one_line():
            _import_tensorflow()
            main()
            sys.stdout.flush()

    def parser(arguments: Sequence[str]) -> list[str]:
        with _one_line():
            return parse(arguments)

    # --help shows the text and the flags of the script that runs: these are its own.
    sys.modules["__main__"].__doc__ = sys.modules[main.__module__].__doc__
    own = flags.FLAGS.get_flags_for_module(main.__module__)
    own += [flags.FLAGS[n] for n in ("gin_file", "gin_param") if n in flags.FLAGS]
    for flag in own:
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:  # the shell has closed it
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8"))
    # What the encoding of standard output lacks is printed as an escape.
    sys.stdout.reconfigure(errors="backslashreplace")
    # A shell leaves the ~ in --flag=~/folder as it is.
    app.run(guarded, [_at_home(word) for word in sys.argv], flags_parser=parser)


def _import_tensorflow() -> None:
    """Imports it without the two lines that 2.21 prints whatever the level of its log.

    They are shown only if the import fails.
    """
    stderr = os.dup(2)
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, stderr)
        try:
            printed = stack.enter_context(tempfile.TemporaryFile())
        except OSError:  # a full disk: let them be seen
            return
        stack.callback(os.dup2, stderr, 2)
        os.dup2(printed.fileno(), 2)
        try:
            importlib.import_module("tensorflow")
        except ImportError:
            printed.seek(0)
            os.write(stderr, printed.read())
            raise


_OF_A_PATH = {errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EROFS}


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    """Ends the program with a line and status 2 on a `BadInput` or a full disk.

    So if a file may not be read, if a path cannot be one, or if nobody reads any more
    what is printed; with status 130 on Ctrl-C.
    """
    try:
        yield
    except BadInput as error:
        _end(str(error))
    except BrokenPipeError:
        _end("standard output is closed; what was to be printed is lost.")
    except OSError as error:
        if error.filename and isinstance(error, PermissionError):
            _end(f"{error.filename}: it may not be read or written here.")
        if error.filename and error.errno in _OF_A_PATH:
            _end(f"{error.filename}: {error.strerror}.")
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        file = error.filename or "standard output"
        _end(f"{file}: cannot be written ({error.strerror}): make room.")
    except KeyboardInterrupt:
        _end("interrupted.", status=128 + signal.SIGINT)


def _end(told: str, status: int = 2) -> None:
    print(f"error: {told}", file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:  # nor could Python at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def parse(arguments: Sequence[str]) -> list[str]:
    """Parses the flags; BadInput on one that is wrong, or a word that is none."""
    for argument in arguments:
        _check_unicode(argument)
    try:
        others = flags.FLAGS(arguments)[1:]
    except flags.UnrecognizedFlagError as error:
        raise BadInput(_unknown(error.flagname, str(error.flagvalue))) from error
    except flags.Error as error:
        told = str(error)
        if missing := re.search("Flag (--.*) must have a value", told):
            told = f"{missing[1]} is missing"
        raise BadInput(f"{told.removeprefix('flag ')}.") from error
    except SystemExit:  # of --help, where absl's status is 1
        sys.exit(0)
    for name, value in flags.FLAGS.flag_values_dict().items():
        flag = flags.FLAGS[name]
        given = value if isinstance(flag, flags.MultiFlag) else [value]
        if flag.present and ("" in given or [] in given):
            raise BadInput(f"--{name}= is empty: give a value, or leave the flag out.")
        if flag.present and (taken := _flag_in(given)):
            raise BadInput(f"--{name} is without a value: {taken} follows it.")
    if others:
        raise BadInput(f"{others[0]}: this is no flag; flags read --flag=value.")
    return [*arguments[:1]]


def _flag_in(given: Sequence[object]) -> str | None:
    """Returns a flag that stands where a value should, if one does."""
    lists = [value if isinstance(value, list) else [value] for value in given]
    for word in itertools.chain.from_iterable(lists):
        name = re.match(r"--?(?:no)?(\w+)(?:=|$)", str(word))
        if name and name[1] in flags.FLAGS:
            return word
    return None


def _unknown(name: str, typed: str) -> str:
    """Returns what somebody who typed a flag that does not exist may have meant."""
    told = f"{typed}: there is no such flag"
    known = {f"--{f.name}" for f in flags.FLAGS.get_key_flags_for_module(sys.argv[0])}
    recipe = (GIN_FOLDER / "base.gin").read_text()  # which names every option
    rooms = re.findall(rf"^(\w+)\.{re.escape(name)} = ", recipe, re.MULTILINE)
    if rooms and "--gin_param" in known:
        value = typed.partition("=")[2] or "..."
        try:
            ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            value = repr(value)  # text needs quotes
        forms = [f'--gin_param="{room}.{name} = {value}"' for room in rooms]
        return f"{told}; write {' or '.join(forms)}."
    return f"{told}; {suggestion(f'--{name}', known)}"


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
