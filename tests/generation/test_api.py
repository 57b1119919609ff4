"""Generations over HTTP: starting one and many, reading what they made, editing, steering."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ
from rest_framework.test import APIClient

from content.models import Episode
from generation.models import GenerationJob, GenerationMetrics
from tests.factories.content import BlockFactory, EpisodeFactory, UserFactory
from tests.factories.generation import make_generation
from tests.generation.making import make_episode, start, write

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stubs")]

MANY = "/api/v1/generations"
TOTALS = "/api/v1/generation-metrics/totals"
EDITING = ["add_generationjob", "view_episode", "change_episode"]


def client_of(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


@pytest.fixture
def owner() -> User:
    return UserFactory(permissions=["add_generationjob"])


@pytest.fixture
def api(owner: User) -> APIClient:
    return client_of(owner)


@pytest.fixture
def episode(owner: User) -> Episode:
    return make_episode("One is the first.", "Two is the second.", owner=owner)


def url(episode: Episode, below: str = "") -> str:
    return f"/api/v1/episodes/{episode.pk}/generation{below}"


def post(client: APIClient, path: str, key: str | None = None, **body: Any) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return client.post(path, body, format="json", headers=headers)


def pointers(response: Any) -> list[str]:
    assert response.status_code == 400, response.data
    return [each["pointer"] for each in response.data["errors"]]


def refusal(response: Any) -> tuple[int, str]:
    assert response["Content-Type"] == "application/problem+json"
    return response.status_code, response.data["code"]


def numbers(response: Any, name: str = "id") -> list[int]:
    assert response.status_code == 200, response.data
    return [each[name] for each in response.data["results"]]


# --- starting ---------------------------------------------------------------------


def test_start_is_accepted_and_enqueued_and_tells_where_to_look(
    api: APIClient, owner: User, episode: Episode
) -> None:
    response = post(api, url(episode), voices={"host": "tenor"}, speed=1.5, stop_before_audio=True)
    assert response.status_code == 202
    generation = GenerationJob.objects.get()
    assert response["Location"] == f"http://testserver{MANY}/{generation.pk}"
    assert response["Retry-After"] == "2"
    assert OrmQ.objects.count() == 1
    assert (generation.requested_by, generation.speed, generation.stop_before_audio) == (
        owner,
        1.5,
        True,
    )
    assert response.data["voices"] == {"host": "tenor", "guest": "bass"}
    assert Decimal(response.data["estimated_cost"]) == generation.estimated_cost > 0
    assert api.get(response["Location"]).data == response.data


def test_start_while_active_answers_the_one_that_is(api: APIClient, episode: Episode) -> None:
    first = post(api, url(episode))
    again = post(api, url(episode), speed=2)
    assert (again.status_code, again["Location"]) == (200, first["Location"])
    assert again.data["speed"] == 1.0


def test_start_while_somebody_elses_is_active_is_a_conflict_unless_it_may_be_seen(
    api: APIClient, episode: Episode
) -> None:
    first = post(api, url(episode))
    other = client_of(UserFactory(permissions=EDITING))
    assert refusal(post(other, url(episode))) == (409, "already_active")
    seeing = client_of(UserFactory(permissions=[*EDITING, "view_generationjob"]))
    assert post(seeing, url(episode))["Location"] == first["Location"]


def test_start_with_the_same_key_answers_the_first_and_no_other_request(
    api: APIClient, episode: Episode
) -> None:
    first = post(api, url(episode), key="k")
    api.post(f"{first['Location']}/cancel")
    again = post(api, url(episode), key="k")
    assert (again.status_code, again.data["id"]) == (200, first.data["id"])
    assert refusal(post(api, url(episode), key="k", speed=2)) == (422, "idempotency_key_reused")
    assert post(api, url(episode), key="other").status_code == 202
    assert pointers(post(api, url(episode), key="k" * 256)) == ["/Idempotency-Key"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"from_stage": "listening"}, "/from_stage"),
        ({"voices": {"narrator": "alto"}}, "/voices"),
        ({"voices": {"host": ""}}, "/voices/host"),
        ({"voices": {"host": "x" * 65}}, "/voices/host"),
        ({"voices": "alto"}, "/voices"),
        ({"speed": 99}, "/speed"),
        ({"speed": "nan"}, "/speed"),
        ({"speed": "fast"}, "/speed"),
        ({"stop_before_audio": "perhaps"}, "/stop_before_audio"),
    ],
)
def test_start_with_invalid_input_says_where(
    api: APIClient, episode: Episode, body: dict[str, Any], pointer: str
) -> None:
    assert pointers(post(api, url(episode), **body)) == [pointer]
    if "stop_before_audio" not in body:
        assert pointers(post(api, url(episode, "/estimate"), **body)) == [pointer]
    assert not GenerationJob.objects.exists()


def test_start_with_a_speed_that_the_provider_has_not_is_invalid(
    api: APIClient, episode: Episode, settings: Any
) -> None:
    settings.GENERATION_SPEECH_PROVIDER = "offline"
    response = post(api, url(episode), speed=3.5)
    assert pointers(response) == [""]
    assert "Choose one from 0.5 to 2.5" in response.data["detail"]


def test_start_that_is_not_possible_is_a_conflict_with_the_way_out(
    api: APIClient, owner: User, episode: Episode
) -> None:
    empty = post(api, url(EpisodeFactory(owner=owner)))
    assert refusal(empty) == (409, "nothing_to_say")
    assert "Write a text into a block" in empty.data["detail"]
    early = post(api, url(episode), from_stage="audio")
    assert refusal(early) == (409, "nothing_to_reuse")
    assert "begin earlier" in early.data["detail"]


def test_start_over_the_limit_is_refused_with_the_figure(
    api: APIClient, episode: Episode, settings: Any
) -> None:
    settings.GENERATION_MAX_USD_PER_GENERATION = Decimal("0.01")
    response = post(api, url(episode))
    assert refusal(response) == (409, "cost_limit")
    assert "$0.05" in response.data["detail"]
    assert "$0.01 (GENERATION_MAX_USD_PER_GENERATION)" in response.data["detail"]
    assert not GenerationJob.objects.exists()


def test_start_for_who_may_not_is_not_found_or_forbidden_with_what_is_missing(
    owner: User, episode: Episode
) -> None:
    assert post(APIClient(), url(episode)).status_code == 401
    stranger = client_of(UserFactory(permissions=["add_generationjob"]))
    assert refusal(post(stranger, url(episode))) == (404, "not_found")
    viewer = client_of(UserFactory(permissions=["add_generationjob", "view_episode"]))
    forbidden = post(viewer, url(episode))
    assert refusal(forbidden) == (403, "permission_denied")
    assert "belongs to somebody else" in forbidden.data["detail"]
    mere_owner = UserFactory()
    forbidden = post(client_of(mere_owner), url(make_episode(owner=mere_owner)))
    assert "generation.add_generationjob" in forbidden.data["detail"]
    assert not GenerationJob.objects.exists()


BELOW = ["", "/outline", "/script", "/segments", "/metrics"]


@pytest.mark.parametrize("below", BELOW)
def test_generation_of_an_episode_that_may_not_be_seen_is_not_found(
    api: APIClient, owner: User, below: str
) -> None:
    generation = make_generation(requested_by=UserFactory(), with_file=False)
    assert api.get(url(generation.episode, below)).status_code == 404
    hidden = make_generation(requested_by=owner, with_file=False).episode
    Episode.objects.filter(pk=hidden.pk).update(status="copying")
    assert api.get(url(hidden, below)).status_code == 404
    for number in (0, 10**30):
        assert api.get(f"/api/v1/episodes/{number}/generation{below}").status_code == 404
    viewer = client_of(UserFactory(permissions=["view_episode"]))
    assert viewer.get(url(generation.episode, below)).status_code == 200


# --- how it is ---------------------------------------------------------------------


def test_state_of_an_episode_that_was_never_generated(api: APIClient, episode: Episode) -> None:
    found = api.get(url(episode))
    assert found.data == {
        "episode": episode.pk,
        "generation_status": "PENDING",
        "generation_progress": 0,
        "generation_error": None,
        "generation_started_at": None,
        "generation_completed_at": None,
        "audio_url": "",
        "audio_duration_ms": None,
        "generation": None,
    }
    assert "Retry-After" not in found


def test_state_follows_the_generation_and_says_when_to_look_again(
    api: APIClient, owner: User, episode: Episode
) -> None:
    generation = write(episode, requested_by=owner)
    found = api.get(url(episode))
    assert found["Retry-After"] == "2"
    assert found.data["generation_status"] == "GENERATING_SCRIPT"
    assert found.data["generation_progress"] == 25
    assert found.data["generation"] == api.get(f"{MANY}/{generation.pk}").data


def test_state_of_a_completed_one_has_the_audio_and_its_length(api: APIClient, owner: User) -> None:
    generation = make_generation(requested_by=owner)
    found = api.get(url(generation.episode)).data
    assert (found["generation_status"], found["generation_progress"]) == ("COMPLETED", 100)
    assert found["audio_url"] == f"http://testserver{generation.episode.audio_url}"
    assert found["audio_duration_ms"] == generation.audio_duration_ms > 0
    assert found["generation"]["audio_checksum"] == generation.audio_checksum


def test_state_keeps_the_audio_of_the_one_before_while_another_fails(
    api: APIClient, owner: User
) -> None:
    made = make_generation(requested_by=owner)
    failed = make_generation(episode=made.episode, requested_by=owner, at="audio", status="failed")
    found = api.get(url(made.episode)).data
    assert found["generation"]["id"] == failed.pk
    assert (found["generation_status"], found["generation_error"]) == (
        "FAILED",
        failed.error_message,
    )
    assert found["audio_url"].endswith(f"{made.audio_checksum[:16]}.mp3")
    assert found["audio_duration_ms"] == made.audio_duration_ms


def test_state_keeps_somebody_elses_generation_to_itself(api: APIClient, owner: User) -> None:
    episode = make_episode(owner=owner)
    write(episode, requested_by=UserFactory())
    found = api.get(url(episode)).data
    assert (found["generation_status"], found["generation"]) == ("GENERATING_SCRIPT", None)


@pytest.mark.parametrize("job", ["", "7c9e6679-7425-40de-944b-e07fc1f90ae7", "9" * 40, "4711"])
def test_state_of_an_episode_whose_job_is_another_systems(
    api: APIClient, owner: User, job: str
) -> None:
    episode = make_episode(owner=owner, generation_job_id=job, generation_status="COMPLETED")
    found = api.get(url(episode)).data
    assert (found["generation_status"], found["generation"]) == ("COMPLETED", None)
    assert refusal(api.get(url(episode, "/script"))) == (404, "not_found")


# --- estimate ----------------------------------------------------------------------


def test_estimate_tells_what_it_would_use_and_starts_nothing(
    api: APIClient, episode: Episode
) -> None:
    silent = BlockFactory(item=episode.parts.first().items.get(), field_1="survey")
    response = post(api, url(episode, "/estimate"))
    assert response.status_code == 200
    found = response.data
    assert found["tokens_in"] > 0
    assert found["chars"] > 0
    assert (found["cached_chars"], found["cached_share"], found["seconds"]) == (0, 0.0, None)
    assert isinstance(found["cost"], str)
    assert Decimal(found["cost"]) > Decimal("0.05")
    assert found["left_out_blocks"] == 1
    assert found["left_out"][0]["block_id"] == silent.pk
    assert found["limit"] is None
    assert not GenerationJob.objects.exists()


def test_estimate_names_the_limit_that_would_refuse_it(
    api: APIClient, episode: Episode, settings: Any
) -> None:
    settings.GENERATION_MAX_USD_PER_DAY = Decimal("0.02")
    response = post(api, url(episode, "/estimate"))
    assert response.status_code == 200
    assert response.data["limit"]["code"] == "cost_limit"
    assert "$0.02 (GENERATION_MAX_USD_PER_DAY)" in response.data["limit"]["detail"]


def test_estimate_shows_the_first_of_many_blocks_that_are_left_out(
    api: APIClient, episode: Episode
) -> None:
    BlockFactory.create_batch(25, item=episode.parts.first().items.get(), field_1="survey")
    found = post(api, url(episode, "/estimate")).data
    assert (found["left_out_blocks"], len(found["left_out"])) == (25, 20)


def test_estimate_of_what_has_nothing_to_say_is_a_conflict(api: APIClient, owner: User) -> None:
    response = post(api, url(EpisodeFactory(owner=owner), "/estimate"))
    assert refusal(response) == (409, "nothing_to_say")


# --- outline and script ------------------------------------------------------------


def test_outline_and_script_are_there_once_they_are_written(
    api: APIClient, owner: User, episode: Episode
) -> None:
    for below in ("/outline", "/script"):
        assert api.get(url(episode, below)).status_code == 404
    generation = start(episode, stop_before_audio=True, requested_by=owner)
    for below in ("/outline", "/script"):
        assert refusal(api.get(url(episode, below))) == (404, "not_found")
    api.post(f"{MANY}/{generation.pk}/cancel")

    written = write(episode, requested_by=owner)
    outline = api.get(url(episode, "/outline")).data
    assert [chapter["title"] for chapter in outline["chapters"]] == ["Part 0", "Part 1"]
    script = api.get(url(episode, "/script"))
    assert (script.data["generation"], script.data["version"]) == (written.pk, 0)
    assert script.data["turns"] == written.script["turns"]
    assert script.data["left_out"] == []


def test_script_that_was_read_before_is_not_sent_again_until_it_is_edited(
    api: APIClient, owner: User, episode: Episode
) -> None:
    write(episode, requested_by=owner)
    first = api.get(url(episode, "/script"))
    headers = {"If-None-Match": first["ETag"]}
    again = api.get(url(episode, "/script"), headers=headers)
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    edited = edit(api, episode, turns=first.data["turns"], version=0)
    assert edited["ETag"] != first["ETag"]
    assert api.get(url(episode, "/script"), headers=headers).status_code == 200


def edit(client: APIClient, episode: Episode, **body: Any) -> Any:
    return client.patch(url(episode, "/script"), body, format="json")


def turn(text: str, **more: Any) -> dict[str, Any]:
    return {"speaker": "host", "chapter": 0, "text": text, **more}


def test_script_edit_takes_the_place_of_the_version_that_was_read(
    api: APIClient, owner: User, episode: Episode
) -> None:
    BlockFactory(item=episode.parts.first().items.get(), field_1="survey")
    generation = write(episode, requested_by=owner)
    response = edit(api, episode, turns=[turn("Better.")], version=0)
    assert response.status_code == 200
    assert (response.data["version"], response.data["turns"]) == (1, [turn("Better.")])
    assert len(response.data["left_out"]) == 1
    generation.refresh_from_db()
    assert generation.script["turns"] == [turn("Better.")]

    late = edit(api, episode, turns=[turn("Too late.")], version=0)
    assert refusal(late) == (409, "script_changed")
    assert late.data["version"] == 1
    generation.refresh_from_db()
    assert generation.script["turns"] == [turn("Better.")]


def test_script_edit_while_it_runs_or_is_written_is_a_conflict(
    api: APIClient, owner: User, episode: Episode
) -> None:
    start(episode, requested_by=owner)
    assert refusal(edit(api, episode, turns=[turn("Hm.")], version=0)) == (409, "cannot_edit")
    running = make_generation(requested_by=owner, at="audio", status="in_progress")
    response = edit(api, running.episode, turns=[turn("Hm.")], version=0)
    assert refusal(response) == (409, "cannot_edit")
    assert "pause it" in response.data["detail"]


@pytest.mark.parametrize(
    ("turns", "pointer"),
    [
        ([turn("A."), turn("B."), turn("—")], "/turns/2/text"),
        ([turn("A.", speaker="guest")], "/turns/0/speaker"),
        ([turn("A.", chapter=9)], "/turns/0/chapter"),
        ([turn("A.", mood="gay")], "/turns/0/mood"),
        (["A."], "/turns/0"),
        ([], "/turns"),
        ("A.", "/turns"),
        (None, "/turns"),
    ],
)
def test_script_edit_that_can_not_be_spoken_says_where(
    api: APIClient, owner: User, episode: Episode, turns: Any, pointer: str
) -> None:
    generation = write(episode, requested_by=owner)
    assert pointers(edit(api, episode, turns=turns, version=0)) == [pointer]
    generation.refresh_from_db()
    assert generation.script_version == 0


def test_script_edit_without_version_is_refused_and_names_the_place_in_words(
    api: APIClient, owner: User, episode: Episode
) -> None:
    write(episode, requested_by=owner)
    assert pointers(edit(api, episode, turns=[turn("A.")])) == ["/version"]
    response = edit(api, episode, turns=[turn("A."), turn("")], version=0)
    assert response.data["detail"].startswith("turns[1].text: ")
    assert response.data["errors"][0]["code"] == "invalid_script"


def test_script_edit_is_for_who_may_generate(owner: User, episode: Episode) -> None:
    write(episode, requested_by=owner)
    viewer = client_of(UserFactory(permissions=["add_generationjob", "view_episode"]))
    response = edit(viewer, episode, turns=[turn("Mine.")], version=0)
    assert refusal(response) == (403, "permission_denied")


# --- segments and metrics ------------------------------------------------------------


def test_segments_come_in_order_with_what_they_cost(api: APIClient, owner: User) -> None:
    generation = make_generation(requested_by=owner, blocks=6)
    path: str | None = f"{url(generation.episode, '/segments')}?page_size=2"
    found = []
    while path:
        page = api.get(path)
        found += page.data["results"]
        assert len(page.data["results"]) <= 2
        path = page.data["next"]
    rows = list(generation.segments.order_by("number"))
    assert [each["number"] for each in found] == [row.number for row in rows]
    assert len(found) > 2
    first, second = found[0], found[1]
    assert set(first) == {
        *("number", "chapter", "speaker", "voice", "text", "state", "cached"),
        *("duration_ms", "start_ms", "cost"),
    }
    assert {each["cached"] for each in found} == {True, False}
    assert second["start_ms"] == rows[0].duration_ms
    paid = next(each for each in found if not each["cached"])
    assert isinstance(paid["cost"], str)
    assert Decimal(paid["cost"]) > 0


def test_segments_filter_by_state_and_chapter(api: APIClient, owner: User) -> None:
    generation = make_generation(requested_by=owner, at="audio", status="in_progress")
    path = url(generation.episode, "/segments")
    for query in ({"state": "pending"}, {"chapter": 1}):
        expected = generation.segments.filter(**query).values_list("number", flat=True)
        assert numbers(api.get(path, query), "number") == list(expected) != []
    assert pointers(api.get(path, {"state": "loud"})) == ["/state"]


def test_segments_of_many_take_as_many_queries_as_of_few(api: APIClient, owner: User) -> None:
    def queries(blocks: int) -> int:
        episode = make_generation(requested_by=owner, blocks=blocks, with_file=False).episode
        with CaptureQueriesContext(connection) as captured:
            assert api.get(url(episode, "/segments")).status_code == 200
        return len(captured)

    queries(1)  # the user's permissions are read once
    assert queries(1) == queries(20)


def test_metrics_of_an_episode_are_its_generations_newest_first(
    api: APIClient, owner: User
) -> None:
    first = make_generation(requested_by=owner, with_file=False)
    second = make_generation(episode=first.episode, requested_by=owner, with_file=False)
    make_generation(requested_by=owner, with_file=False)
    found = api.get(url(first.episode, "/metrics"))
    assert numbers(found, "generation") == [second.pk, first.pk]
    row = found.data["results"][1]
    assert row["estimated_cost"] == str(first.cost)
    assert row["tokens_used"] == row["tokens_in"] + row["tokens_out"] > 0
    assert (row["tts_chars_used"], row["outcome"]) == (first.chars_paid, "completed")
    assert 0 < row["cached_share"] < 1
    assert row["stages"]["audio"]["chars"] == first.chars_paid


def test_metrics_are_for_the_episodes_owner_and_who_may_view_them() -> None:
    episode = make_generation(requested_by=UserFactory(), with_file=False).episode
    viewer = client_of(UserFactory(permissions=["view_episode"]))
    assert numbers(viewer.get(url(episode, "/metrics"))) == []
    accountant = UserFactory(permissions=["view_episode", "view_generationmetrics"])
    assert len(numbers(client_of(accountant).get(url(episode, "/metrics")))) == 1


# --- generations -----------------------------------------------------------------------


def test_list_shows_own_newest_first_and_all_with_the_permission(
    api: APIClient, owner: User
) -> None:
    mine = [make_generation(requested_by=owner, with_file=False).pk for _ in range(2)]
    theirs = make_generation(requested_by=UserFactory(), with_file=False).pk
    assert numbers(api.get(MANY)) == mine[::-1]
    viewer = client_of(UserFactory(permissions=["view_generationjob"]))
    assert numbers(viewer.get(MANY)) == [theirs, *mine[::-1]]
    assert api.get(f"{MANY}/{theirs}").status_code == 404
    assert api.get(f"{MANY}/{theirs}/events").status_code == 404


def test_list_reads_no_scripts(api: APIClient, owner: User) -> None:
    make_generation(requested_by=owner, with_file=False)
    with CaptureQueriesContext(connection) as captured:
        numbers(api.get(MANY))
    assert not any('"script"' in query["sql"] for query in captured)


def test_list_filters(api: APIClient, owner: User) -> None:
    done = make_generation(requested_by=owner, with_file=False)
    failed = make_generation(requested_by=owner, at="script", status="failed")
    for query, expected in [
        ({"status": "failed"}, [failed.pk]),
        ({"episode": done.episode_id}, [done.pk]),
        ({"created_after": "2999-01-01T00:00:00Z"}, []),
        ({"created_before": "2999-01-01T00:00:00Z"}, [failed.pk, done.pk]),
        ({"episode": 10**30}, []),
    ]:
        assert numbers(api.get(MANY, query)) == expected, query
    assert pointers(api.get(MANY, {"status": "loud"})) == ["/status"]


def test_list_of_many_takes_as_many_queries_as_of_one(api: APIClient, owner: User) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            numbers(api.get(MANY))
        return len(captured)

    make_generation(requested_by=owner, with_file=False)
    queries()  # the user's permissions are read once
    of_one = queries()
    for _ in range(4):
        make_generation(requested_by=owner, with_file=False)
    assert queries() == of_one


def test_generation_is_steered_and_its_events_read(
    api: APIClient, owner: User, episode: Episode
) -> None:
    path = post(api, url(episode))["Location"]
    assert api.post(f"{path}/pause").data["display_status"] == "paused"
    assert api.post(f"{path}/resume").data["display_status"] == "in_progress"
    assert refusal(api.post(f"{path}/retry")) == (409, "invalid_transition")
    assert api.post(f"{path}/cancel").data["status"] == "cancelled"
    names = [event["name"] for event in api.get(f"{path}/events").data["results"]]
    assert names[-1] == "generation.cancelled"
    assert api.get(url(episode)).data["generation"] is None


def test_retry_of_one_that_another_came_after_is_refused_with_the_way_out(
    api: APIClient, owner: User
) -> None:
    failed = make_generation(requested_by=owner, at="script", status="failed")
    make_generation(episode=failed.episode, requested_by=owner, with_file=False)
    response = api.post(f"{MANY}/{failed.pk}/retry")
    assert refusal(response) == (409, "refused")
    assert "Another generation of this episode came after it" in response.data["detail"]


def test_control_of_many_tells_what_became_of_each(api: APIClient, owner: User) -> None:
    running = start(make_episode(owner=owner), requested_by=owner)
    done = make_generation(requested_by=owner, with_file=False)
    response = post(api, f"{MANY}/control", verb="cancel", ids=[running.pk, done.pk, 4711])
    assert [bool(each["refusal"]) for each in response.data] == [False, True, True]


# --- many at once ------------------------------------------------------------------------


def test_bulk_tells_of_each_whether_it_was_started_is_active_or_why_not(
    api: APIClient, owner: User, episode: Episode
) -> None:
    active = start(make_episode(owner=owner), requested_by=owner)
    others = make_episode()
    empty = EpisodeFactory(owner=owner)
    wanted = [episode.pk, active.episode_id, others.pk, empty.pk, 4711, episode.pk]
    response = post(api, MANY, episodes=wanted, voices={"host": "tenor"})
    assert response.status_code == 202
    assert response["Retry-After"] == "2"
    told = {each["episode"]: each for each in response.data}
    assert list(told) == list(dict.fromkeys(wanted))
    started = GenerationJob.objects.get(episode=episode)
    assert told[episode.pk] == {
        "episode": episode.pk,
        "outcome": "started",
        "generation": started.pk,
        "refusal": "",
    }
    assert started.voices["host"] == "tenor"
    assert (told[active.episode_id]["outcome"], told[active.episode_id]["generation"]) == (
        "active",
        active.pk,
    )
    for number, why in [
        (others.pk, f"There is no episode {others.pk}."),
        (4711, "There is no episode 4711."),
        (empty.pk, f"Episode {empty.pk} has nothing to say: "),
    ]:
        assert told[number]["outcome"] == "refused"
        assert told[number]["generation"] is None
        assert told[number]["refusal"].startswith(why)
    assert GenerationJob.objects.count() == 2


def test_bulk_with_the_same_key_answers_the_same_generations(
    api: APIClient, episode: Episode
) -> None:
    first = post(api, MANY, key="k", episodes=[episode.pk])
    api.post(f"{MANY}/{first.data[0]['generation']}/cancel")
    again = post(api, MANY, key="k", episodes=[episode.pk])
    assert (again.status_code, again.data[0]["outcome"]) == (200, "active")
    assert again.data[0]["generation"] == first.data[0]["generation"]
    assert GenerationJob.objects.count() == 1
    assert pointers(post(api, MANY, key="k" * 240, episodes=[1])) == ["/Idempotency-Key"]


def test_bulk_keeps_somebody_elses_generation_to_itself_and_what_is_missing_is_told(
    owner: User, episode: Episode
) -> None:
    start(episode, requested_by=owner)
    response = post(client_of(UserFactory(permissions=EDITING)), MANY, episodes=[episode.pk])
    assert response.status_code == 200
    assert response.data[0]["generation"] is None
    assert "for somebody else" in response.data[0]["refusal"]
    viewer = client_of(UserFactory(permissions=["view_episode"]))
    response = post(viewer, MANY, episodes=[episode.pk])
    assert "generation.add_generationjob" in response.data[0]["refusal"]


@pytest.mark.parametrize(
    ("episodes", "pointer"),
    [([], "/episodes"), (list(range(1, 202)), "/episodes"), ([0], "/episodes/0"), (7, "/episodes")],
)
def test_bulk_with_bad_input_says_where(api: APIClient, episodes: Any, pointer: str) -> None:
    assert pointers(post(api, MANY, episodes=episodes)) == [pointer]


# --- totals ----------------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["day", "type", "provider"])
def test_totals_are_of_ones_own_episodes_or_with_the_permission_of_all(
    api: APIClient, owner: User, group: str
) -> None:
    mine = make_generation(requested_by=owner, with_file=False)
    theirs = make_generation(requested_by=UserFactory(), with_file=False)
    (total,) = api.get(TOTALS, {"group": group}).data
    day = timezone.now().astimezone(dt.UTC).date().isoformat()
    assert total["key"] == {"day": day, "type": "solo", "provider": "offline + offline"}[group]
    assert (total["generations"], total["tts_chars_used"]) == (1, mine.chars_paid)
    assert total["cost"] == str(mine.cost)
    assert total["seconds"] == 90.0
    assert 0 < total["cached_share"] < 1
    accountant = client_of(UserFactory(permissions=["view_generationmetrics"]))
    (total,) = accountant.get(TOTALS, {"group": group}).data
    assert total["cost"] == str(mine.cost + theirs.cost)


def test_totals_between_days(api: APIClient, owner: User) -> None:
    make_generation(requested_by=owner, with_file=False)
    moment = dt.datetime(2026, 3, 2, 23, 30, tzinfo=dt.UTC)
    GenerationMetrics.objects.update(created_at=moment)
    for query, days in [
        ({}, ["2026-03-02"]),
        ({"from": "2026-03-02", "to": "2026-03-02"}, ["2026-03-02"]),
        ({"from": "2026-03-03"}, []),
        ({"to": "2026-03-01"}, []),
    ]:
        assert [each["key"] for each in api.get(TOTALS, query).data] == days, query


@pytest.mark.parametrize(
    ("name", "value"), [("group", "mood"), ("from", "x"), ("to", "2026-13-01")]
)
def test_totals_with_an_invalid_query_say_where(api: APIClient, name: str, value: str) -> None:
    assert pointers(api.get(TOTALS, {name: value})) == [f"/{name}"]
    assert APIClient().get(TOTALS).status_code == 401
