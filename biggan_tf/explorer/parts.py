"""The look of the page, and the makers of its parts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from biggan_tf.errors import BadInput

CSS = """
.gradio-container {max-width: 1500px !important; padding: 0 !important}
.grid-wrap {max-height: none !important; min-height: 0 !important}
.grid-wrap, main {padding: 4px !important}
.grid-container {gap: 4px !important; grid-auto-rows: auto !important;
  grid-template: none / repeat(var(--grid-cols), minmax(0, 1fr)) !important;
  max-width: calc(256px * var(--grid-cols))}
#kept .empty {min-height: 64px !important}
.thumbnail-item, .thumbnail-item img {border-radius: 0 !important}
.thumbnail-item {overflow: visible !important}
.caption-label {font-size: 11px !important; padding: 0 4px !important; opacity: .85;
  left: 0 !important; right: auto !important; max-width: none !important; z-index: 1;
  pointer-events: none}
#status progress {width: 40%}
.toast-wrap {top: auto !important; bottom: 16px !important}
#film video, #film img {width: min(100%, 512px)}
@media (max-width: 800px) {#stage {order: -1}}
"""
ENLARGED = ".thumbnail-item img, #film * {image-rendering: pixelated}"


def told(function: Callable[..., Iterator[dict]]) -> Callable:
    """Makes the sentence of a BadInput a message in the page."""

    @functools.wraps(function)
    def handler(*arguments: Any) -> Iterator[dict]:
        try:
            yield from function(*arguments)
        except BadInput as error:
            raise gr.Error(str(error), print_exception=False) from None

    return handler


def slider(label: str, *numbers: float, **more: Any) -> gr.Slider:
    """Takes the lowest number, the highest, the first and the step."""
    *ends, first, step = numbers
    return gr.Slider(*ends, first, step=step, label=label, buttons=[], **more)


def button(text: str, **more: Any) -> gr.Button:
    return gr.Button(text, size="md", min_width=60, **more)


def gallery(name: str, **more: Any) -> gr.Gallery:
    plain = {"show_label": False, "allow_preview": False, "buttons": []}
    return gr.Gallery(format="png", elem_id=name, height="auto", **plain, **more)
