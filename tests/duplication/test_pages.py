"""What people who make content see: their episodes, their copies, in plain words."""

import datetime as dt

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from content.models import Episode
from duplication.kind import DUPLICATION
from duplication.models import Duplication
from duplication.services import start_duplication
from operations import control
from operations.models import ClusterHeartbeat
from tests.duplication.driving import duplicate, remove, run_to_end
from tests.factories.content import BlockFactory, EpisodeFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def author():
    """No staff: who makes content and may duplicate it."""
    return UserFactory(username="olga", permissions=["add_duplication"])


@pytest.fixture
def client(author):
    client = Client()
    client.force_login(author)
    return client


@pytest.fixture
def worker():
    now = timezone.now()
    return ClusterHeartbeat.objects.create(
        cluster="one",
        hostname="here",
        pid=1,
        workers=1,
        started_at=now - dt.timedelta(minutes=1),
        beat_at=now,
    )


@pytest.fixture
def episode(author):
    block = BlockFactory(item__part__episode__owner=author)
    Episode.objects.filter(pk=block.item.part.episode_id).update(title="Springtime")
    return Episode.objects.get(pk=block.item.part.episode_id)


def text(response):
    return response.content.decode()


# --- who ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["my-episodes", "my-duplications", "notifications", "home"])
def test_pages_lead_who_is_not_logged_in_to_the_log_in_and_back(db, name):
    url = reverse(name)
    assert Client().get(url)["Location"] == f"/login?next={url}"


def test_log_in_page_lets_somebody_in_who_is_no_staff(author):
    author.set_password("a long pass phrase")
    author.save()
    client = Client()
    assert "Log in" in text(client.get("/login"))
    wrong = client.post("/login", {"username": "olga", "password": "wrong"})
    assert "enter a correct username" in text(wrong)
    right = client.post(
        "/login?next=/my/episodes", {"username": "olga", "password": "a long pass phrase"}
    )
    assert right["Location"] in ("/", "/my/episodes")


def test_home_is_the_admin_for_staff_and_my_episodes_for_the_others(client, author):
    assert client.get("/")["Location"] == "/my/episodes"
    author.is_staff = True
    author.save()
    assert client.get("/")["Location"] == "/admin/"


def test_log_out_leads_to_the_log_in(client):
    assert client.post("/logout")["Location"] == "/login"


# --- my episodes ------------------------------------------------------------------------


def test_my_episodes_are_ones_own_visible_ones(client, episode):
    EpisodeFactory(title="Of somebody else")
    EpisodeFactory(title="In the making", owner=episode.owner, status="copying")
    page = text(client.get("/my/episodes"))
    assert "Springtime" in page
    assert reverse("my-episode-duplicate", args=[episode.pk]) in page
    assert "Of somebody else" not in page
    assert "In the making" not in page


def test_my_episodes_without_any_says_what_they_are(client):
    assert "You have no episodes yet" in text(client.get("/my/episodes"))


def test_my_episodes_that_match_no_words_leads_back(client, episode):
    assert "Springtime" in text(client.get("/my/episodes?q=spring"))
    page = text(client.get("/my/episodes?q=autumn"))
    assert "Springtime" not in page
    assert "Show all of them" in page


def test_my_episodes_shows_the_copy_in_the_making_instead_of_the_button(client, episode):
    started, _ = start_duplication(episode_id=episode.pk, requested_by=episode.owner)
    page = text(client.get("/my/episodes"))
    assert started.get_absolute_url() in page
    assert reverse("my-episode-duplicate", args=[episode.pk]) not in page


def test_my_episodes_without_the_permission_says_who_can_give_it(episode):
    episode.owner.user_permissions.clear()
    client = Client()
    client.force_login(episode.owner)
    page = text(client.get("/my/episodes"))
    assert "Can add duplication" in page
    assert reverse("my-episode-duplicate", args=[episode.pk]) not in page
    refused = client.get(reverse("my-episode-duplicate", args=[episode.pk]), follow=True)
    assert "ask an administrator" in text(refused)


# --- starting -----------------------------------------------------------------------------


def test_start_page_shows_what_is_in_it_and_starts_nothing(client, episode):
    page = text(client.get(reverse("my-episode-duplicate", args=[episode.pk])))
    assert "What is in it" in page
    assert "Springtime (copy)" in page
    assert not Duplication.objects.exists()


def start(client, episode, **data):
    url = reverse("my-episode-duplicate", args=[episode.pk])
    form = client.get(url).context["form"]
    sent = {"key": form["key"].value(), "title": "Summer", "media_strategy": "share", **data}
    return client.post(url, sent), sent


def test_start_leads_to_the_copys_page_and_twice_is_once(client, episode):
    response, sent = start(client, episode)
    duplication = Duplication.objects.get()
    assert response["Location"] == duplication.get_absolute_url()
    assert (duplication.title, duplication.requested_by) == ("Summer", episode.owner)

    again = client.post(reverse("my-episode-duplicate", args=[episode.pk]), sent)
    assert again["Location"] == duplication.get_absolute_url()
    assert Duplication.objects.count() == 1


