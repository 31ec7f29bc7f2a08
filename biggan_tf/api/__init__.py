"""The program as plain functions: `import biggan_tf` offers them to notebooks.

    import biggan_tf

    run = biggan_tf.train("demo.gin", "runs/demo", {"train.total_steps": 500})
    module = biggan_tf.export(run)
    images = biggan_tf.sample(module, labels="Bag,Sandal", truncation=0.5)
    scores = biggan_tf.evaluate(module, data="embedded", network="lite0_64")

Most command lines call the same functions. Each call has bindings of its own, so calls
with different ones may follow each other in a process, or run in different threads.
What the caller can mend is raised as BadInput.
"""

import importlib
from typing import Any

from biggan_tf.errors import BadInput

_ROOMS = {
    "clusters": "cluster",
    "projections": "project",
    "runs": "dry_run export train",
    "samples": "load redraw sample sample_files sheet_rows",
    "scores": "evaluate",
    "shows": "report",
    "walks": "film walk walk_through",
}


def __getattr__(name: str) -> Any:
    """Imports a function when it is first used: flags need no TensorFlow."""
    for room, functions in _ROOMS.items():
        if name in functions.split():
            return getattr(importlib.import_module(f"{__name__}.{room}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
