from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from content.models import Block, Episode, Part
from content.services import delete_nodes
from content.synthetic import make_episode
from duplication import stages
from duplication.kind import DUPLICATION
from duplication.models import Duplication, Removal
from duplication.services import start_duplication
from operations import control, events, runner
from tests.duplication.driving import duplicate, remove, run_stage, run_to_end
from tests.factories.content import EpisodeFactory, UserFactory

pytestmark = pytest.mark.django_db

EPISODES = "/admin/content/episode/"
START = "/admin/duplication/duplication/start/"
LIST = "/admin/duplication/duplication/"
STAGES = [stage.label for stage in stages.STAGES]


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def admin() -> User:
    return UserFactory(is_staff=True, is_superuser=True)


@pytest.fixture
def browser(admin: User) -> Client:
    return client_of(admin)


@pytest.fixture
def episode() -> Episode:
    return make_episode(parts=2, items=2, blocks=3, title="A <b>bold</b> title")


def staff(*permissions: str) -> User:
    return UserFactory(is_staff=True, permissions=list(permissions))


def page_of(duplication: Duplication) -> str:
    return reverse("admin:duplication_duplication_change", args=[duplication.pk])


def choose(client: Client, *episodes: Episode, across: bool = False) -> Any:
    return client.post(
        EPISODES,
        {
            "index": 0,
            "action": "duplicate_selected",
            "_selected_action": [each.pk for each in episodes],
            "select_across": int(across),
        },
    )


def filled_form(client: Client, *episodes: Episode, **changes: str) -> dict[str, str]:
    """What a browser would send from the page of these episodes."""
    response = client.get(START, {"ids": ",".join(str(each.pk) for each in episodes)})
    form = response.context["form"]
    return {name: str(form[name].value()) for name in form.fields} | changes


def told(response: Any) -> list[str]:
    messages = get_messages(response.wsgi_request)
    return [unescape(re.sub("<.*?>", "", str(each))) for each in messages]


def text_of(response: Any) -> str:
    return " ".join(unescape(re.sub("(?s)<.*?>", " ", response.text)).split())


def started(episode: Episode, user: User | None = None) -> Duplication:
    return start_duplication(episode_id=episode.pk, requested_by=user).duplication


# --- the action ------------------------------------------------------------------


def test_action_on_chosen_episodes_leads_to_the_start_page(
    browser: Client, episode: Episode
) -> None:
    other = EpisodeFactory()
    response = choose(browser, episode, other)
    assert response.url == f"{START}?ids={other.pk},{episode.pk}"
    assert not Duplication.objects.exists()


def test_action_without_a_chosen_episode_starts_nothing(browser: Client, episode: Episode) -> None:
    response = choose(browser)
    assert "Items must be selected" in told(response)[0]
    assert not Duplication.objects.exists()


def test_action_on_more_than_fifty_episodes_is_refused(browser: Client) -> None:
    episodes = EpisodeFactory.create_batch(51)
    for response in (choose(browser, *episodes), choose(browser, episodes[0], across=True)):
        assert response.url == EPISODES
        assert "more than 50 episodes are chosen" in told(response)[0]


def test_action_on_all_of_fifty_episodes_leads_to_the_start_page(browser: Client) -> None:
    episodes = EpisodeFactory.create_batch(50)
    response = browser.get(choose(browser, episodes[0], across=True).url)
    assert len(response.context["choices"]) == 50


@pytest.mark.parametrize(
    ("permissions", "offered"),
    [(["view_episode"], False), (["view_episode", "add_duplication"], True)],
)
def test_action_is_offered_to_who_may_duplicate(
    permissions: list[str], offered: bool, episode: Episode
) -> None:
    page = client_of(staff(*permissions)).get(EPISODES)
    assert ("Duplicate selected episodes" in page.text) is offered


# --- the start page ----------------------------------------------------------------


