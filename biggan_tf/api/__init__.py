"""The program as plain functions: `import biggan_tf` offers them to notebooks.

    import biggan_tf

    run = biggan_tf.train("demo.gin", "runs/demo", {"train.total_steps": 500})
    module = biggan_tf.export(run)
    images = biggan_tf.sample(module, labels="Bag,Sandal", truncation=0.5)
    scores = biggan_tf.evaluate(module, data="embedded", network="lite0_64")

The command lines call the same functions. Each call has bindings of its own, so calls
with different ones may follow each other in a process, or run in different threads.
What the caller can mend is raised as BadInput.
"""

from biggan_tf.api.runs import dry_run, export, train
from biggan_tf.api.samples import (
    PATHS,
    film,
    load,
    redraw,
    sample,
    sample_files,
    sheet_rows,
    walk,
    walk_through,
)
from biggan_tf.api.scores import evaluate
from biggan_tf.api.shows import report
from biggan_tf.errors import BadInput
