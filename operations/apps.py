from django.apps import AppConfig


class OperationsConfig(AppConfig):
    name = "operations"

    def ready(self) -> None:
        # They register system checks.
        from operations.gates.load import checks as load_checks  # noqa: F401
        from operations.queue import checks  # noqa: F401
