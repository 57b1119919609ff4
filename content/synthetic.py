"""Made-up episodes of any size, for benchmarks and for trying things out.

The same arguments give the same tree, text for text. Set-based: the rows never leave
the database, so a million blocks take seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connection, transaction

from content.models import Episode

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_MOST = 0.9

_INSERT_PARTS = """
    INSERT INTO parts (episode_id, position, name, created_at, updated_at)
    SELECT %(episode)s, n - 1, 'Part ' || n, now(), now()
    FROM generate_series(1, %(parts)s) AS n
"""
_INSERT_ITEMS = """
    INSERT INTO items (part_id, position, name, created_at, updated_at)
    SELECT parts.id, n - 1, 'Item ' || parts.position + 1 || '.' || n, now(), now()
    FROM parts CROSS JOIN generate_series(1, %(items)s) AS n
    WHERE parts.episode_id = %(episode)s
    ORDER BY parts.position, n
"""
# An item's share: the first one's is `first`; the others share `rest`, the remainder
# going one each to those that come first. `seed` picks the words, so that neighbours differ.
_INSERT_BLOCKS = """
    INSERT INTO blocks (item_id, position, name, field_1, field_2, field_3, media,
                        created_at, updated_at)
    SELECT numbered.id, n - 1, 'Block ' || n,
           (ARRAY['html', 'html', 'html', 'html', 'video', 'problem'])[1 + seed %% 6],
           '<p>'
           || (ARRAY['This section explains', 'Here you practise', 'Listen again to',
                     'The next example shows', 'Before you go on, recall'])[1 + seed %% 5]
           || ' how the speaker of part ' || part_position + 1 || ' introduces topic ' || n || ' '
           || (ARRAY['with a question to the audience', 'by telling a short story',
                     'through three plain examples', 'with a sound from daily life'])
              [1 + seed / 5 %% 4]
           || ' before the main point is made.</p>',
           CASE WHEN seed %% 20 = 7 THEN '{"points": ' || 1 + seed %% 5 || '}' END,
           CASE WHEN n %% 10 = 0 THEN 'recording-' || 1 + seed %% 500 || '.mp3' END,
           now(), now()
    FROM (
        SELECT items.id, parts.position AS part_position,
               row_number() OVER (ORDER BY parts.position, items.position) AS ordinal
        FROM items JOIN parts ON parts.id = items.part_id
        WHERE parts.episode_id = %(episode)s
    ) AS numbered
    CROSS JOIN LATERAL generate_series(
        1::bigint,
        CASE WHEN ordinal = 1 THEN %(first)s::bigint
             ELSE %(rest)s::bigint / %(others)s
                  + (ordinal - 1 <= %(rest)s::bigint %% %(others)s)::int END
    ) AS n
    CROSS JOIN LATERAL (SELECT (ordinal * 7919 + n * 31) AS seed) AS seeded
    ORDER BY ordinal, n
"""


def make_episode(
    *,
    parts: int,
    items: int,
    blocks: int,
    skewed: bool = False,
    title: str | None = None,
    owner: User | None = None,
) -> Episode:
    """A new episode of `parts` parts, `items` items in each, `blocks` blocks in each item.

    `skewed` keeps the total, with nine blocks in ten under the first item. Commits once.
    Raises ValueError for a negative number.
    """
    for name, number in (("parts", parts), ("items", items), ("blocks", blocks)):
        if number < 0:
            raise ValueError(f"The number of {name} is {number}: it can't be negative.")
    total_items = parts * items
    total_blocks = total_items * blocks
    first = round(total_blocks * _MOST) if skewed and total_items > 1 else blocks
    numbers = {
        "parts": parts,
        "items": items,
        "first": first,
        "rest": max(total_blocks - first, 0),
        "others": max(total_items - 1, 1),
    }
    with transaction.atomic():
        episode = Episode.objects.create(
            title=title or f"Synthetic episode, {parts} by {items} by {blocks}", owner=owner
        )
        with connection.cursor() as cursor:
            for statement in (_INSERT_PARTS, _INSERT_ITEMS, _INSERT_BLOCKS):
                cursor.execute(statement, {"episode": episode.pk, **numbers})
    # Whoever measures next should see plans and row estimates that know these rows.
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE parts, items, blocks")
    return episode
