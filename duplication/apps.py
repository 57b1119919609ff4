from django.apps import AppConfig


class DuplicationConfig(AppConfig):
    name = "duplication"

    def ready(self) -> None:
        from duplication.catch_up.kind import CATCH_UP
        from duplication.kind import DUPLICATION
        from duplication.removal.kind import REMOVAL
        from duplication.retention import FailedCopies, IdMaps
        from operations import kinds, retention

        kinds.register(DUPLICATION)
        kinds.register(REMOVAL)
        retention.register(IdMaps())
        retention.register(FailedCopies())
        kinds.register(CATCH_UP)
