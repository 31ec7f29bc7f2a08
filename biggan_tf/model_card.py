"""What lies beside an exported module for people: README.md and samples.png.

The README is a model card, with the fields that model hubs read at its top.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from biggan_tf import images, latents
from biggan_tf.errors import BadInput
from biggan_tf.evaluation import compared_with, told
from biggan_tf.sampling import ExportOptions, Sampler

README = Path(__file__).with_name("module_readme.md").read_text(encoding="utf-8")
MOST_ROWS, COLUMNS = 8, 6  # of the picture
DISCRIMINATOR = """
`m.discriminator(dict(x=images, y=y))` gives D's logits, float32 [batch, 1].
"""
TRAINED = {
    "origin": "A generator after {step:,} training steps: averages of its weights",
    "when": "In training, and for the statistics, each class was drawn",
    "configuration": "Trained with",
}
IMPORTED = {
    "origin": "A generator that others trained, imported as `{source}`: its weights",
    "when": "Where statistics are measured, each class is drawn",
    "configuration": "Its configuration; what was not published is this program's:",
}
MEANING = {
    "resample": """\
z is N(0, 1), drawn
again where |z| > truncation, which is above 0; inf does not truncate""",
    "scaled": """\
z is truncation * N,
where N is N(0, 1), drawn again where |N| > 2; truncation is from 0 to 1""",
}


def readme(
    sampler: Sampler,
    options: ExportOptions,
    with_discriminator: bool,
    records: Iterable[dict[str, Any]] = (),
    imported_from: str = "",
    **facts: str,
) -> str:
    """Returns the README.md of a module.

    Args:
        sampler: of the module.
        options, with_discriminator: of the export.
        records: of scores, as in `metrics.jsonl`; those of this step count, unless
            they are known to be of other weights.
        imported_from: the source of weights that were not trained here.
        facts: `name` of the module's folder, `family` of its networks, `data`, the name
            of the data set, and `config`, the configuration of the training.
    """
    meaning = MEANING.get(sampler.convention)
    meaning = meaning or latents.TRUNCATIONS[sampler.convention].__doc__
    meaning = meaning or "such latents\nare discrete, and truncation is always inf"
    discriminator = DISCRIMINATOR if with_discriminator else ""
    facts |= {"meaning": meaning.rstrip("."), "discriminator": discriminator}
    facts["last_label"] = str(sampler.num_classes - 1)
    facts["labels"] = str([0, 0, min(1, sampler.num_classes - 1)])
    uniform = latents.is_uniform(sampler.class_frequencies)
    facts["often"] = "any other" if uniform else "in its data"
    for name, text in (IMPORTED if imported_from else TRAINED).items():
        facts[name] = text.format(step=sampler.step, source=imported_from)
    facts["license"] = _quoted(options.license)
    facts["truncation"] = truncation = f"{_truncation(sampler):g}"
    facts["number"] = 'float("inf")' if truncation == "inf" else truncation
    facts["scores"] = (
        _table(one for one in records if _is_of(sampler, one["protocol"]))
        or "Nothing was scored at this step."
    )
    return README.format(sampler=sampler, options=options, **facts)


def picture(sampler: Sampler, generate: Callable) -> bytes:
    """Returns a PNG, a row of samples for each of some classes.

    `generate` is the signature of this name of the module.
    """
    rows = min(MOST_ROWS, sampler.num_classes)
    classes = np.linspace(0, sampler.num_classes - 1, rows).astype(np.int64)
    drawn = generate(
        labels=tf.constant(classes.repeat(COLUMNS)),
        truncation=tf.constant(_truncation(sampler)),
        seed=tf.constant(0, tf.int64),
    )
    if not np.isfinite(drawn["images"]).all():
        raise BadInput(
            f"the generator of step {sampler.step} draws NaN at truncation "
            f"{_truncation(sampler):g}: export another checkpoint, or other weights."
        )
    names = [sampler.class_names[index] for index in classes]
    sheet = images.sheet(images.to_uint8(drawn["images"]), COLUMNS, names)
    png = io.BytesIO()
    Image.fromarray(sheet).save(png, "PNG")
    return png.getvalue()


def _quoted(text: str) -> str:
    """Returns a text as YAML quotes it, ends of lines and controls by their numbers."""
    quoted = json.dumps(text, ensure_ascii=False)
    return re.sub(
        "[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]",
        lambda match: f"\\u{ord(match[0]):04x}",
        quoted,
    )


def _truncation(sampler: Sampler) -> float:
    """Returns the truncation of the picture."""
    return np.inf if sampler.convention in latents.DISCRETE else 0.5


def _is_of(sampler: Sampler, protocol: dict[str, Any]) -> bool:
    """Returns whether scores are those of a run's sampler, as far as is known."""
    if protocol.get("step") != sampler.step:
        return False
    conventions = {protocol.get("convention"), sampler.convention} - {None}
    if protocol.get("truncation") != "inf" and len(conventions) > 1:
        return False
    if "generator_sha256" in protocol:  # of a module
        of = protocol["generator_sha256"], protocol.get("statistics")
        return of == (sampler.weights_sha256, sampler.statistics)
    return protocol.get("weights_sha256") in (None, "", sampler.weights_sha256)


def _table(records: Iterable[dict[str, Any]]) -> str:
    """Returns scores as a table of Markdown; "" without any."""
    lines = []
    for record in records:
        protocol = record["protocol"]
        of = [str(protocol.get(key, "")) for key in ("truncation", "num_images")]
        of += [compared_with(protocol), str(protocol.get("statistics", ""))]
        for cells in told(record):
            escaped = (cell.replace("|", "\\|") for cell in (*cells, *of))
            lines.append(f"| {' | '.join(escaped)} |")
    head = (
        "| score | value ± standard error | truncation | images | compared with "
        "| batch-norm statistics |",
        "|---" * 6 + "|",
    )
    return "\n".join([*head, *lines]) if lines else ""