def test_start_page_shows_what_a_copy_is_and_changes_nothing(
    browser: Client, episode: Episode
) -> None:
    response = browser.get(START, {"ids": episode.pk})
    text = text_of(response)
    assert "A &lt;b&gt;bold&lt;/b&gt; title" in response.text
    assert "nobody Will be copied" in text
    assert "Parts 2 Items 4 Blocks 12 Media files None Links None" in text
    assert "Owner: you" in text
    assert "Status: Draft, once it is verified" in text
    assert response.context["form"]["title"].value() == "A <b>bold</b> title (copy)"
    assert not Duplication.objects.exists()


def test_start_page_of_several_takes_a_bounded_number_of_queries_for_each(
    browser: Client,
) -> None:
    counts = []
    for number in (2, 5):
        for _ in range(number):
            started(make_episode(parts=1, items=2, blocks=3, owner=UserFactory()))
        ids = ",".join(map(str, Episode.objects.visible().values_list("pk", flat=True)[:number]))
        with CaptureQueriesContext(connection) as queries:
            assert "1 2 6" in text_of(browser.get(START, {"ids": ids}))
        counts.append(len(queries))
    # More episodes, what is counted (rows, files, links), levels, statements of a walk.
    assert counts[1] - counts[0] <= 3 * 3 * 3 * 8


def test_start_page_says_which_are_being_copied_already(browser: Client, episode: Episode) -> None:
    duplication = started(episode)
    response = browser.get(START, {"ids": episode.pk})
    assert "Already being copied" in response.text
    assert f'href="{page_of(duplication)}"' in response.text
    assert '<input type="submit"' not in response.text


def test_start_page_says_why_an_episode_cannot_be_duplicated(episode: Episode) -> None:
    client = client_of(staff("view_episode", "add_duplication"))
    text = text_of(client.get(START, {"ids": episode.pk}))
    assert f"Can't be duplicated Episode {episode.pk} belongs to somebody else" in text
    client = client_of(staff("view_episode", "change_episode", "add_duplication"))
    assert "Will be copied" in client.get(START, {"ids": episode.pk}).text


def test_start_page_without_the_permission_says_which_one(episode: Episode) -> None:
    client = client_of(staff("view_episode", "change_episode", "view_duplication"))
    assert "Can add duplication" in client.get(START, {"ids": episode.pk}).text


def test_start_page_counts_what_is_not_there_any_more(browser: Client, episode: Episode) -> None:
    copying = EpisodeFactory(status=Episode.Status.COPYING)
    text = text_of(browser.get(START, {"ids": f"{episode.pk},{copying.pk},999999999"}))
    assert "2 more were chosen that aren't there any more" in text


@pytest.mark.parametrize("ids", ["", "x", "999999999", "0,-1", ",".join(["9" * 30] * 60)])
def test_start_page_without_an_episode_leads_back(browser: Client, ids: str) -> None:
    response = browser.get(START, {"ids": ids})
    assert response.url == EPISODES
    assert told(response) == ["No episode is chosen that is there and yours to see."]


def test_start_page_is_closed_to_who_is_not_staff(client: Client, episode: Episode) -> None:
    assert "/login/" in client.get(START, {"ids": episode.pk}).url
    assert "/login/" in client_of(UserFactory()).post(START, {"ids": episode.pk}).url


# --- starting ------------------------------------------------------------------------


def test_start_of_one_leads_to_its_page(browser: Client, admin: User, episode: Episode) -> None:
    response = browser.post(START, filled_form(browser, episode, title="Mine"))
    duplication = Duplication.objects.get()
    assert response.url == page_of(duplication)
    assert told(response) == [f"Started Duplication {duplication.pk}."]
    assert (duplication.title, duplication.requested_by) == ("Mine", admin)


def test_start_with_an_empty_title_takes_the_originals(browser: Client, episode: Episode) -> None:
    browser.post(START, filled_form(browser, episode, title=" "))
    assert Duplication.objects.get().title == "A <b>bold</b> title (copy)"


def test_start_of_several_leads_to_the_list(browser: Client, episode: Episode) -> None:
    form = filled_form(browser, episode, EpisodeFactory(title="Other"))
    assert "title" not in form
    response = browser.post(START, form)
    assert response.url == LIST
    assert told(response)[0].startswith("Started 2 duplications: ")
    titles = set(Duplication.objects.values_list("title", flat=True))
    assert titles == {"A <b>bold</b> title (copy)", "Other (copy)"}


