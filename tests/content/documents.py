"""Documents for tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from content.documents.format import LEVELS


def block(key: str, **fields: Any) -> dict[str, Any]:
    empty = {"name": None, "field_1": None, "field_2": None, "field_3": None, "media": None}
    return {"key": key, **empty, **fields}


def item(key: str, *blocks: dict[str, Any], name: str | None = None) -> dict[str, Any]:
    return {"key": key, "name": name, "blocks": list(blocks)}


def part(key: str, *items: dict[str, Any], name: str | None = None) -> dict[str, Any]:
    return {"key": key, "name": name, "items": list(items)}


def document(*parts: dict[str, Any], title: str = "A title") -> dict[str, Any]:
    return {"title": title, "parts": list(parts)}


# Everything PostgreSQL and JSON can both hold.
_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
_KEYS = st.text("abcXYZ019._~-", min_size=1, max_size=6)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Small trees with links in every direction, in every field that can hold one."""
    keys = {level.name: draw(st.lists(_KEYS, max_size=6, unique=True)) for level in LEVELS}
    if not keys["part"]:
        keys["item"] = []
    if not keys["item"]:
        keys["block"] = []
    targets = [f"content:{level}/{key}" for level, each in keys.items() for key in each]

    def text() -> str | None:
        pieces = [_TEXTS.filter(lambda found: "content:" not in found)]
        if targets:
            # What follows a link must not read as more of its key.
            pieces.append(st.sampled_from(targets).map(lambda link: f'<a href="{link}">'))
            pieces.append(st.sampled_from(targets).map(lambda link: f"see {link}. "))
        joined = st.lists(st.one_of(pieces), max_size=3).map("".join)
        return draw(st.none() | joined)

    tree = document(title=draw(_TEXTS.filter(str.strip)))
    for key in keys["part"]:
        tree["parts"].append(part(key, name=text()))
    items = []
    for key in keys["item"]:
        items.append(item(key, name=text()))
        draw(st.sampled_from(tree["parts"]))["items"].append(items[-1])
    for key in keys["block"]:
        fields = {name: text() for name in ("name", "field_1", "field_2", "field_3")}
        fields["media"] = draw(st.none() | _TEXTS)
        draw(st.sampled_from(items))["blocks"].append(block(key, **fields))
    return tree
