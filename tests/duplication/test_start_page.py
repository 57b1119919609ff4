"""The page before the start: what it tells of the copies, and what the form asks."""

from __future__ import annotations

import io
import json
import re
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.test import Client
from rest_framework.test import APIClient
from waffle.testutils import override_switch

from content.models import Episode
from content.synthetic import make_episode
from duplication.models import Duplication
from duplication.services import MEDIA_REQUIRED_NEEDS_COPY, start_duplication
from tests.duplication.driving import duplicate
from tests.factories.content import BlockFactory, EpisodeFactory, ItemFactory, UserFactory

pytestmark = pytest.mark.django_db

START = "/admin/duplication/duplication/start/"
PREVIEW = "/api/v1/duplications/preview"


@pytest.fixture(autouse=True)
def enough_time(settings: Any, tmp_path: Any) -> None:
    settings.DUPLICATION_PREVIEW_SECONDS = 60.0
    settings.MEDIA_ROOT = tmp_path


@pytest.fixture
def admin() -> User:
    return UserFactory(is_staff=True, is_superuser=True)


@pytest.fixture
def browser(admin: User) -> Client:
    client = Client()
    client.force_login(admin)
    return client


@pytest.fixture
def episode() -> Episode:
    return make_episode(parts=2, items=2, blocks=3)


def text_of(response: Any) -> str:
    assert response.status_code == 200
    return " ".join(unescape(re.sub("(?s)<.*?>", " ", response.text)).split())


def filled_form(client: Client, *episodes: Episode, **changes: str) -> dict[str, str]:
    """What a browser would send; a box that isn't ticked isn't sent."""
    response = client.get(START, {"ids": ",".join(str(each.pk) for each in episodes)})
    form = response.context["form"]
    values = {name: form[name].value() for name in form.fields}
    return {name: str(value) for name, value in values.items() if value is not False} | changes


# --- one episode -------------------------------------------------------------------


def test_page_of_one_tells_of_rows_media_links_and_time(browser: Client) -> None:
    elsewhere = ItemFactory()
    item = ItemFactory()
    BlockFactory(
        item=item, media="gone.mp3", field_1=f"content:item/{item.pk} content:item/{elsewhere.pk}"
    )
    text = text_of(browser.get(START, {"ids": item.part.episode_id}))
    assert "Parts 1 Items 1 Blocks 1" in text
    assert "Media files 1 file, 0 bytes 1 not in storage: gone.mp3" in text
    assert "Links 1 into this tree: will point into the copy 1 to other episodes" in text
    other = elsewhere.part.episode_id
    assert f"field_1: content:item/{elsewhere.pk} (episode {other})" in text
    unknown = "no such copy was made here yet, so nothing is known."
    assert (
        f"Expected time With the original's files: {unknown} With files of its own: {unknown}"
        in (text)
    )


def test_page_of_one_tells_both_times(browser: Client) -> None:
    default_storage.save("a.mp3", ContentFile(b"x"))
    episode = BlockFactory(media="a.mp3").item.part.episode
    duplicate(episode, media_strategy="copy")
    text = text_of(browser.get(START, {"ids": episode.pk}))
    assert "With the original's files: no such copy was made here yet" in text
    assert re.search("With files of its own: [^:]*, from 1 past copy here", text)
    duplicate(episode)
    text = text_of(browser.get(f"/my/episodes/{episode.pk}/duplicate"))
    assert text.count("from 1 past copy here") == 2


def test_page_of_one_without_files_tells_one_time(browser: Client, episode: Episode) -> None:
    text = text_of(browser.get(START, {"ids": episode.pk}))
    assert "Expected time No such copy was made here yet, so nothing is known." in text


def test_page_of_one_escapes_what_comes_from_the_content(browser: Client) -> None:
    block = BlockFactory(media="<script>alert(1)</script>")
    response = browser.get(START, {"ids": block.item.part.episode_id})
    assert "<script>alert" not in response.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in response.text


def test_page_of_one_without_time_says_not_counted(
    browser: Client, episode: Episode, settings: Any
) -> None:
    settings.DUPLICATION_PREVIEW_SECONDS = 0.0
    text = text_of(browser.get(START, {"ids": episode.pk}))
    assert "Blocks not counted Media files Not counted in the time there was." in text
    assert "Will be copied" in text