def test_start_sent_twice_starts_once(browser: Client, episode: Episode) -> None:
    form = filled_form(browser, episode)
    browser.post(START, form)
    run_to_end(Duplication.objects.get())
    response = browser.post(START, form)
    duplication = Duplication.objects.get()
    assert response.url == page_of(duplication)
    assert f"No second copy of “{episode.title}” was started" in told(response)[-1]
    # A page that is opened anew is a new wish.
    browser.post(START, filled_form(browser, episode))
    assert Duplication.objects.count() == 2


def test_start_sent_again_with_another_title_is_refused(browser: Client, episode: Episode) -> None:
    form = filled_form(browser, episode)
    browser.post(START, form)
    response = browser.post(START, form | {"title": "Another"})
    assert response.url == EPISODES
    assert "this page was sent before" in told(response)[-1]
    assert Duplication.objects.count() == 1


def test_start_while_a_copy_is_being_made_starts_no_second(
    browser: Client, episode: Episode
) -> None:
    form = filled_form(browser, episode)
    duplication = started(episode)
    response = browser.post(START, form)
    assert response.url == page_of(duplication)
    assert "No second copy" in told(response)[0]
    assert Duplication.objects.count() == 1


def test_start_keeps_a_title_that_is_too_long_to_be_mended(
    browser: Client, episode: Episode
) -> None:
    response = browser.post(START, filled_form(browser, episode, title="x" * 256))
    assert response.status_code == 200
    assert "at most 255 characters" in response.text
    assert not Duplication.objects.exists()


def test_start_without_permission_starts_nothing(episode: Episode) -> None:
    client = client_of(staff("view_episode", "add_duplication"))
    response = client.post(START, filled_form(client, episode))
    assert "belongs to somebody else" in told(response)[0]
    assert not Duplication.objects.exists()


def test_start_of_several_starts_those_that_may_be(episode: Episode) -> None:
    owner = staff("view_episode", "add_duplication")
    client = client_of(owner)
    own = EpisodeFactory(owner=owner)
    response = client.post(START, filled_form(client, episode, own))
    assert response.url == LIST
    assert [each.episode for each in Duplication.objects.all()] == [own]
    assert len(told(response)) == 2


def test_start_of_more_than_fifty_is_refused(browser: Client, episode: Episode) -> None:
    form = filled_form(browser, episode, ids=",".join(map(str, range(1, 52))))
    assert "more than 50" in told(browser.post(START, form))[0]


@pytest.mark.parametrize("key", ["", "x"])
def test_start_without_the_pages_key_starts_nothing(
    browser: Client, episode: Episode, key: str
) -> None:
    response = browser.post(START, filled_form(browser, episode, key=key))
    assert response.status_code == 200
    assert not Duplication.objects.exists()


def test_start_without_a_csrf_token_is_refused(admin: User, episode: Episode) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin)
    assert client.post(START, filled_form(client, episode)).status_code == 403
    assert not Duplication.objects.exists()


# --- one in each state ---------------------------------------------------------------


def pending(duplication: Duplication) -> None:
    pass


def in_progress(duplication: Duplication) -> None:
    run_stage(duplication, "items")


def waiting(duplication: Duplication) -> None:
    run_stage(duplication, "items")
    Duplication.objects.filter(pk=duplication.pk).update(
        waiting_reason="The database is busy: 86 % > 80 %.",
        waiting_since=timezone.now(),
        waiting_until=dt.datetime(2030, 1, 1, 12, 4, 31, tzinfo=dt.UTC),
    )


def pausing(duplication: Duplication) -> None:
    run_stage(duplication, "parts")
    Duplication.objects.filter(pk=duplication.pk).update(requested="pause")


def paused(duplication: Duplication) -> None:
    run_stage(duplication, "parts")
    control.request_pause(DUPLICATION, duplication)


def cancelled(duplication: Duplication) -> None:
    control.request_cancel(DUPLICATION, duplication)


def failed(duplication: Duplication) -> None:
    delete_nodes(model=Episode, ids=[duplication.org_episode_id])
    run_to_end(duplication)
    assert duplication.status == "failed"
    duplication.jobs.update(traceback="Traceback …\n<script>alert(1)</script>")


