from django.urls import path

from operations import notification_pages, pages

urlpatterns = [
    path("notifications", notification_pages.notification_list, name="notifications"),
    path("notifications/seen", notification_pages.mark_all_seen, name="notifications-seen"),
    path("<slug:kind>/<str:id>/<slug:verb>", pages.control, name="operation-control"),
]
