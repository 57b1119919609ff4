import pytest

from content.links import TEXT_FIELDS
from duplication.levels import CHILD_LEVELS, TREE


@pytest.mark.parametrize("level", TREE, ids=lambda level: level.node)
def test_level_every_column_is_copied_or_decided_otherwise(level):
    """A column that is added to a model is copied without anybody having to think of it."""
    columns = {field.column for field in level.model._meta.concrete_fields}
    own = {"id", "orig_id"} | ({level.parent_column} if level.parent else set())
    assert set(level.copied) | set(level.reset) | own == columns
    assert not set(level.copied) & set(level.reset)


def test_levels_hang_together():
    for above, level in CHILD_LEVELS:
        assert level.model._meta.get_field(level.parent).related_model is above.model


def test_levels_text_fields_are_those_whose_links_content_follows():
    assert {level.node: level.text_fields for level in TREE if level.text_fields} == TEXT_FIELDS


def test_levels_block_takes_over_its_place_and_all_its_content():
    block = TREE[-1]
    assert set(block.copied) == {"position", "name", "field_1", "field_2", "field_3", "media"}