def test_start_with_files_of_its_own_is_kept(client, episode):
    start(client, episode, media_strategy="copy")
    assert Duplication.objects.get().media_strategy == "copy"


@pytest.mark.parametrize("data", [{"title": ""}, {"media_strategy": "steal"}, {"key": "x"}])
def test_start_with_bad_input_says_where_and_starts_nothing(client, episode, data):
    response, _ = start(client, episode, **data)
    assert response.status_code == 200
    assert response.context["form"].errors.keys() == data.keys()
    assert not Duplication.objects.exists()


def test_start_of_somebody_elses_episode_is_not_found(client):
    url = reverse("my-episode-duplicate", args=[EpisodeFactory().pk])
    assert client.get(url).status_code == 404
    assert client.post(url).status_code == 404


# --- my duplications ------------------------------------------------------------------------


def test_my_duplications_are_those_one_asked_for(client, episode):
    start_duplication(episode_id=episode.pk, requested_by=episode.owner, title="Mine")
    theirs, _ = start_duplication(
        episode_id=EpisodeFactory().pk, requested_by=UserFactory(), title="Theirs"
    )
    page = text(client.get("/my/duplications"))
    assert "Mine" in page
    assert "Theirs" not in page
    assert client.get(theirs.get_absolute_url()).status_code == 404


def test_my_duplications_without_any_says_how_to_begin(client):
    assert "You have not duplicated anything yet" in text(client.get("/my/duplications"))


def test_duplication_page_says_that_one_may_leave(client, episode, worker):
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=episode.owner)
    page = text(client.get(duplication.get_absolute_url()))
    assert "You can close this page" in page
    assert "/operations/duplication/" in page  # the buttons


def test_pages_say_in_plain_words_that_no_worker_runs(client, episode):
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=episode.owner)
    for url in (duplication.get_absolute_url(), "/my/duplications"):
        page = text(client.get(url))
        assert "the program that does this work isn't running" in page
        assert "starts in a moment" not in page
        assert "run_workers" not in page
    run_to_end(duplication)
    for url in (duplication.get_absolute_url(), "/my/duplications"):
        assert "isn't running" not in text(client.get(url))


@pytest.mark.parametrize(("seconds", "is_late"), [(60, False), (-60, True)])
def test_duplication_page_of_one_that_waits_promises_a_look_and_no_more(
    client, episode, worker, seconds, is_late
):
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=episode.owner)
    Duplication.objects.filter(pk=duplication.pk).update(
        waiting_reason="The switch “duplication” is off.",
        waiting_since=timezone.now(),
        waiting_until=timezone.now() + dt.timedelta(seconds=seconds),
    )
    page = " ".join(text(client.get(duplication.get_absolute_url())).split())
    assert "It goes on at" not in page
    assert "slowed down" not in page
    assert ('data-due-is="ahead" hidden> We look again at' in page) is is_late
    assert ('data-due-is="past" hidden> We were to look again at' in page) is not is_late


def test_duplication_page_of_a_complete_one_leads_to_the_copy(client, episode):
    duplication = duplicate(episode, requested_by=episode.owner)
    page = text(client.get(duplication.get_absolute_url()))
    assert "Your copy is ready" in page
    assert "See it among your episodes" in page
    assert reverse("my-duplication-remove", args=[duplication.pk]) in page


def test_duplication_page_of_a_failed_one_has_no_traceback_and_a_way_on(client, episode):
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=episode.owner)
    job = duplication.jobs.get()
    control.fail(
        DUPLICATION, job, code="Boom", message="Boom: secret", trace="Traceback: in secret.py"
    )
    page = text(client.get(duplication.get_absolute_url()))
    assert "Something went wrong" in page
    assert f"Duplication {duplication.pk}" in page
    assert "secret" not in page
    assert f"/operations/duplication/{duplication.pk}/retry" in page


# --- taking a copy away -----------------------------------------------------------------------


def test_remove_asks_first_and_then_takes_the_copy_away(client, episode):
    duplication = duplicate(episode, requested_by=episode.owner)
    url = reverse("my-duplication-remove", args=[duplication.pk])

    assert "The original isn" in text(client.get(url))
    assert not duplication.removals.exists()

    assert client.post(url)["Location"] == duplication.get_absolute_url()
    assert duplication.removals.count() == 1
    assert "being taken away" in text(client.get(duplication.get_absolute_url()))


def test_remove_copy_that_was_edited_asks_once_more_with_the_reason(client, episode):
    duplication = duplicate(episode, requested_by=episode.owner)
    part = duplication.new_episode.parts.get()
    part.name = "Edited"
    part.save()
    url = reverse("my-duplication-remove", args=[duplication.pk])

    asked = text(client.post(url))

    assert "Remove it even so" in asked
    assert not duplication.removals.exists()
    client.post(url, {"even_if_changed": "on"})
    assert duplication.removals.get().even_if_changed


