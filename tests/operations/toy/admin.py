from django.contrib import admin

from operations.admin import OperationAdmin
from tests.operations.toy.models import Chore, ToyOperation


@admin.register(ToyOperation)
class ToyAdmin(OperationAdmin):
    pass


@admin.register(Chore)
class ChoreAdmin(OperationAdmin):
    pass
