from django.apps import AppConfig
from django.core import checks


class GenerationConfig(AppConfig):
    name = "generation"

    def ready(self) -> None:
        from generation.kind import GENERATION
        from generation.providers.registry import check
        from operations import kinds

        kinds.register(GENERATION)
        checks.register(check)
