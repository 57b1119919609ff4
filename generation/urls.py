from django.urls import path

from generation.listening import episode_audio

urlpatterns = [
    path("episodes/<int:pk>/audio/<str:name>", episode_audio, name="episode-audio"),
]