@pytest.mark.parametrize("number", [1, 2])
def test_page_tells_what_would_hold_it_up(browser: Client, number: int) -> None:
    ids = ",".join(str(each.pk) for each in EpisodeFactory.create_batch(number))
    assert "Would wait now" not in text_of(browser.get(START, {"ids": ids}))
    with override_switch("duplication", active=False):
        text = text_of(browser.get(START, {"ids": ids}))
    assert "Would wait now The switch “duplication” is off." in text


def test_page_lists_all_missing_permissions(episode: Episode) -> None:
    client = Client()
    client.force_login(UserFactory(is_staff=True, permissions=["view_episode", "view_duplication"]))
    text = text_of(client.get(START, {"ids": episode.pk}))
    assert "You may not duplicate episodes: ask an administrator" in text
    assert f"Episode {episode.pk} belongs to somebody else" in text


# --- several -------------------------------------------------------------------------


def test_page_of_several_has_a_line_for_each(browser: Client, episode: Episode) -> None:
    text = text_of(browser.get(START, {"ids": f"{episode.pk},{EpisodeFactory().pk}"}))
    assert "nobody 2 4 12 None 0 No such copy was made here yet" in text
    assert "nobody 0 0 0 None 0 No such copy" in text
    assert "Together 2 4 12 None 0 Not known of all of them" in text


def test_page_of_several_tells_files_links_and_times_of_each_and_together(browser: Client) -> None:
    default_storage.save("a.mp3", ContentFile(b"x" * 10))
    default_storage.save("b.mp3", ContentFile(b"x" * 20))
    first, second = (
        BlockFactory(media=name, field_1=f"content:item/{ItemFactory().pk}").item.part.episode
        for name in ("a.mp3", "b.mp3")
    )
    duplicate(first)
    duplicate(first, media_strategy="copy")
    text = text_of(browser.get(START, {"ids": f"{first.pk},{second.pk}"}))
    for size in (10, 20):
        assert f"1 1 1 1 file, {size} bytes 1 With the original's files: " in text
    assert re.search(
        "Together 2 2 2 2 files, 30 bytes 2 With the original's files: about .*, one after the "
        "other With files of its own: about .*, one after the other",
        text,
    )


def test_page_of_several_counts_together_only_what_is_started(
    browser: Client, episode: Episode, admin: User
) -> None:
    started = make_episode(parts=1, items=1, blocks=1)
    start_duplication(episode_id=started.pk, requested_by=admin)
    text = text_of(browser.get(START, {"ids": f"{episode.pk},{started.pk}"}))
    assert "Together 2 4 12" in text


def test_page_of_several_without_time_says_not_counted(
    browser: Client, episode: Episode, settings: Any
) -> None:
    settings.DUPLICATION_PREVIEW_SECONDS = 0.0
    text = text_of(browser.get(START, {"ids": f"{episode.pk},{EpisodeFactory().pk}"}))
    assert text.count("Not counted: the time was over.") == 2
    assert text.count("Will be copied") == 2


# --- the form ------------------------------------------------------------------------


def test_form_shares_media_unless_asked(browser: Client, episode: Episode) -> None:
    browser.post(START, filled_form(browser, episode))
    duplication = Duplication.objects.get()
    assert (duplication.media_strategy, duplication.media_required) == ("share", False)


@pytest.mark.parametrize(("ticked", "required"), [({}, False), ({"media_required": "on"}, True)])
def test_form_copies_media_when_asked(
    browser: Client, episode: Episode, ticked: dict[str, str], required: bool
) -> None:
    form = filled_form(browser, episode, media_strategy="copy", **ticked)
    assert browser.post(START, form).status_code == 302
    duplication = Duplication.objects.get()
    assert (duplication.media_strategy, duplication.media_required) == ("copy", required)


def test_form_of_several_gives_media_to_each(browser: Client, episode: Episode) -> None:
    form = filled_form(browser, episode, EpisodeFactory(), media_strategy="copy")
    browser.post(START, form)
    assert [each.media_strategy for each in Duplication.objects.all()] == ["copy", "copy"]


def test_form_that_requires_shared_files_is_shown_again_with_why(
    browser: Client, episode: Episode
) -> None:
    response = browser.post(START, filled_form(browser, episode, media_required="on"))
    assert MEDIA_REQUIRED_NEEDS_COPY in text_of(response)
    assert "Parts 2 Items 4 Blocks 12" in text_of(response)
    assert not Duplication.objects.exists()


