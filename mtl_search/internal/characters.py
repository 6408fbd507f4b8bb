"""Characters that others chose, made fit to be shown: a terminal obeys some, and cannot show others."""

FORMULA = "=+-@"
"""What the cell of a formula begins with: a spreadsheet would run it."""


def is_broken(text: str) -> bool:
    """Whether a text holds a surrogate: half of a pair of characters, which no file and no terminal takes."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def printable(text: str, keep: str = "") -> str:
    """``text`` with all that a terminal would obey, or cannot show, as escapes: ``\\x1b``, ``\\u202e``, ``\\n``.

    Letters of every script stay.

    :param keep: Characters that stay although they are of that kind: a line end in a message of several lines.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else _escape(one) for one in text)


LINE = 80
"""Characters of a value or a name in a message: it goes on in the same line of a terminal, or in the next."""
LONG = 300
"""Characters of a path or a reason in a message, whose end often says what matters: four lines of a terminal."""


def quoted(text: str, length: int = LINE) -> str:
    """``text`` between quotes, with escapes, at most ``length`` characters: for a message."""
    return cut(repr(text[: length + 1]), length)


def cut(text: str, length: int = LINE) -> str:
    """``text``, its end left out where it has more than ``length`` characters."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
