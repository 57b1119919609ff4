from django.apps import AppConfig


class ToyConfig(AppConfig):
    name = "tests.operations.toy"
    label = "toy"

    def ready(self):
        from operations import kinds
        from tests.operations.toy.chore import CHORE
        from tests.operations.toy.kind import TOY

        kinds.register(TOY)
        kinds.register(CHORE)
