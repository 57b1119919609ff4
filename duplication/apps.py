from django.apps import AppConfig


class DuplicationConfig(AppConfig):
    name = "duplication"
