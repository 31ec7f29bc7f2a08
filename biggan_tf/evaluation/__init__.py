"""From a generator and real images to scores that say how they were made.

`scoring` makes the scores, `curve` the fidelity and variety over truncation,
`neighbours` the check for memorising, and `periodic` is the action of the training.
"""

from biggan_tf.evaluation.curve import paper_columns, picture, sweep, write_csv
from biggan_tf.evaluation.neighbours import nearest_neighbours
from biggan_tf.evaluation.periodic import Evaluation, Periodic
from biggan_tf.evaluation.scoring import (
    KEPT,
    METRICS,
    SPLITS,
    Evaluator,
    Subject,
    append,
    lower_is_better,
    parse_metrics,
)

__all__ = [
    "KEPT",
    "METRICS",
    "SPLITS",
    "Evaluation",
    "Evaluator",
    "Periodic",
    "Subject",
    "append",
    "lower_is_better",
    "nearest_neighbours",
    "paper_columns",
    "parse_metrics",
    "picture",
    "sweep",
    "write_csv",
]