# --- the API -------------------------------------------------------------------------


def ask(user: User, episode: Any, **options: Any) -> Any:
    client = APIClient()
    client.force_authenticate(user)
    return client.post(PREVIEW, {"episode": episode, **options}, format="json")


def test_api_previews_and_starts_nothing(admin: User, episode: Episode) -> None:
    response = ask(admin, episode.pk, media_strategy="copy", lanes=3)
    assert response.status_code == 200
    assert not Duplication.objects.exists()
    found = response.json()
    assert {level["stage"]: level["rows"]["number"] for level in found["levels"]} == {
        "episode": 1,
        "parts": 2,
        "items": 4,
        "blocks": 12,
    }
    assert (found["media_strategy"], found["lanes"]) == ("copy", 3)
    assert found["media"]["files"] == {"number": 0, "exact": True}
    assert found["expected"]["seconds"] is None
    assert found["missing_permissions"] == []
    assert (found["active"], found["waiting"]) == (None, None)


def test_api_preview_lists_what_is_in_the_way(episode: Episode) -> None:
    start_duplication(episode_id=episode.pk, requested_by=UserFactory())
    with override_switch("duplication", active=False):
        found = ask(UserFactory(permissions=["view_episode"]), episode.pk).json()
    assert len(found["missing_permissions"]) == 2
    assert found["active"] == {"duplication": None}
    assert found["waiting"]["reason"] == "The switch “duplication” is off."


def test_api_preview_without_time_flags_what_is_not_exact(
    admin: User, episode: Episode, settings: Any
) -> None:
    settings.DUPLICATION_PREVIEW_SECONDS = 0.0
    found = ask(admin, episode.pk).json()
    assert found["levels"][-1]["rows"] == {"number": 0, "exact": False}
    assert found["links"]["external"]["exact"] is False
    assert found["expected"]["exact"] is False


def test_api_preview_of_an_episode_one_may_not_see_is_like_of_none(episode: Episode) -> None:
    stranger = UserFactory(permissions=["add_duplication"])
    unseen, missing = ask(stranger, episode.pk), ask(stranger, 999_999_999)
    assert (unseen.status_code, missing.status_code) == (400, 400)
    assert unseen.json()["errors"][0]["pointer"] == missing.json()["errors"][0]["pointer"]


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [({"lanes": 99}, "/lanes"), ({"media_strategy": "burn"}, "/media_strategy")],
)
def test_api_preview_with_wrong_input_says_where(
    admin: User, episode: Episode, wrong: dict[str, Any], pointer: str
) -> None:
    response = ask(admin, episode.pk, **wrong)
    assert response.status_code == 400
    assert [each["pointer"] for each in response.json()["errors"]] == [pointer]


def test_api_preview_without_log_in_is_refused(episode: Episode) -> None:
    assert APIClient().post(PREVIEW, {"episode": episode.pk}).status_code == 401


# --- the command ---------------------------------------------------------------------


def run(*arguments: Any) -> str:
    out = io.StringIO()
    call_command("duplicate_episode", *map(str, arguments), stdout=out)
    return out.getvalue()


def test_command_previews_as_a_table_and_starts_nothing(episode: Episode) -> None:
    lines = [" ".join(line.split()) for line in run(episode.pk, "--preview").splitlines()]
    assert lines[0] == f"Episode {episode.pk}: {episode.title}"
    assert "Blocks 12" in lines
    assert "Owner: nobody" in lines
    assert not Duplication.objects.exists()


def test_command_preview_as_json_is_what_the_api_answers(admin: User, episode: Episode) -> None:
    printed = json.loads(run(episode.pk, "--preview", "--json"))
    answered = ask(admin, episode.pk).json()
    [owner] = [reset for reset in printed["resets"] if reset["field"] == "owner"]
    owner["value"] = "you"
    assert printed == answered


def test_command_preview_of_no_episode_says_so() -> None:
    with pytest.raises(CommandError, match="There is no episode 4711 to duplicate"):
        run(4711, "--preview")


def test_command_preview_with_too_many_lanes_says_so(episode: Episode) -> None:
    with pytest.raises(CommandError, match="lanes is 99: use a number from 1 to 8"):
        run(episode.pk, "--preview", "--lanes=99")


def test_command_does_not_preview_and_wait(episode: Episode) -> None:
    with pytest.raises(CommandError, match="not allowed with"):
        run(episode.pk, "--preview", "--wait")
