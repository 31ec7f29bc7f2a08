"""BigGAN (Brock, Donahue, Simonyan, arXiv 1809.11096) in TensorFlow 2.

The functions of `api` are offered here; each is imported when it is first used.
"""

from typing import Any

__version__ = "0.1.0"
__all__ = ["BadInput", "cluster", "dry_run", "evaluate", "export", "film", "load"]
__all__ += ["project", "redraw", "report", "sample", "sample_files", "train", "walk"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from biggan_tf import api

    return getattr(api, name)
