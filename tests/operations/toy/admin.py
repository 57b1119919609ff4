from django.contrib import admin

from operations.admin import OperationAdmin
from tests.operations.toy.models import ToyOperation


@admin.register(ToyOperation)
class ToyAdmin(OperationAdmin):
    pass
