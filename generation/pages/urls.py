from django.urls import path

from generation.pages import editing, generations, starting

urlpatterns = [
    path("episodes/<int:pk>/generate", starting.start, name="my-episode-generate"),
    path("generations", generations.generation_list, name="my-generations"),
    path("generations/<int:pk>", generations.generation_page, name="my-generation"),
    path("generations/<int:pk>/script", editing.edit, name="my-generation-script"),
]
