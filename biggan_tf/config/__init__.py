"""Configuration: two flags, strict gin files, and the config of a model directory.

A binding that is misspelt, invalid or unused stops the program before any work, with
one sentence that names the file and line. The files are read with the parser
of gin-config; the bindings are kept here.
"""

try:
    from gin import config as _
except ImportError:
    # In a checkout our folder gin/ would be found under the library's name.
    raise ImportError(
        "the package gin-config is not installed: run `pip install gin-config`"
    ) from None

from biggan_tf.config.bindings import (
    clear,
    dead_bindings,
    forget,
    operative,
    place_of,
    refuse_dead_bindings,
    taken,
)
from biggan_tf.config.door import define_flags, leave_out, run
from biggan_tf.config.model_directory import (
    check_claim,
    claim,
    differences,
    keep,
    read_back,
)
from biggan_tf.config.options import (
    ROOMS,
    apart,
    free_bindings,
    option,
    options,
    path_bindings,
    settle,
)
from biggan_tf.config.parsing import GIN_FOLDER, parse
