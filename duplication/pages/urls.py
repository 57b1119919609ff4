from django.urls import path

from duplication.pages import duplications, episodes

urlpatterns = [
    path("episodes", episodes.episode_list, name="my-episodes"),
    path("episodes/<int:pk>/duplicate", episodes.start, name="my-episode-duplicate"),
    path("duplications", duplications.duplication_list, name="my-duplications"),
    path("duplications/control", duplications.control_selected, name="my-duplications-control"),
    path("duplications/<int:pk>", duplications.duplication_page, name="my-duplication"),
    path("duplications/<int:pk>/keep", duplications.keep, name="my-duplication-keep"),
    path("duplications/<int:pk>/remove", duplications.remove, name="my-duplication-remove"),
]
