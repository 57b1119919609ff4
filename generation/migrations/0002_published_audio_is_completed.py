"""Published episodes that had their audio before there were generations: COMPLETED, 100 %.

Both ways walk over all episodes by their primary key and commit a page at a time: whoever
writes an episode meanwhile waits for a page at most. One that dies is run again and changes
what is left. While it runs the version before may run beside it; an episode that is published
with audio behind the walk stays PENDING, which says no more than that nothing generated it.
"""

from django.db import migrations

ROWS = 5_000
# What none of our generations left. A generation writes its number with the first thing it does.
OF_NO_GENERATION = {
    "generation_job_id__isnull": True,
    "generation_started_at__isnull": True,
    "generation_completed_at__isnull": True,
}


def complete(apps, schema_editor):
    episodes = apps.get_model("content", "Episode").objects.using(schema_editor.connection.alias)
    without = episodes.filter(status="published", generation_status="PENDING", **OF_NO_GENERATION)
    for page in _pages(episodes):
        without.filter(pk__range=page).exclude(audio_url="").update(
            generation_status="COMPLETED", generation_progress=100
        )


def put_back(apps, schema_editor):
    """Whatever became of the episode since (archived, say): COMPLETED by no generation is what
    `complete` wrote."""
    episodes = apps.get_model("content", "Episode").objects.using(schema_editor.connection.alias)
    completed = episodes.filter(generation_status="COMPLETED", **OF_NO_GENERATION)
    for page in _pages(episodes):
        completed.filter(pk__range=page).update(generation_status="PENDING", generation_progress=0)


def _pages(episodes):
    """The first and the last primary key of each page."""
    after = 0
    while page := list(
        episodes.filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)[:ROWS]
    ):
        yield page[0], page[-1]
        after = page[-1]


class Migration(migrations.Migration):
    # A page is a transaction of its own.
    atomic = False

    dependencies = [
        ("generation", "0001_initial"),
    ]

    operations = [
        migrations.RunPython(complete, put_back),
    ]
