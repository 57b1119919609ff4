# The kind that runs again and again.

import django.db.models.deletion
import migrationsync.identifiers
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('toy', '0003_latency'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Chore',
            fields=[
                ('requested', models.CharField(blank=True, choices=[('', 'None'), ('pause', 'Pause'), ('cancel', 'Cancel')], default='', max_length=8)),
                ('progress', models.JSONField(blank=True, default=dict, help_text='Per stage: {"blocks": {"done": 4000, "total": 9000}}. Total null: unknown.')),
                ('event_sequence', models.BigIntegerField(default=0, editable=False)),
                ('waiting_reason', models.CharField(blank=True, default='', max_length=255)),
                ('waiting_since', models.DateTimeField(blank=True, null=True)),
                ('waiting_until', models.DateTimeField(blank=True, null=True)),
                ('waited_seconds', models.FloatField(default=0)),
                ('error_code', models.CharField(blank=True, default='', max_length=64)),
                ('error_message', models.TextField(blank=True, default='')),
                ('traceparent', models.CharField(blank=True, default='', max_length=64)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('started_at', models.DateTimeField(blank=True, null=True)),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('seen_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('id', models.UUIDField(default=migrationsync.identifiers.uuid7, editable=False, primary_key=True, serialize=False)),
                ('status', models.CharField(choices=[('scheduled', 'Scheduled'), ('running', 'Running'), ('paused', 'Paused'), ('failed', 'Failed'), ('cancelled', 'Cancelled'), ('completed', 'Completed')], default='scheduled', max_length=16)),
                ('run', models.PositiveIntegerField(default=0)),
                ('steps', models.JSONField(default=list)),
                ('recurs', models.BooleanField(default=True)),
                ('requested_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-id'],
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='ChoreJob',
            fields=[
                ('name', models.CharField(help_text='The class of the work.', max_length=64)),
                ('stage', models.CharField(max_length=64)),
                ('lane', models.PositiveSmallIntegerField(default=0)),
                ('cursor', models.JSONField(blank=True, null=True)),
                ('parameters', models.JSONField(blank=True, default=dict)),
                ('counts', models.JSONField(blank=True, default=dict)),
                ('step_size', models.PositiveIntegerField(default=0, help_text='Rows of the next step; 0: first.')),
                ('steps', models.PositiveIntegerField(default=0)),
                ('latency', models.JSONField(blank=True, default=dict, help_text="Moving average of a step's time per row; see operations.gates.load.latency.")),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('deliveries', models.PositiveSmallIntegerField(default=0)),
                ('lease_token', models.UUIDField(blank=True, editable=False, null=True)),
                ('lease_until', models.DateTimeField(blank=True, null=True)),
                ('heartbeat_at', models.DateTimeField(blank=True, null=True)),
                ('not_before', models.DateTimeField(blank=True, null=True)),
                ('due_at', models.DateTimeField(blank=True, null=True)),
                ('task_id', models.CharField(blank=True, default='', help_text="The queue's task.", max_length=64)),
                ('error_code', models.CharField(blank=True, default='', max_length=64)),
                ('error_message', models.TextField(blank=True, default='')),
                ('traceback', models.TextField(blank=True, default='')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('started_at', models.DateTimeField(blank=True, null=True)),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('id', models.UUIDField(default=migrationsync.identifiers.uuid7, editable=False, primary_key=True, serialize=False)),
                ('status', models.CharField(choices=[('queued', 'Queued'), ('working', 'Working'), ('put_aside', 'Put aside'), ('failed', 'Failed'), ('done', 'Done')], default='queued', max_length=16)),
                ('run', models.PositiveIntegerField()),
                ('chore', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='jobs', to='toy.chore')),
            ],
            options={
                'ordering': ['id'],
                'abstract': False,
            },
        ),
        migrations.AddIndex(
            model_name='chore',
            index=models.Index(condition=models.Q(('ended_at__isnull', False), ('seen_at__isnull', True)), fields=['requested_by'], name='chore_unseen'),
        ),
        migrations.AddIndex(
            model_name='chorejob',
            index=models.Index(condition=models.Q(('due_at__isnull', False)), fields=['due_at'], name='chorejob_due_at'),
        ),
        migrations.AddIndex(
            model_name='chorejob',
            index=models.Index(condition=models.Q(('lease_until__isnull', False)), fields=['lease_until'], name='chorejob_lease_until'),
        ),
    ]
