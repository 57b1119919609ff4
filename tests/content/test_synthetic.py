from __future__ import annotations

import pytest

from content.documents.exporting import export_episode
from content.models import Block, Episode, Item, Part
from content.synthetic import make_episode

pytestmark = pytest.mark.django_db


def sizes(episode: Episode) -> list[int]:
    items = Item.objects.filter(part__episode=episode).order_by("part__position", "position")
    return [each.blocks.count() for each in items]


def test_make_episode_multiplies_its_numbers() -> None:
    episode = make_episode(parts=2, items=3, blocks=4)
    assert Part.objects.filter(episode=episode).count() == 2
    assert sizes(episode) == [4] * 6


@pytest.mark.parametrize(
    ("parts", "items", "blocks"), [(2, 3, 10), (1, 1, 7), (3, 1, 5), (2, 2, 1)]
)
def test_make_episode_skewed_keeps_the_total_and_puts_most_under_one_item(
    parts: int, items: int, blocks: int
) -> None:
    found = sizes(make_episode(parts=parts, items=items, blocks=blocks, skewed=True))
    total = parts * items * blocks
    assert sum(found) == total
    assert found[0] == (round(total * 0.9) if parts * items > 1 else total)
    assert max(found[1:], default=0) - min(found[1:], default=0) <= 1


def test_make_episode_twice_gives_the_same_text() -> None:
    first, second = (make_episode(parts=2, items=2, blocks=20) for _ in range(2))
    assert "".join(export_episode(first)) == "".join(export_episode(second))


def test_make_episode_gives_texts_of_ordinary_size_and_some_media() -> None:
    episode = make_episode(parts=1, items=2, blocks=40)
    blocks = Block.objects.filter(item__part__episode=episode)
    assert blocks.filter(media__isnull=False).count() == 8
    assert 0 < blocks.filter(field_3__isnull=False).count() < 20
    assert all(80 < len(text or "") < 200 for text in blocks.values_list("field_2", flat=True))
    assert list(Part.objects.filter(episode=episode).values_list("position", flat=True)) == [0]


@pytest.mark.parametrize("numbers", [(0, 5, 5), (2, 0, 5), (2, 2, 0)])
def test_make_episode_with_zero_makes_what_is_above_it(numbers: tuple[int, int, int]) -> None:
    parts, items, blocks = numbers
    episode = make_episode(parts=parts, items=items, blocks=blocks)
    assert Part.objects.filter(episode=episode).count() == parts
    assert sizes(episode) == [0] * (parts * items)


@pytest.mark.parametrize("name", ["parts", "items", "blocks"])
def test_make_episode_with_negative_number_refuses(name: str) -> None:
    numbers = {"parts": 1, "items": 1, "blocks": 1, name: -1}
    with pytest.raises(ValueError, match=f"The number of {name} is -1: it can't be negative"):
        make_episode(**numbers)
    assert not Episode.objects.exists()
