"""The one exception that means "the user can fix this"."""

import re

_LONG = re.compile(r"\S{4200,}")  # longer than any path


class BadInput(ValueError):
    """Something that was asked for cannot be done as asked.

    The message is one sentence that names the flag, gin binding or file, the value
    found and what would be right. The command-line programs print it without a
    traceback and exit with status 2; anything else that escapes is our bug.
    """

    def __init__(self, sentence: str):
        # It may quote the input, which may have lines, or thousands of characters.
        words = " ".join(sentence.splitlines())
        super().__init__(_LONG.sub(lambda word: f"{word[0][:100]}...", words))


class Diverged(BadInput):
    """Training went to NaN or infinity: the recipe must change."""
