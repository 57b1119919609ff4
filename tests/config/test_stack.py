"""Children that are started for real, some of which don't want to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psutil
import pytest
from django.contrib.auth import authenticate, get_user_model
from django.core.exceptions import ImproperlyConfigured

from config.env import ROOT
from config.stack import accounts, encore
from config.stack.children import ChildFailed, Children
from config.stack.signals import Interrupted, raising_interrupted
from tests.processes import wait_until

STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"


def python(script: str) -> list[str]:
    prelude = "import os, signal, subprocess, sys, time\n"
    return [sys.executable, "-c", prelude + textwrap.dedent(script)]


class Lines(list[str]):
    """A sink, and what went into it."""

    def __call__(self, name: str, line: str) -> None:
        self.append(f"{name}: {line}")


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def children(lines: Lines) -> Iterator[Children]:
    with Children(lines) as children:
        yield children


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.processes
def test_children_output_goes_to_the_sink_line_by_line(children: Children, lines: Lines) -> None:
    children.start("a", python("print('out'); print('é', file=sys.stderr); time.sleep(60)"))
    wait_until(lambda: len(lines) == 2, "both lines arrive while it runs")
    assert lines == ["a: out", "a: é"]


@pytest.mark.processes
def test_children_at_the_end_of_the_block_are_stopped_in_reverse_order(lines: Lines) -> None:
    polite = (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit('bye')); print('up'); time.sleep(60)"
    )
    with Children(lines) as children:
        pids = [children.start(name, python(polite)).pid for name in ("a", "b")]
        wait_until(lambda: len(lines) == 2, "both are up")
    assert lines[2:] == ["b: bye", "a: bye"]
    for pid in pids:  # reaped, too
        assert not psutil.pid_exists(pid)


@pytest.mark.processes
def test_child_ignoring_sigterm_is_killed_with_its_group(children: Children, lines: Lines) -> None:
    child = children.start(
        "a",
        python(
            f"""
            {STUBBORN}
            grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            print(grandchild.pid)
            time.sleep(60)
            """
        ),
    )
    wait_until(lambda: lines, "the grandchild is up")
    child.stop(grace_seconds=0.1)
    assert not psutil.pid_exists(child.pid)
    wait_until(lambda: is_gone(int(lines[0].split()[1])), "the grandchild is gone")


@pytest.mark.processes
def test_child_that_leaves_a_grandchild_is_stopped_with_it(
    children: Children, lines: Lines
) -> None:
    child = children.start(
        "a",
        python(
            "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid)"
        ),
    )
    wait_until(lambda: not child.is_running(), "it has ended")
    child.stop()
    wait_until(lambda: is_gone(int(lines[0].split()[1])), "the grandchild is gone")


@pytest.mark.processes
def test_children_not_ready_in_time_tells_the_last_lines(children: Children, lines: Lines) -> None:
    child = children.start("web", python("print('first'); print('stuck'); time.sleep(60)"))
    wait_until(lambda: len(lines) == 2, "it has written")
    with pytest.raises(ChildFailed) as raised:
        children.wait_until_ready(child, lambda: False, seconds=0.1)
    assert str(raised.value) == ("web isn't ready after 0.1 s. It wrote last:\n  first\n  stuck")


@pytest.mark.processes
@pytest.mark.parametrize(
    ("last_act", "how"),
    [
        ("sys.exit('no such database')", "exit status 1"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
    ],
)
def test_children_ended_before_ready_fails_at_once(
    children: Children, last_act: str, how: str
) -> None:
    child = children.start("web", python(f"print('no such database', flush=True); {last_act}"))
    with pytest.raises(ChildFailed, match=rf"web has ended \({how}\).*\n  no such database"):
        children.wait_until_ready(child, lambda: False, seconds=60)


@pytest.mark.processes
def test_children_wait_ends_when_one_has_ended(children: Children) -> None:
    children.start("web", python("time.sleep(60)"))
    children.start("workers", python("sys.exit(3)"))
    with pytest.raises(ChildFailed, match=r"workers has ended \(exit status 3\)"):
        children.wait()


@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_children_of_an_owner_that_is_killed_get_sigterm() -> None:
    owner = subprocess.Popen(
        python(
            """
            from config.stack.children import Children
            child = "import time; print('up', flush=True); time.sleep(60)"
            with Children(lambda name, line: print(line, children.pid, flush=True)) as group:
                children = group.start("a", [sys.executable, "-c", child])
                time.sleep(60)
            """
        ),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with owner:
        assert owner.stdout
        pid = int(owner.stdout.readline().split()[1])
        owner.kill()
    try:
        wait_until(lambda: is_gone(pid), "the child is gone")
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_raising_interrupted_first_signal_raises_and_later_ones_are_ignored(
    number: signal.Signals,
) -> None:
    before = signal.getsignal(number)
    cleaned_up = []

    def work() -> None:
        with raising_interrupted():
            try:
                signal.raise_signal(number)
            finally:
                signal.raise_signal(signal.SIGINT)
                cleaned_up.append(True)

    with pytest.raises(Interrupted) as raised:
        work()
    assert cleaned_up
    assert raised.value.exit_status == 128 + number
    assert signal.getsignal(number) is before


def test_listen_port_taken_takes_the_next_free_one() -> None:
    with encore.listen(0) as first:
        port = first.getsockname()[1]
        with encore.listen(port) as second:
            assert port < second.getsockname()[1] < port + encore.PORTS_TRIED


def test_listen_beyond_the_last_port_says_so() -> None:
    with pytest.raises(encore.NoFreePort, match="No port from 70000 to 70019"):
        encore.listen(70_000)


@pytest.mark.django_db
def test_ensure_accounts_twice_makes_an_administrator_and_an_editor_once() -> None:
    logins = accounts.ensure_accounts()
    assert accounts.ensure_accounts() == logins
    admin, editor = (authenticate(username=name, password=word) for name, word in logins)
    assert admin
    assert admin.is_superuser
    assert editor
    assert editor.is_staff
    assert not editor.is_superuser
    assert editor.has_perms(
        ["content.change_block", "content.delete_episode", "duplication.add_duplication"]
    )
    assert not editor.has_perm("duplication.delete_duplication")
    assert not editor.has_perm("auth.view_user")
    assert accounts.token_of(accounts.EDITOR) == accounts.token_of(accounts.EDITOR)


@pytest.mark.django_db
def test_ensure_accounts_keeps_a_changed_password_and_doesnt_tell_it() -> None:
    accounts.ensure_accounts()
    admin = get_user_model().objects.get(username="admin")
    admin.set_password("mine")
    admin.save()
    assert str(accounts.ensure_accounts()[0]) == "admin / (the password you gave it)"
    admin.refresh_from_db()
    assert admin.check_password("mine")


@pytest.mark.django_db
def test_ensure_accounts_in_production_is_refused(settings: Any) -> None:
    settings.SESSION_COOKIE_SECURE = True
    with pytest.raises(ImproperlyConfigured, match="public passwords"):
        accounts.ensure_accounts()
    assert not get_user_model().objects.exists()
