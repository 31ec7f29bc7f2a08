"""The one exception that means "the user can fix this"."""


class BadInput(ValueError):
    """Something that was asked for cannot be done as asked.

    The message is one sentence that names the flag, gin binding or file, the value
    found and what would be right. The command-line programs print it without a
    traceback and exit with status 2; anything else that escapes is our bug.
    """

    def __init__(self, sentence: str):
        super().__init__(" ".join(sentence.splitlines()))  # it may quote the input


class Diverged(BadInput):
    """Training went to NaN or infinity: the recipe must change."""
