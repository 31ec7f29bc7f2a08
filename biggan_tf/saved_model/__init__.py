"""A trained G as others get it: sigma folded in, standing statistics, one folder.

`inference` makes a generator for sampling out of one in training, `writing` the module
that `hub.load` opens, `reading` opens it for our own tools, and `sheets` says what to
draw from it.
"""

from biggan_tf.saved_model.inference import (
    RESAMPLE_GRID,
    SCALED_GRID,
    Sampler,
    StandingStatistics,
    fold,
    for_inference,
)
from biggan_tf.saved_model.reading import Exported, load
from biggan_tf.saved_model.writing import (
    Settings,
    Trained,
    check_free,
    export,
    for_sampling,
    make_module,
    write,
)

__all__ = [
    "RESAMPLE_GRID",
    "SCALED_GRID",
    "Exported",
    "Sampler",
    "Settings",
    "StandingStatistics",
    "Trained",
    "check_free",
    "export",
    "fold",
    "for_inference",
    "for_sampling",
    "load",
    "make_module",
    "write",
]
