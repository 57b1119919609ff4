"""Outline and script by extraction: the content's own titles and sentences, no model.

Deterministic, free, and in the content's own language: nothing is said that the content
doesn't say. The episode's title isn't spoken, so that a copy, whose title differs, is said
in the same words and finds its audio in the cache.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby

from generation.providers.contract import ProviderFailed, Usage
from generation.script.outline import Chapter, Outline
from generation.script.script import MAX_TURN_CHARS, Script, Speaker, Turn
from generation.script.segments import pieces
from generation.script.sentences import sentences
from generation.script.source import MAX_CHARS, Passage, Source

# A longer passage is told by its first sentence and those that say most about its subject.
SENTENCES_PER_PASSAGE = 8
_WORD = re.compile(r"\w+")
# Shorter words are mostly articles and prepositions, in any language with an alphabet.
_MIN_WORD_CHARS = 4


class OfflineText:
    name = "offline"
    model = "extraction-1"
    max_input_chars = MAX_CHARS

    def outline(self, source: Source) -> tuple[Outline, Usage]:
        require_passages(source)
        return extracted_outline(source), Usage()

    def portions(self, source: Source) -> list[Source]:
        return source.by_part()

    def script(self, source: Source, outline: Outline) -> tuple[Script, Usage]:
        require_passages(source)
        turns = _alternating if source.type == "dialogue" else _alone
        spoken = (
            turn
            for part_id, passages in groupby(source.passages, key=lambda each: each.part_id)
            for turn in turns(outline, outline.chapter_of(part_id), list(passages))
        )
        return Script(tuple(spoken), source.left_out), Usage()

    def draft(self, source: Source) -> Script:
        return self.script(source, extracted_outline(source))[0]

    def estimate(self, source: Source) -> Usage:
        return Usage(chars=self.draft(source).chars) if source.passages else Usage()


def require_passages(source: Source) -> None:
    """Raises ProviderFailed where there is nothing to say."""
    if not source.passages:
        raise ProviderFailed(
            "provider_input",
            f"This episode has nothing to say: {len(source.left_out):,} blocks were left out. "
            "Write a text into a block, or see why each was left out.",
        )


def extracted_outline(source: Source) -> Outline:
    """A chapter for each part that has passages; its items' titles are its topics."""
    chapters = []
    for part_id, passages in groupby(source.passages, key=lambda each: each.part_id):
        of_part = list(passages)
        topics = dict.fromkeys(spoken_title(each.item_title) for each in of_part)
        chapters.append(
            Chapter(
                part_id=part_id,
                title=spoken_title(of_part[0].part_title),
                topics=tuple(topic for topic in topics if topic),
            )
        )
    return Outline(source.title, tuple(chapters))


def spoken_title(title: str) -> str:
    """A title without the slashes of a path: "Text / Images" is said "Text: Images".

    A step that comes twice is said once.
    """
    steps: dict[str, str] = {}
    for step in title.split(" / "):
        steps.setdefault(step.strip().casefold(), step.strip())
    return ": ".join(step for step in steps.values() if step)


def chosen_sentences(text: str) -> list[str]:
    """The sentences of a passage that are said, in their order.

    Scored by the mean frequency of their words in the passage (H. P. Luhn, "The automatic
    creation of literature abstracts", 1958); the first is always said.
    """
    found = sentences(text)
    if len(found) <= SENTENCES_PER_PASSAGE:
        return found
    frequency = Counter(word for sentence in found for word in _words(sentence))
    scores = []
    for index, sentence in enumerate(found):
        words = list(_words(sentence))
        scores.append((-sum(frequency[word] for word in words) / max(len(words), 1), index))
    scores[0] = (float("-inf"), 0)
    chosen = sorted(index for _, index in sorted(scores)[:SENTENCES_PER_PASSAGE])
    return [found[index] for index in chosen]


def _words(sentence: str) -> Iterator[str]:
    return (word.casefold() for word in _WORD.findall(sentence) if len(word) >= _MIN_WORD_CHARS)


def _alone(outline: Outline, chapter: int, passages: list[Passage]) -> Iterator[Turn]:
    """The host announces the chapter and its topics, and tells all of it."""
    yield from _announced(outline, chapter, passages)
    for topic, of_topic in _by_topic(outline, chapter, passages):
        for index, passage in enumerate(of_topic):
            heading = topic if index == 0 else ""
            yield from _told("host", chapter, heading, passage)


def _alternating(outline: Outline, chapter: int, passages: list[Passage]) -> Iterator[Turn]:
    """The host announces chapter and topics; guest and host tell the passages by turns."""
    yield from _announced(outline, chapter, passages)
    for topic, of_topic in _by_topic(outline, chapter, passages):
        if _is_new(topic, of_topic[0].text):
            yield Turn("host", chapter, _sentence(topic))
        speakers: tuple[Speaker, Speaker] = ("guest", "host")
        for index, passage in enumerate(of_topic):
            yield from _told(speakers[index % 2], chapter, "", passage)


def _announced(outline: Outline, chapter: int, passages: list[Passage]) -> Iterator[Turn]:
    title = outline.chapters[chapter].title
    if _is_new(title, passages[0].text):
        yield Turn("host", chapter, _sentence(title))


def _by_topic(
    outline: Outline, chapter: int, passages: Iterable[Passage]
) -> Iterator[tuple[str, list[Passage]]]:
    """Items with what is said before them; "" where the chapter has announced it."""
    title = outline.chapters[chapter].title
    for _, of_item in groupby(passages, key=lambda each: each.item_id):
        of_topic = list(of_item)
        topic = spoken_title(of_topic[0].item_title)
        yield "" if topic == title else topic, of_topic


def _told(speaker: Speaker, chapter: int, heading: str, passage: Passage) -> Iterator[Turn]:
    said = chosen_sentences(passage.text)
    if heading and _is_new(heading, passage.text):
        said.insert(0, _sentence(heading))
    # A turn is no longer than one that may be edited.
    for piece in pieces(" ".join(said), MAX_TURN_CHARS):
        yield Turn(speaker, chapter, piece)


def _is_new(title: str, text: str) -> bool:
    """Whether a text doesn't begin with its title anyhow."""
    return bool(title) and not text.casefold().startswith(title.casefold())


def _sentence(title: str) -> str:
    return title if title.endswith((".", "!", "?", "…", ":")) else f"{title}."
