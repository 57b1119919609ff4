"""Generations by real workers, beside the bare calls; many at once; few and many segments.

Owns what runs when, and on which episodes. Doesn't own the provider nor the opponent (speaking).
"""

from __future__ import annotations

import datetime as dt
import shutil
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from rich.console import Console

from benchmarks.databases import Databases
from benchmarks.generation_figures import CACHED, FEW, FIRST, MANY, Bare, Crowd, Generated
from benchmarks.speaking import Said, Stub, calls, say_all
from benchmarks.workers import Workers, WorkersStopped
from content.models import Block, Episode, Item, Part
from generation.models import GenerationJob
from generation.services import start_generation

DEADLINE_SECONDS = 1_800.0
BLOCKS_PER_ITEM = 10
CROWD_WORKERS = 2
CROWD_STUB = Stub(delay_seconds=0.05, busy_share=0.1, error_share=0.05)
# In every episode of the crowd: some said by all (the part's name is the third), and some by
# this one alone.
SHARED_SENTENCES, OWN_SENTENCES = 2, 7
ENDED = [GenerationJob.Status[name] for name in ("COMPLETED", "FAILED", "CANCELLED")]


class GenerationFailed(Exception):
    """A generation that is measured ended as something else than completed."""


class GeneratingComparison:
    """`folder` is for the sounds and the stub's log; MEDIA_ROOT must be within it."""

    def __init__(self, databases: Databases, console: Console, *, folder: Path, stub: Stub) -> None:
        self._databases = databases
        self._console = console
        self._folder = folder
        self._stub = stub
        self.generated: list[Generated] = []
        self.bare: list[Bare] = []
        self.crowd: Crowd

    def compare(self, *, segments: int, few: int, many: int, episodes: int, runs: int) -> None:
        with self._console.status("Making the episodes"), self._databases.source():
            self._episodes = {
                # The name of the part is said, too.
                number: _make(f"{number} segments", _sentences("Sentence", number - 1))
                for number in {segments, few, many}
            }
            self._crowd = [
                _make(f"One of many: {number}", _crowd_text(number)) for number in range(episodes)
            ]
            with connection.cursor() as cursor:
                cursor.execute("VACUUM (ANALYZE) episodes, parts, items, blocks")
        for run in range(1, runs + 1):
            with self._console.status(f"A generation beside the bare calls, run {run}"):
                self._beside_bare(run, segments)
        for run in range(1, runs + 1):
            for way, number in ((FEW, few), (MANY, many)):
                with self._console.status(f"{way}, run {run}"):
                    self._for_memory(run, way, number)
        with self._console.status(f"{episodes} episodes at once"):
            self.crowd = self._at_once()

    def _beside_bare(self, run: int, segments: int) -> None:
        """Which of the two is first alternates; what is said is the same from run to run."""
        if run % 2 == 0:
            self._say_bare(run)
        self._restore()
        with self._stub.told(), Workers(1) as workers:
            for way in (FIRST, CACHED):
                self._generate(workers, run, way, segments)
        self._texts = _texts()
        if run % 2:
            self._say_bare(run)

    def _say_bare(self, run: int) -> None:
        with self._stub.told():
            bare = Bare(run, len(self._texts), say_all(self._texts))
        self.bare.append(bare)
        self._console.print(f"bare, run {run}: {bare.calls} calls, {bare.seconds:.2f} s")

    def _for_memory(self, run: int, way: str, segments: int) -> None:
        self._restore()
        at_once = self._stub._replace(delay_seconds=0.0)
        with at_once.told(), Workers(1) as workers:
            self._generate(workers, run, way, segments)

    def _generate(self, workers: Workers, run: int, way: str, segments: int) -> None:
        begun = time.time()
        generation = start_generation(
            episode_id=self._episodes[segments], requested_by=None
        ).generation
        workers.wait_until(lambda: _has_ended(generation), deadline_seconds=DEADLINE_SECONDS)
        ended_at = generation.ended_at
        if ended_at is None or not generation.has_status("COMPLETED"):
            raise GenerationFailed(f"{generation} {generation.status}: {generation.error_message}")
        generated = Generated(
            way,
            run,
            segments=generation.segments.count(),
            seconds=ended_at.timestamp() - begun,
            waited_seconds=generation.waited_seconds,
            stage_seconds={
                stage: (_moment(entry["ended_at"]) - _moment(entry["started_at"])).total_seconds()
                for stage, entry in generation.progress.items()
            },
            worker_peak_rss_mb=workers.peak_rss_mb,
        )
        self.generated.append(generated)
        self._console.print(
            f"{way}, run {run}: {generated.segments} segments, {generated.seconds:.2f} s, "
            f"{generated.worker_peak_rss_mb:.0f} MB"
        )

    def _at_once(self) -> Crowd:
        self._restore()
        log = self._folder / "calls.jsonl"
        generations = GenerationJob.objects.all()
        with CROWD_STUB.told(log), Workers(CROWD_WORKERS) as workers:
            begun = time.time()
            for episode_id in self._crowd:
                start_generation(episode_id=episode_id, requested_by=None)
            try:
                workers.wait_until(
                    lambda: not generations.exclude(status__in=ENDED).exists(),
                    deadline_seconds=DEADLINE_SECONDS,
                )
            except WorkersStopped as stopped:
                self._console.print(str(stopped))
            seconds = time.time() - begun
        answered, turned_away = calls(log, "said"), calls(log, "busy")
        return Crowd(
            episodes=len(self._crowd),
            seconds=seconds,
            stuck=generations.exclude(status__in=ENDED).count(),
            failed=generations.filter(status="failed").count(),
            texts=len(answered),
            calls=answered.total(),
            turned_away=turned_away.total(),
            paid_twice=answered.total() - len(answered),
            segments=sum(each.segments.count() for each in generations),
        )

    def _restore(self) -> None:
        """An empty database but for the episodes, and an empty storage."""
        self._databases.restore()
        shutil.rmtree(settings.MEDIA_ROOT, ignore_errors=True)


def _make(title: str, sentences: list[str]) -> int:
    """An episode that says each sentence, in a block of its own."""
    episode = Episode.objects.create(title=title)
    part = Part.objects.create(episode=episode, name="All of it")
    numbers = range(0, len(sentences), BLOCKS_PER_ITEM)
    items = Item.objects.bulk_create(Item(part=part, position=number) for number in numbers)
    Block.objects.bulk_create(
        Block(
            item=items[number // BLOCKS_PER_ITEM],
            position=number,
            field_1="html",
            field_2=f"<p>{sentence}</p>",
        )
        for number, sentence in enumerate(sentences)
    )
    return episode.pk


def _sentences(name: str, number: int) -> list[str]:
    """Different ones; so long that no two fit into one of the stub's calls."""
    return [
        f"{name} {each} of these tells one thing and then goes on to tell another one, so that it "
        "takes as long to say as a sentence may take."
        for each in range(1, number + 1)
    ]


def _crowd_text(number: int) -> list[str]:
    shared, own = _sentences("Shared", SHARED_SENTENCES), _sentences(f"Of {number}", OWN_SENTENCES)
    return [*own[:3], *shared, *own[3:]]


def _has_ended(generation: GenerationJob) -> bool:
    generation.refresh_from_db()
    return generation.status in ENDED


def _texts() -> list[Said]:
    """What the first generation said, each once."""
    first = GenerationJob.objects.earliest("pk")
    pairs = first.segments.order_by("number").values_list("text", "voice")
    return list(dict.fromkeys(Said(text, voice) for text, voice in pairs))


def _moment(text: Any) -> dt.datetime:
    return dt.datetime.fromisoformat(text)