def completed(duplication: Duplication) -> None:
    run_to_end(duplication)
    assert duplication.status == "completed"


STATES: dict[str, Callable[[Duplication], None]] = {
    "Pending": pending,
    "In progress": in_progress,
    "Waiting": waiting,
    "Pausing": pausing,
    "Paused": paused,
    "Cancelled": cancelled,
    "Failed": failed,
    "Completed": completed,
}
ACTIVE = {"Pending", "In progress", "Waiting", "Pausing", "Paused"}


class Offences(HTMLParser):
    """What the Content-Security-Policy forbids on a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        names = {name for name, _ in attributes}
        if tag == "style" or (tag == "script" and "src" not in names):
            self.found.append(tag)
        self.found += [name for name in names if name == "style" or name.startswith("on")]


@pytest.mark.parametrize("word", STATES)
def test_pages_show_a_duplication_in_each_state(
    browser: Client, episode: Episode, admin: User, word: str
) -> None:
    duplication = started(episode, admin)
    STATES[word](duplication)
    for url in (page_of(duplication), LIST):
        response = browser.get(url)
        assert response.status_code == 200
        assert re.search(rf'class="state"[^>]*>{word}</span>', response.text)
        # A failed one is followed on its own page: somebody may retry it.
        is_followed = word in ACTIVE or (word == "Failed" and url != LIST)
        assert ("<progress-feed" in response.text) is is_followed
        assert Offences(response.text).found == []
    page = browser.get(page_of(duplication))
    assert [each.label for each in page.context["stages"]] == STAGES
    assert f"asked for by {admin.username}" in text_of(page)


def test_page_of_a_waiting_one_says_why_and_until_when(browser: Client, episode: Episode) -> None:
    duplication = started(episode)
    waiting(duplication)
    text = text_of(browser.get(page_of(duplication)))
    assert "Why it waits: The database is busy: 86 % > 80 %. It looks again at 12:04:31 ." in text


def test_page_of_a_failed_one_says_why_with_the_traceback_escaped(
    browser: Client, episode: Episode
) -> None:
    duplication = started(episode)
    failed(duplication)
    response = browser.get(page_of(duplication))
    assert "original_episode_not_found" in response.text
    assert "was deleted before its copy was complete" in response.text
    assert "<details>" in response.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in response.text
    assert "<script>alert" not in response.text


def test_page_of_a_completed_one_has_stages_report_and_ways_on(
    browser: Client, episode: Episode
) -> None:
    duplication = started(episode)
    completed(duplication)
    response = browser.get(page_of(duplication))
    text = text_of(response)
    assert re.search(r"Blocks 12 12 [\d,]+ rows/s took", text)
    assert "Verified" in text
    assert "Blocks 12 12 0 0 0 0 none" in text
    assert "Nothing changed in the original while it was being copied." in text
    assert f'href="/admin/content/episode/{duplication.new_episode_id}/change/"' in response.text
    assert f'href="/admin/content/episode/{episode.pk}/change/"' in response.text
    assert f'href="{START}?ids={episode.pk}"' in response.text


def test_page_counts_rows_that_went_before_they_were_copied_as_skipped(
    browser: Client, episode: Episode
) -> None:
    duplication = started(episode)
    run_stage(duplication, "items")
    # Counts them, and copies none yet.
    runner.run("duplication", duplication.jobs.get(stage="blocks").pk, budget_seconds=0)
    delete_nodes(model=Block, ids=[Block.objects.latest("pk").pk])
    run_to_end(duplication)
    assert duplication.status == "completed", duplication.error_message
    assert "Blocks 12 11 1 0 0 0 none" in text_of(browser.get(page_of(duplication)))


def test_page_after_original_and_copy_were_deleted_says_so(
    browser: Client, episode: Episode
) -> None:
    duplication = started(episode)
    completed(duplication)
    delete_nodes(model=Episode, ids=[episode.pk, duplication.new_episode_id])
    text = text_of(browser.get(page_of(duplication)))
    assert "The copy has been deleted since." in text
    assert "The original has been deleted since." in text
    assert f"Episode {duplication.org_episode_id} (deleted)" in text_of(browser.get(LIST))


def test_page_shows_the_last_fifty_events_newest_first(browser: Client, episode: Episode) -> None:
    duplication = started(episode)
    for number in range(60):
        events.append(duplication, "feedback", stage="verify", payload={"message": f"n{number}"})
    response = browser.get(page_of(duplication))
    rows = response.context["history"].rows
    assert [each.message for each in rows] == [f"N{number}" for number in range(59, 9, -1)]
    assert {each.stage for each in rows} == {"Verification"}
    assert 'after="60"' in response.text


def test_page_of_an_active_one_is_true_without_javascript(
    browser: Client, episode: Episode
) -> None:
    duplication = started(episode)
    run_stage(duplication, "blocks")
    response = browser.get(page_of(duplication))
    # All rows are there and none is verified: half of what is to be done.
    assert re.search(r'<progress max="100"\s+value="50"', response.text)
    assert "Reload to see the current state." in response.text
    assert "Blocks 12 12" in text_of(response)


def test_page_changes_nothing_by_post(browser: Client, episode: Episode) -> None:
    duplication = started(episode)
    assert browser.post(page_of(duplication), {"title": "x"}).status_code == 405


def test_page_takes_a_bounded_number_of_queries(browser: Client, episode: Episode) -> None:
    duplication = started(episode)
    completed(duplication)
    with CaptureQueriesContext(connection) as queries:
        browser.get(page_of(duplication))
    # Session and user, the row, events and audit, findings, whether to catch up or remove it.
    assert len(queries) <= 20


@pytest.mark.parametrize("object_id", ["999999999", "x", "9" * 40])
def test_page_of_an_unknown_duplication_leads_to_the_list(browser: Client, object_id: str) -> None:
    response = browser.get(f"{LIST}{object_id}/change/")
    assert response.url == LIST
    assert told(response) == [f"There is no duplication “{object_id}”, or it isn't yours to see."]


# --- who sees what ---------------------------------------------------------------------


def test_pages_show_ones_own_to_who_may_duplicate(episode: Episode) -> None:
    user = staff("add_duplication")
    own, other = started(EpisodeFactory(owner=user), user), started(episode)
    client = client_of(user)
    assert [each.pk for each in client.get(LIST).context["cl"].result_list] == [own.pk]
    assert client.get(page_of(own)).status_code == 200
    assert client.get(page_of(other)).url == LIST


def test_pages_show_all_to_who_may_view_duplications(episode: Episode) -> None:
    duplication = started(episode)
    client = client_of(staff("view_duplication"))
    assert [each.pk for each in client.get(LIST).context["cl"].result_list] == [duplication.pk]
    response = client.get(page_of(duplication))
    # The episodes themselves aren't theirs to see.
    assert "Open the original" not in response.text
    assert "Duplicate again" not in response.text


def test_page_offers_to_control_only_to_who_may(episode: Episode, admin: User) -> None:
    duplication = started(episode, admin)
    text = client_of(staff("view_duplication")).get(page_of(duplication)).text
    assert "data-verb" not in text
    assert 'data-verb="pause"' in client_of(admin).get(page_of(duplication)).text


def test_pages_are_closed_to_other_staff(episode: Episode) -> None:
    client = client_of(staff("view_episode"))
    assert client.get(LIST).status_code == 403
    assert client.get(page_of(started(episode))).status_code != 200


def test_duplications_can_not_be_added_or_deleted_by_hand(
    browser: Client, episode: Episode
) -> None:
    duplication = started(episode)
    assert browser.get(f"{LIST}add/").status_code == 403
    assert browser.post(f"{LIST}{duplication.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Duplication.objects.exists()


# --- the list ----------------------------------------------------------------------------


def test_list_takes_the_same_number_of_queries_for_more_rows(browser: Client) -> None:
    counts = []
    for _ in range(2):
        for _ in range(3):
            user = UserFactory()
            completed(started(EpisodeFactory(), user))
            started(EpisodeFactory(), user)
        with CaptureQueriesContext(connection) as queries:
            assert browser.get(LIST).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 6
    unbounded = [
        each["sql"]
        for each in queries
        if "COUNT(" in each["sql"].upper() and "LIMIT" not in each["sql"]
    ]
    assert unbounded == []


@pytest.mark.parametrize("by", ["id", "org_episode_id", "title", "new_episode_id"])
def test_list_search_finds_by_ids_and_title(browser: Client, episode: Episode, by: str) -> None:
    started(EpisodeFactory(title="Something else"))
    duplication = started(episode)
    completed(duplication)
    response = browser.get(LIST, {"q": str(getattr(duplication, by))})
    assert duplication in response.context["cl"].result_list


def test_list_search_leaves_others_out(browser: Client, episode: Episode) -> None:
    started(episode)
    other = started(EpisodeFactory(title="Something else"))
    assert list(browser.get(LIST, {"q": "thing"}).context["cl"].result_list) == [other]


def test_list_filters_by_status(browser: Client, episode: Episode) -> None:
    started(EpisodeFactory())
    duplication = started(episode)
    completed(duplication)
    response = browser.get(LIST, {"status__exact": "completed"})
    assert list(response.context["cl"].result_list) == [duplication]


def test_list_without_any_says_how_to_make_one(browser: Client) -> None:
    assert "No episode has been duplicated yet." in text_of(browser.get(LIST))
    assert "No episode has been duplicated yet." not in text_of(browser.get(LIST, {"q": "x"}))


# --- steering ----------------------------------------------------------------------------


def test_page_of_a_failed_one_offers_to_retry(browser: Client, episode: Episode) -> None:
    duplication = started(episode)
    failed(duplication)
    response = browser.get(page_of(duplication))
    shown = re.findall(
        r'data-statuses="[^"]*"\s*(hidden)?>(?s:.*?)data-verb="(\w+)"', response.text
    )
    assert [verb for hidden, verb in shown if not hidden] == ["retry"]


def test_page_says_who_did_what(browser: Client, admin: User, episode: Episode) -> None:
    duplication = started(episode, admin)
    other = UserFactory()
    control.request_pause(DUPLICATION, duplication, by=other)
    control.resume(DUPLICATION, duplication, by=admin)
    deeds = browser.get(page_of(duplication)).context["audit"]
    assert [(deed.what, deed.who) for deed in deeds] == [
        ("Asked for it", admin.username),
        ("Pause requested", other.username),
        ("Resumed", admin.username),
    ]


def test_list_action_pauses_the_chosen(browser: Client, episode: Episode) -> None:
    duplication, ended = started(episode), started(EpisodeFactory())
    completed(ended)
    response = browser.post(
        LIST, {"action": "pause_selected", "_selected_action": [duplication.pk, ended.pk]}
    )
    assert told(response) == [
        "1 duplication was asked to pause.",
        f"{ended} is completed: it can't pause.",
    ]
    duplication.refresh_from_db()
    assert duplication.status == "paused"


# --- taking a copy away ------------------------------------------------------------------


def remove_url(duplication: Duplication) -> str:
    return reverse("admin:duplication_duplication_remove", args=[duplication.pk])


def ways_on(client: Client, duplication: Duplication) -> dict[str, str]:
    ways = client.get(page_of(duplication)).context["ways_on"]
    return {way.label: way.url for way in ways}


def test_page_of_a_completed_one_offers_to_undo_it(browser: Client, episode: Episode) -> None:
    duplication = started(episode)
    completed(duplication)
    assert ways_on(browser, duplication)["Undo…"] == remove_url(duplication)
    response = browser.get(remove_url(duplication))
    assert "is hidden at once and then removed" in response.text
    assert not Removal.objects.exists()


def test_undo_starts_a_removal_and_leads_to_its_page(browser: Client, episode: Episode) -> None:
    duplication = started(episode)
    completed(duplication)
    response = browser.post(remove_url(duplication))
    removal = Removal.objects.get()
    assert response.url == reverse("admin:duplication_removal_change", args=[removal.pk])
    assert browser.get(response.url).status_code == 200
    assert "Undo…" not in ways_on(browser, duplication)
    assert ways_on(browser, duplication)["Open the removal"] == response.url


def test_undo_of_an_edited_copy_says_so_and_asks_once_more(
    browser: Client, episode: Episode
) -> None:
    duplication = started(episode)
    completed(duplication)
    copy = duplication.new_episode
    copy.title = "Edited"
    copy.save()
    response = browser.post(remove_url(duplication))
    assert f"episode {copy.pk} (edited)" in response.text
    assert not Removal.objects.exists()
    browser.post(remove_url(duplication), {"even_if_changed": "yes"})
    assert Removal.objects.get().even_if_changed


def test_undo_of_what_is_still_being_made_is_refused(browser: Client, episode: Episode) -> None:
    duplication = started(episode)
    assert "Undo…" not in ways_on(browser, duplication)
    assert "still under way" in told(browser.post(remove_url(duplication)))[0]


def test_undo_is_refused_to_who_may_not(episode: Episode, admin: User) -> None:
    duplication = started(episode, admin)
    completed(duplication)
    client = client_of(staff("view_duplication"))
    assert "Undo…" not in ways_on(client, duplication)
    assert "somebody else's" in told(client.post(remove_url(duplication)))[0]
    assert not Removal.objects.exists()


@pytest.fixture
def refused(browser: Client, episode: Episode, admin: User) -> Removal:
    """A removal that found on its way that the copy was changed."""
    duplication = duplicate(episode, requested_by=admin)
    Part.objects.filter(episode=duplication.new_episode).update(name="by SQL")
    removal = remove(duplication, requested_by=admin)
    assert removal.error_code == "changed_since"
    return removal


def ways_of(client: Client, removal: Removal) -> dict[str, str]:
    page = client.get(reverse("admin:duplication_removal_change", args=[removal.pk]))
    return {way.label: way.url for way in page.context["ways_on"]}


def test_refused_removal_is_settled_by_keeping_the_copy(browser: Client, refused: Removal) -> None:
    attention = browser.get("/admin/operations/").context["attention"]
    assert [entry.operation for entry in attention.shown] == [refused]
    url = ways_of(browser, refused)["Keep the copy…"]
    assert "stays as it is" in browser.get(url).text
    assert Removal.objects.get().status == "failed"

    assert told(browser.post(url)) == ["The copy is kept."]

    assert browser.get("/admin/operations/").context["attention"].shown == []
    assert "Keep the copy…" not in ways_of(browser, refused)
    assert "Undo…" in ways_on(browser, refused.duplication)
    assert "nothing to keep" in told(browser.get(url))[0]


def test_refused_removal_offers_to_go_on_even_so(browser: Client, refused: Removal) -> None:
    url = ways_of(browser, refused)["Remove it even so…"]
    asked = browser.get(url)
    assert refused.error_message in unescape(asked.text)
    assert 'name="even_if_changed"' in asked.text
    browser.post(url, {"even_if_changed": "yes"})
    run_to_end(refused)
    assert refused.status == "completed"


def test_keeping_the_copy_is_not_offered_to_who_may_only_look(refused: Removal) -> None:
    client = client_of(staff("view_removal", "view_duplication"))
    assert set(ways_of(client, refused)) == {"Open the duplication"}
    url = reverse("admin:duplication_removal_keep", args=[refused.pk])
    assert "somebody else's" in told(client.post(url))[0]
    refused.refresh_from_db()
    assert refused.status == "failed"


@pytest.mark.parametrize("model", ["removal", "catchup"])
def test_lists_of_what_is_done_to_copies_say_how_to_begin(browser: Client, model: str) -> None:
    assert "own page offers it" in browser.get(f"/admin/duplication/{model}/").text


def test_dashboard_leaves_out_a_failed_one_whose_copy_is_taken_away(
    browser: Client, episode: Episode
) -> None:
    duplication = started(episode)
    failed(duplication)
    attention = browser.get("/admin/operations/").context["attention"]
    assert [entry.operation for entry in attention.shown] == [duplication]
    Duplication.objects.update(deletion_began_at=timezone.now())
    assert browser.get("/admin/operations/").context["attention"].shown == []
