"""The one exception that means: this input cannot be used, and here is what to do about it."""


class InputError(ValueError):
    """Input refused before any work. The message is one line: what is wrong, then a hint."""
