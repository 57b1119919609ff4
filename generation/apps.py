from django.apps import AppConfig
from django.core import checks


class GenerationConfig(AppConfig):
    name = "generation"

    def ready(self) -> None:
        from content import additions
        from generation import retention
        from generation.kind import GENERATION
        from generation.pages.episodes import ADDITION
        from generation.providers.registry import check
        from operations import kinds

        kinds.register(GENERATION)
        additions.register(ADDITION)
        checks.register(check)
        retention.register()
