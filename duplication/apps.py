from django.apps import AppConfig


class DuplicationConfig(AppConfig):
    name = "duplication"

    def ready(self) -> None:
        from duplication.kind import DUPLICATION
        from operations import kinds

        kinds.register(DUPLICATION)
