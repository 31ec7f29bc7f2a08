"""From a sampler and real images to scores that say how they were made.

`looking` has a feature network see images, `scoring` makes the scores, `reference`
reads what they compare with, `records` keeps them, `curve` the truncation curve,
`neighbours` the check for memorising, and `periodic` is the action of the training.
"""

from biggan_tf.evaluation.checks import check_classes, parse_metrics
from biggan_tf.evaluation.curve import paper_columns, picture, write_csv
from biggan_tf.evaluation.neighbours import nearest_neighbours
from biggan_tf.evaluation.periodic import (
    EvaluationOptions,
    PeriodicEvaluation,
    load_network,
)
from biggan_tf.evaluation.records import (
    compared_with,
    known_scores,
    read_records,
    told,
    write_record,
)
from biggan_tf.evaluation.reference import KEPT
from biggan_tf.evaluation.reference import check as check_reference
from biggan_tf.evaluation.scoring import Evaluator
