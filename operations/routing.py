from django.urls import path

from operations.consumers import OperationConsumer
from operations.notification_consumer import NotificationConsumer

websocket_urlpatterns = [
    path("ws/operations/<slug:kind>/<str:id>/", OperationConsumer.as_asgi()),
    path("ws/notifications/", NotificationConsumer.as_asgi()),
]
