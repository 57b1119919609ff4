"""Where sentences end, in prose of any language that ends them with a mark.

Rules of our own: the splitters on PyPI are unkept (pysbd, 2021) or bring a model. A wrong
guess costs a pause in an odd place, so a doubtful full stop is taken for none.
"""

from __future__ import annotations

import re

# Marks that stand between two words with a space, and those that need none.
_EAST_ASIAN = "。！？"  # noqa: RUF001
_END = re.compile(
    r"(?:[.!?…؟۔।։።]+[\"'”’»›)\]]*(?=\s)"  # noqa: RUF001
    rf"|[{_EAST_ASIAN}]+[”’」』）]*)\s*|\n+"  # noqa: RUF001
)
_WORD_BEFORE = re.compile(r"(\S*)$")

# Followed by a name or a number, never by the end of a sentence.
_TITLES = frozenset(
    """
    dr mr mrs ms prof st sr jr rev hon gen col capt lt sgt no nos fig figs vol vols pp ed eds
    vs cf ca approx e.g i.e viz al art sec ch
    hr fr frl dipl ing nr bzw z.b d.h u.a v.a s.o s.u vgl sog bd hrsg
    mme mlle sra srta ud uds núm pág p.ej
    """.split()  # noqa: SIM905 - reads better than fifty lines
)
_MONTHS = frozenset(
    """
    jan feb mar apr may jun jul aug sep oct nov dec jän mär mai okt dez januar februar märz april
    juni juli august september oktober november dezember
    """.split()  # noqa: SIM905
)
# "3. Mai", "am 12. Dezember": an ordinal where the next word is a month.
_ORDINAL = re.compile(r"\(?\d{1,2}")


def sentence_ends(text: str) -> list[int]:
    """The positions behind each sentence and the spaces that follow it, the last one included."""
    ends = [match.end() for match in _END.finditer(text) if _is_end(text, match)]
    if text and (not ends or ends[-1] != len(text)):
        ends.append(len(text))
    return ends


def sentences(text: str) -> list[str]:
    """`text` cut at its sentences' ends; without spaces around them, none empty."""
    start, found = 0, []
    for end in sentence_ends(text):
        if sentence := text[start:end].strip():
            found.append(sentence)
        start = end
    return found


def _is_end(text: str, match: re.Match[str]) -> bool:
    mark = match.group().strip()
    if not mark or mark[0] in _EAST_ASIAN:
        return True
    following = text[match.end() : match.end() + 20]
    # `"Really?" he asked.`, `etc. and so on`, `… but then`
    if following[:1].islower():
        return False
    if mark != ".":
        return True
    before = _last_word(text, match.start())
    if before.casefold() in _TITLES:
        return False
    # An initial: "J. K. Rowling"; but "Plan B. Then" is rarer than "vitamin C. It": doubtful.
    if len(before) == 1 and before.isalpha() and before.isupper():
        return False
    if _ORDINAL.fullmatch(before):
        word = re.match(r"\w*", following)
        return word is None or word.group().casefold() not in _MONTHS
    return True


def _last_word(text: str, end: int) -> str:
    start = max(end - 20, 0)
    word = _WORD_BEFORE.search(text[start:end])
    return word.group(1).lstrip("(\"'“‘«[") if word else ""  # noqa: RUF001
