"""Every entity there is, and the order in which they can be migrated."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence

from migrationsync.entities.declarations import Entity


class UnknownEntity(LookupError):
    """There is no entity of that name; the message says which one was perhaps meant."""


class EntityCycle(Exception):
    """Entities that each need another one first; one that needs itself is none. `names` goes
    round once, back to its first."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        super().__init__(" › ".join(names))


class Registry:
    """Entities by name. What is declared wrong is found by `manage.py check`, not here."""

    def __init__(self, entities: Iterable[Entity] = ()) -> None:
        self.declared: list[Entity] = list(entities)

    def __iter__(self) -> Iterator[Entity]:
        return iter(self.declared)

    def register(self, entity: Entity) -> Entity:
        self.declared.append(entity)
        return entity

    def get(self, name: str) -> Entity:
        """Raises UnknownEntity."""
        for entity in self.declared:
            if entity.name == name:
                return entity
        raise UnknownEntity(f"There is no entity “{name}”. {self.meant(name)}")

    def meant(self, name: str) -> str:
        """What to say to somebody who asked for `name`, which isn't there."""
        names = [entity.name for entity in self.declared]
        near = difflib.get_close_matches(name, names, n=1)
        if near:
            return f"Did you mean “{near[0]}”?"
        return f"There are: {', '.join(names)}." if names else "None is declared."

    def in_order(self, names: Iterable[str] | None = None) -> tuple[Entity, ...]:
        """The entities, or those of `names`, each behind what its foreign keys point to.

        In the order of declaration where nothing else asks for another. Raises UnknownEntity
        for a name of `names`, and EntityCycle. A foreign key to an entity that isn't there
        doesn't matter here.
        """
        wanted = None if names is None else {self.get(name).name for name in names}
        by_name = {entity.name: entity for entity in self.declared}
        ordered: dict[str, Entity] = {}
        for root in by_name:
            # The way from the root to what is looked at, each with what it still has to ask for.
            way = [(root, iter(by_name[root].depends_on))] if root not in ordered else []
            while way:
                name, needs = way[-1]
                needed = next((n for n in needs if n in by_name and n not in ordered), None)
                if needed is None:
                    ordered[name] = by_name[name]
                    way.pop()
                    continue
                on_the_way = [each for each, _ in way]
                if needed in on_the_way:
                    raise EntityCycle([*on_the_way[on_the_way.index(needed) :], needed])
                way.append((needed, iter(by_name[needed].depends_on)))
        return tuple(entity for name, entity in ordered.items() if wanted is None or name in wanted)


entities = Registry()
register = entities.register
