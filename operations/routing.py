from django.urls import path

from operations.consumers import OperationConsumer

websocket_urlpatterns = [
    path("ws/operations/<slug:kind>/<int:id>/", OperationConsumer.as_asgi()),
]