def test_refused_removal_says_why_and_the_copy_can_be_kept(client, episode):
    duplication = duplicate(episode, requested_by=episode.owner)
    duplication.new_episode.parts.update(name="by SQL")
    removal = remove(duplication, requested_by=episode.owner)
    url = reverse("my-duplication-keep", args=[duplication.pk])
    page = text(client.get(duplication.get_absolute_url()))
    assert removal.error_message in page
    assert url in page

    assert "stays as it is" in text(client.get(url))
    client.post(url)

    removal.refresh_from_db()
    assert removal.status == "cancelled"
    assert url not in text(client.get(duplication.get_absolute_url()))


def test_remove_where_nothing_is_left_says_so(client, episode):
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=episode.owner)
    response = client.post(reverse("my-duplication-remove", args=[duplication.pk]), follow=True)
    assert "is still under way" in text(response)


# --- the bell -----------------------------------------------------------------------------------


def test_bell_rings_for_ones_own_ends_until_they_were_seen(client, episode):
    duplication = duplicate(episode, requested_by=episode.owner)
    duplicate(EpisodeFactory(), requested_by=UserFactory())

    page = client.get("/operations/notifications")
    assert [each.pk for each in page.context["operations"]] == [duplication.pk]
    assert duplication.get_absolute_url() in text(page)

    client.get(duplication.get_absolute_url())
    assert "Nothing new" in text(client.get("/operations/notifications"))


def test_bell_rings_on_while_only_hidden_pages_show_the_end(client, episode):
    duplication = duplicate(episode, requested_by=episode.owner)
    client.get(duplication.get_absolute_url(), headers={"X-Live-Refresh": "hidden"})
    assert "Nothing new" not in text(client.get("/operations/notifications"))
    client.get(duplication.get_absolute_url(), headers={"X-Live-Refresh": "visible"})
    assert "Nothing new" in text(client.get("/operations/notifications"))


def test_bell_is_silent_while_the_copy_is_being_made(client, episode):
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=episode.owner)
    client.get(duplication.get_absolute_url())
    run_to_end(duplication)
    page = client.get("/operations/notifications")
    assert [each.pk for each in page.context["operations"]] == [duplication.pk]


def test_bell_all_read_at_once(client, episode):
    duplicate(episode, requested_by=episode.owner)
    duplicate(episode, requested_by=episode.owner)
    assert client.get("/operations/notifications/seen").status_code == 405
    client.post("/operations/notifications/seen")
    assert "Nothing new" in text(client.get("/operations/notifications"))


def test_bell_rings_again_after_a_retry(client, episode):
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=episode.owner)
    control.fail(DUPLICATION, duplication.jobs.get(), code="Boom", message="Boom", trace="")
    client.get(duplication.get_absolute_url())
    control.retry(DUPLICATION, duplication)
    run_to_end(duplication)
    assert len(client.get("/operations/notifications").context["operations"]) == 1


# --- many at once ------------------------------------------------------------------------------


def control_selected(client, **data):
    return client.post(reverse("my-duplications-control"), data, follow=True)


@pytest.fixture
def two(episode):
    return [
        start_duplication(
            episode_id=episode.pk, requested_by=episode.owner, beside_active=True
        ).duplication
        for _ in range(2)
    ]


def test_selected_ones_are_paused_and_the_refused_told(client, episode, two):
    done = duplicate(episode, requested_by=episode.owner, beside_active=True)
    theirs, _ = start_duplication(episode_id=EpisodeFactory().pk, requested_by=UserFactory())
    ids = [each.pk for each in (*two, done, theirs)]

    page = text(control_selected(client, verb="pause", ids=ids))

    assert "2 duplications were asked to pause" in page
    assert f"{done} is completed" in page
    assert f"There is no duplication {theirs.pk}" in page
    theirs.refresh_from_db()
    assert theirs.status == "pending"


def test_selected_ones_are_cancelled_only_when_one_is_sure(client, two):
    ids = [each.pk for each in two]
    asked = text(control_selected(client, verb="cancel", ids=ids))
    assert "Cancel 2 duplications?" in asked
    assert set(Duplication.objects.values_list("status", flat=True)) == {"pending"}

    control_selected(client, verb="cancel", ids=ids, sure="yes")
    assert set(Duplication.objects.values_list("status", flat=True)) == {"cancelled"}


@pytest.mark.parametrize("data", [{}, {"verb": "pause"}, {"verb": "explode", "ids": ["1"]}])
def test_selected_none_does_nothing_and_says_so(client, two, data):
    assert "tick some of them first" in text(control_selected(client, **data))
    assert set(Duplication.objects.values_list("status", flat=True)) == {"pending"}
