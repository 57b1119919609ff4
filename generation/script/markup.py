"""What a block's markup says aloud: its words, a line for each paragraph.

Owns what of HTML and of the XML of courses is read and what isn't. Parsed by a browser's
rules (Lexbor), so that broken markup says what a browser would show.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from html import unescape
from typing import NamedTuple

from selectolax.lexbor import LexborHTMLParser, LexborNode

# Elements that say nothing, whatever stands in them.
_SILENT = frozenset(
    """
    applet area audio canvas code-block embed head iframe link map math meta noscript object
    script source style svg template title track transcript transcripts video video_asset
    """.split()  # noqa: SIM905 - reads better than forty lines
)
# What is worked with on a screen. A text around these is often only their label.
_CONTROLS = frozenset(
    """
    button datalist fieldset input meter progress select textarea
    choicegroup checkboxgroup optioninput textline
    """.split()  # noqa: SIM905
)
# Icon fonts write a picture as a word ("menu_book").
_ICON_CLASSES = frozenset({"material-icons", "material-symbols-outlined"})
# A new line is heard as a pause.
_BLOCKS = frozenset(
    """
    address article aside blockquote body br caption center dd details div dl dt figcaption
    figure footer form h1 h2 h3 h4 h5 h6 header hr html li main nav ol p pre section summary table
    tbody td tfoot th thead tr ul
    """.split()  # noqa: SIM905
)
_TEXT = "-text"

_BLANK_LINES = re.compile(r"\n\s*\n")
_ENDS_A_SENTENCE = re.compile(r"[.!?…:;。！？：；।؟۔][\"'”’»)\]]*$")  # noqa: RUF001
_UNHEARD = dict.fromkeys(map(ord, "®™\u00ad\u200b\u2060\ufeff\ufe0e\ufe0f"))


class Words(NamedTuple):
    text: str
    has_controls: bool


def read_words(markup: str) -> Words:
    """The words of `markup` (HTML, XML or plain text), each paragraph closed by a full stop."""
    if "<" not in markup:
        paragraphs = _BLANK_LINES.split(unescape(markup))
        return Words(_joined(paragraphs), has_controls=False)
    lines: list[list[str]] = [[]]
    has_controls = False
    root = LexborHTMLParser(markup).body
    # Its own stack: texts may be nested deeper than Python recurses.
    stack: list[LexborNode | None] = [root]
    while stack:
        node = stack.pop()
        if node is None:  # the end of a paragraph
            lines.append([])
            continue
        tag = node.tag or ""
        if tag == _TEXT:
            lines[-1].append(node.text_content or "")
            continue
        if tag in _CONTROLS:
            has_controls = True
        if not _is_heard(node, tag):
            continue
        if tag in _BLOCKS:
            lines.append([])
            stack.append(None)
        stack.extend(reversed(list(node.iter(include_text=True))))
    return Words(_joined("".join(line) for line in lines), has_controls)


def clean(text: str) -> str:
    """One line of plain text: spaces single, without what no voice says (emoji, ®)."""
    heard = (
        " " if _is_picture(character) else character
        for character in unicodedata.normalize("NFC", text.translate(_UNHEARD))
    )
    return " ".join("".join(heard).split())


def _is_heard(node: LexborNode, tag: str) -> bool:
    if tag.startswith("-") or tag in _SILENT or tag in _CONTROLS:
        return False
    attributes = node.attributes
    if "hidden" in attributes or attributes.get("aria-hidden") == "true":
        return False
    return _ICON_CLASSES.isdisjoint((attributes.get("class") or "").split())


def _is_picture(character: str) -> bool:
    category = unicodedata.category(character)
    if category in ("Cc", "Cs", "Co"):
        return not character.isspace()
    # Arrows to dingbats and emoji; not °, №, ℃, nor the squared words of East Asia.
    return category == "So" and (
        "\u2190" <= character <= "\u2bff" or "\U0001f000" <= character <= "\U0001faff"
    )


def _joined(paragraphs: Iterable[str]) -> str:
    lines = (clean(paragraph) for paragraph in paragraphs)
    return "\n".join(_closed(line) for line in lines if any(map(str.isalnum, line)))


def _closed(line: str) -> str:
    """Ends like a sentence: a heading or a list's entry is followed by a pause."""
    if _ENDS_A_SENTENCE.search(line):
        return line
    line = line.rstrip(" ,-–—|/•")
    return line + ("。" if unicodedata.east_asian_width(line[-1]) in "WF" else ".")
