import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from rest_framework.test import APIClient

from content.models import Block, Item
from duplication.exceptions import CannotMend
from duplication.mending import mend_link
from duplication.models import Duplication
from duplication.removal.services import start_removal
from tests.duplication.driving import duplicate
from tests.factories.content import BlockFactory, EpisodeFactory, ItemFactory, PartFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner():
    return get_user_model().objects.create_user("olga")


@pytest.fixture
def duplication(owner):
    """A copy with one link to nothing, written twice in one field."""
    item = ItemFactory(part=PartFactory(episode=EpisodeFactory(owner=owner)))
    BlockFactory(item=item, field_1="See content:item/999999999 and content:item/999999999.")
    return duplicate(item.part.episode, requested_by=owner)


def finding(duplication):
    return duplication.link_findings.get()


def block(duplication):
    return Block.objects.get(item__part__episode=duplication.new_episode)


def test_mend_link_points_every_place_in_the_field_to_the_target(duplication, owner):
    target = block(duplication)

    mended = mend_link(
        duplication=duplication,
        finding_id=finding(duplication).pk,
        target=f"content:block/{target.pk}",
        by=owner,
    )

    assert mended.mended_at is not None
    link = f"content:block/{target.pk}"
    assert block(duplication).field_1 == f"See {link} and {link}."


def test_mend_link_twice_with_the_same_target_changes_nothing_more(duplication, owner):
    options = {
        "duplication": duplication,
        "finding_id": finding(duplication).pk,
        "target": f"block/{block(duplication).pk}",
        "by": owner,
    }
    mend_link(**options)
    text = block(duplication).field_1
    mend_link(**options)
    assert block(duplication).field_1 == text


def test_mend_link_again_with_another_target_points_it_on(duplication, owner):
    item = Item.objects.get(part__episode=duplication.new_episode)
    options = {"duplication": duplication, "finding_id": finding(duplication).pk, "by": owner}
    first = mend_link(target=f"block/{block(duplication).pk}", **options)
    again = mend_link(target=f"item/{item.pk}", **options)
    assert again.mended_to == f"content:item/{item.pk}"
    assert again.mended_at > first.mended_at
    assert block(duplication).field_1 == f"See {again.mended_to} and {again.mended_to}."


def test_mend_link_where_it_points_already_saves_nothing(duplication, owner):
    options = {
        "duplication": duplication,
        "finding_id": finding(duplication).pk,
        "target": f"block/{block(duplication).pk}",
        "by": owner,
    }
    mended = mend_link(**options)
    row = block(duplication)
    again = mend_link(**options)
    assert (again.mended_at, block(duplication).updated_at) == (mended.mended_at, row.updated_at)


def test_mend_link_again_that_was_edited_away_since_is_refused(duplication, owner):
    options = {"duplication": duplication, "finding_id": finding(duplication).pk, "by": owner}
    target = f"block/{block(duplication).pk}"
    mended = mend_link(target=target, **options)
    Block.objects.filter(pk=block(duplication).pk).update(field_1=f"{mended.mended_to}9")
    with pytest.raises(CannotMend, match=f"{mended.mended_to} no longer stands"):
        mend_link(target=target, **options)
    assert finding(duplication).mended_at == mended.mended_at


def test_mend_link_in_a_row_that_was_moved_out_of_the_copy_is_refused(duplication, owner):
    row = block(duplication)
    Block.objects.filter(pk=row.pk).update(item=ItemFactory())
    with pytest.raises(CannotMend, match="no longer stands"):
        mend_link(
            duplication=duplication,
            finding_id=finding(duplication).pk,
            target=f"item/{row.item_id}",
            by=owner,
        )


def test_mend_link_while_the_copy_is_removed_says_so_to_its_owner(duplication, owner):
    start_removal(duplication=duplication, requested_by=owner)
    duplication.refresh_from_db()
    with pytest.raises(CannotMend, match="being removed"):
        mend_link(
            duplication=duplication,
            finding_id=finding(duplication).pk,
            target=f"block/{block(duplication).orig_id}",
            by=owner,
        )


def test_mend_link_that_reads_the_copy_before_it_is_hidden_is_refused(duplication, owner):
    duplication.new_episode.refresh_from_db()
    start_removal(duplication=Duplication.objects.get(pk=duplication.pk), requested_by=owner)
    with pytest.raises(CannotMend, match="being removed"):
        mend_link(
            duplication=duplication,
            finding_id=finding(duplication).pk,
            target=f"block/{block(duplication).orig_id}",
            by=owner,
        )


@pytest.mark.parametrize("target", ["", "block/", "block/0", "block/999999999", "page/1", "a b"])
def test_mend_link_to_what_is_not_there_is_refused_and_changes_nothing(duplication, owner, target):
    before = block(duplication).field_1
    with pytest.raises(CannotMend, match="part/ID"):
        mend_link(
            duplication=duplication, finding_id=finding(duplication).pk, target=target, by=owner
        )
    assert block(duplication).field_1 == before
    assert finding(duplication).mended_at is None


def test_mend_link_to_what_one_may_not_see_is_refused_alike(duplication, owner):
    theirs = BlockFactory()
    with pytest.raises(CannotMend, match="part/ID"):
        mend_link(
            duplication=duplication,
            finding_id=finding(duplication).pk,
            target=f"block/{theirs.pk}",
            by=owner,
        )


def test_mend_link_in_somebody_elses_copy_is_forbidden(duplication):
    other = get_user_model().objects.create_user("otto")
    with pytest.raises(PermissionDenied):
        mend_link(
            duplication=duplication,
            finding_id=finding(duplication).pk,
            target=f"block/{block(duplication).pk}",
            by=other,
        )


def test_mend_link_that_was_edited_away_is_refused(duplication, owner):
    Block.objects.update(field_1="Nothing here.")
    with pytest.raises(CannotMend, match="no longer stands"):
        mend_link(
            duplication=duplication,
            finding_id=finding(duplication).pk,
            target=f"block/{block(duplication).pk}",
            by=owner,
        )


def test_links_api_lists_and_mends(duplication, owner):
    client = APIClient()
    client.force_authenticate(owner)
    url = f"/api/v1/duplications/{duplication.pk}/links"

    (found,) = client.get(f"{url}?points_to=unresolved&mended=false").json()["results"]
    assert (found["link"], found["field"]) == ("content:item/999999999", "field_1")

    refused = client.post(f"{url}/{found['id']}/mend", {"target": "block/1x"}, format="json")
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["pointer"] == "/target"

    target = f"block/{block(duplication).pk}"
    mended = client.post(f"{url}/{found['id']}/mend", {"target": target}, format="json")
    assert mended.status_code == 200, mended.json()
    assert mended.json()["mended_to"] == f"content:{target}"
    assert client.get(f"{url}?mended=false").json()["results"] == []


def test_links_api_of_somebody_elses_copy_is_not_found(duplication):
    client = APIClient()
    client.force_authenticate(get_user_model().objects.create_user("otto"))
    assert client.get(f"/api/v1/duplications/{duplication.pk}/links").status_code == 404
