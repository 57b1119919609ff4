from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from content.models import Block, Episode
from tests.content.documents import block, document, item, part
from tests.factories.content import EpisodeFactory, UserFactory

pytestmark = pytest.mark.django_db


def run(*arguments: Any, **options: Any) -> str:
    out = io.StringIO()
    call_command(*map(str, arguments), stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "document.json"
    tree = document(part("a", item("x", block("b"), block("c"))), title="Olá")
    path.write_text(json.dumps(tree), encoding="utf-8")
    return path


def test_import_episode_prints_id_and_counts(path: Path) -> None:
    user = UserFactory()
    out = run("import_episode", path, owner=user.username)
    episode = Episode.objects.get()
    assert out == f"Imported episode {episode.pk}: 1 parts, 1 items, 2 blocks.\n"
    assert (episode.title, episode.owner) == ("Olá", user)


def test_import_episode_with_dash_reads_standard_input(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
    run("import_episode", "-")
    assert Episode.objects.get().title == "Olá"


def test_import_episode_with_mistakes_lists_one_a_line(path: Path) -> None:
    path.write_text('{"title": 1, "parts": [2]}')
    with pytest.raises(CommandError) as raised:
        run("import_episode", path)
    assert raised.value.returncode == 1
    assert str(raised.value).splitlines() == [
        "$.title: Expected a string, not a number.",
        "$.parts[0]: Expected an object, not a number.",
    ]


def test_import_episode_with_too_many_mistakes_says_so(path: Path) -> None:
    path.write_text(json.dumps({"title": "T", "parts": [1] * 30}))
    with pytest.raises(CommandError, match=r"Only the first 20 mistakes are listed\.$"):
        run("import_episode", path)


def test_import_episode_with_missing_file_or_user_says_which(path: Path) -> None:
    with pytest.raises(CommandError, match=r"Can't read .*nowhere.json: No such file"):
        run("import_episode", path.with_name("nowhere.json"))
    with pytest.raises(CommandError, match=r"There is no user 'nobody'\."):
        run("import_episode", path, owner="nobody")


def test_export_episode_writes_the_document_to_output_or_to_a_file(
    path: Path, tmp_path: Path
) -> None:
    run("import_episode", path)
    episode = Episode.objects.get()
    out = run("export_episode", episode.pk)
    assert json.loads(out)["title"] == "Olá"
    target = tmp_path / "out.json"
    assert run("export_episode", episode.pk, output=target) == ""
    assert target.read_text(encoding="utf-8") == out


def test_export_episode_with_unknown_id_says_so(tmp_path: Path) -> None:
    copying = EpisodeFactory(status=Episode.Status.COPYING)
    for unknown in (copying.pk, copying.pk + 1, 10**30):
        with pytest.raises(CommandError, match=f"There is no episode {unknown}."):
            run("export_episode", unknown)


def test_export_episode_to_an_impossible_path_says_so(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"Can't write .*: Is a directory\."):
        run("export_episode", EpisodeFactory().pk, output=tmp_path)


def test_make_episode_prints_id_and_totals() -> None:
    out = run("make_episode", "--parts=2", "--items=3", "--blocks=4", "--title=Mine")
    episode = Episode.objects.get(title="Mine")
    assert out == f"Made episode {episode.pk}: 2 parts, 6 items, 24 blocks.\n"
    assert Block.objects.count() == 24


def test_make_episode_with_negative_number_or_unknown_owner_says_so() -> None:
    with pytest.raises(CommandError, match="The number of items is -3"):
        run("make_episode", "--parts=2", "--items=-3", "--blocks=4")
    with pytest.raises(CommandError, match=r"There is no user 'nobody'\."):
        run("make_episode", "--parts=1", "--items=1", "--blocks=1", "--owner=nobody")
