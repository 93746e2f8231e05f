# SPDX-License-Identifier: GPL-3.0-or-later
"""The client against real engine processes: crashes, cancelling, stray prints."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from mien.neural.client import Engine
from mien.neural.protocol import PROTOCOL, Done, Error, Progress, Warn
from mien.tests.neural.engine_help import JOBS, LIMIT, alive, posix, under_way, until, works


@pytest.fixture
def engine(tmp_path):
    with Engine(Path(sys.executable), tmp_path / "logs", arguments=("--jobs", str(JOBS))) as engine:
        yield engine


def test_a_job_from_run_to_done(engine):
    messages = []
    final = engine.run("echo", {"path": "/a b/ü.mp4", "n": 1}).wait(messages.append, LIMIT)
    assert messages == [Progress("echo", 0, 2), Warn("careful – Achtung"), Progress("echo", 2, 2, 0.0), final]
    assert final.result["params"] == {"path": "/a b/ü.mp4", "n": 1}
    assert final.result["stdin"] == ""
    assert engine.hello is not None
    assert engine.hello.protocol == PROTOCOL
    assert engine.hello.pid != os.getpid()
    assert engine.job.warnings == ["careful – Achtung"]
    assert not engine.busy


def test_poll_never_blocks_and_delivers_everything(engine):
    job = engine.run("echo", {})
    got = []

    def drained():
        got.extend(job.poll())
        return job.final is not None

    until(drained)
    assert isinstance(got[-1], Done)
    assert len(got) == 4
    assert job.poll() == []


def test_the_process_is_kept_for_the_next_job(engine):
    works(engine)
    first = engine.hello.pid
    works(engine)
    assert engine.hello.pid == first


def test_prints_do_not_corrupt_the_protocol(engine):
    messages = []
    final = engine.run("prints", {}).wait(messages.append, LIMIT)
    assert messages == [Done({"honest": True})]
    works(engine)
    log = next(engine.log_folder.glob("*.log"))
    engine.close()
    text = log.read_text(encoding="utf-8")
    assert final.result == {"honest": True}
    for word in ("python print", "native print", "child print"):
        assert word in text


@pytest.mark.parametrize(("job", "kind", "word"), [
    ("user_error", "user", "The plate x.mp4 shows no face."),
    ("defect", "defect", "IndexError"),
    ("not_json", "defect", "JSON"),
    ("leaves", "defect", "SystemExit"),
    ("lacks_package", "user", "'a_package_nobody_has'"),
    ("no_such_job", "user", "'no_such_job'"),
])
def test_the_worker_survives_a_failing_job(engine, job, kind, word):
    final = engine.run(job, {}).wait(timeout=LIMIT)
    assert isinstance(final, Error)
    assert final.kind == kind
    assert word in final.text
    assert "\n" not in final.text
    pid = engine.hello.pid
    works(engine)
    assert engine.hello.pid == pid
    engine.close()
    log = Path(final.log).read_text(encoding="utf-8")
    assert "Traceback" in log
    assert final.text in log


@posix
def test_kill_9_is_one_clear_error_and_the_next_job_works(engine):
    job = under_way(engine.run("steps_forever", {}))
    old = engine.hello.pid
    os.kill(old, signal.SIGKILL)
    final = job.wait(timeout=LIMIT)
    assert isinstance(final, Error)
    assert final.kind == "crash"
    assert "SIGKILL" in final.text
    assert "'steps_forever'" in final.text
    assert Path(final.log).is_file()
    assert job.poll() == []
    assert works(engine)["params"] == {"x": 1}
    assert engine.hello.pid != old


@posix
def test_kill_9_while_idle_does_not_matter(engine):
    works(engine)
    old = engine.hello.pid
    os.kill(old, signal.SIGKILL)
    until(lambda: not engine.running)
    works(engine)
    assert engine.hello.pid != old


@posix
@pytest.mark.parametrize(("params", "word"), [
    ({"signal": "SIGSEGV"}, "segmentation fault"), ({"signal": "SIGABRT"}, "aborted"), ({"exit": 3}, "exit code 3")])
def test_a_crash_is_told_in_words_with_the_end_of_stderr(engine, params, word):
    final = engine.run("kills_itself", params).wait(timeout=LIMIT)
    assert isinstance(final, Error)
    assert final.kind == "crash"
    assert word in final.text
    assert "about to go" in final.details
    assert "about to go" in Path(final.log).read_text(encoding="utf-8")
    works(engine)


def test_cancel_stops_at_the_next_step_and_keeps_the_engine(engine, tmp_path):
    job = under_way(engine.run("steps_forever", {"note": str(tmp_path / "note")}))
    pid = engine.hello.pid
    job.cancel()
    assert job.cancelling
    job.cancel()
    final = job.wait(timeout=LIMIT)
    assert isinstance(final, Error)
    assert final.kind == "cancelled"
    assert (tmp_path / "note").read_text(encoding="utf-8") == "clean"
    job.cancel()
    works(engine)
    assert engine.hello.pid == pid


def test_cancel_right_after_run(engine):
    job = engine.run("steps_forever", {})
    job.cancel()
    final = job.wait(timeout=LIMIT)
    assert isinstance(final, Error)
    assert final.kind == "cancelled"
    works(engine)


@posix
def test_a_stuck_job_is_terminated_and_still_cleans_up(engine, tmp_path):
    engine.cancel_grace = 0.1
    job = under_way(engine.run("stuck", {"note": str(tmp_path / "note")}))
    pid = engine.hello.pid
    job.cancel()
    final = job.wait(timeout=LIMIT)
    assert isinstance(final, Error)
    assert final.kind == "cancelled"
    assert (tmp_path / "note").read_text(encoding="utf-8") == "clean"
    until(lambda: not alive(pid))
    works(engine)


@posix
def test_a_job_deaf_to_everything_is_killed(engine, tmp_path):
    engine.cancel_grace = engine.terminate_grace = 0.1
    job = under_way(engine.run("stuck", {"deaf": True, "note": str(tmp_path / "note")}))
    pid = engine.hello.pid
    job.cancel()
    final = job.wait(timeout=LIMIT)
    assert isinstance(final, Error)
    assert final.kind == "cancelled"
    assert not (tmp_path / "note").exists()
    until(lambda: not alive(pid))
    works(engine)


@posix
def test_a_frozen_engine_is_killed(engine):
    engine.cancel_grace = engine.terminate_grace = 0.1
    job = under_way(engine.run("steps_forever", {}))
    os.kill(engine.hello.pid, signal.SIGSTOP)
    job.cancel()
    final = job.wait(timeout=LIMIT)
    assert isinstance(final, Error)
    assert final.kind == "cancelled"


def test_a_second_job_is_refused_while_one_runs(engine):
    job = under_way(engine.run("steps_forever", {}))
    refused = engine.run("echo", {}).wait(timeout=LIMIT)
    assert isinstance(refused, Error)
    assert "busy with 'steps_forever'" in refused.text
    job.cancel()
    assert job.wait(timeout=LIMIT).kind == "cancelled"


def test_wait_gives_up_and_the_job_goes_on(engine):
    job = under_way(engine.run("steps_forever", {}))
    with pytest.raises(TimeoutError, match="steps_forever"):
        job.wait(timeout=0.01)
    assert engine.busy


def test_close_ends_a_running_job_and_the_process(engine):
    job = under_way(engine.run("steps_forever", {}))
    pid = engine.hello.pid
    engine.close()
    assert isinstance(job.final, Error)
    assert job.final.kind == "cancelled"
    assert not engine.running
    if os.name == "posix":
        assert not alive(pid)
    works(engine)  # and a later job starts anew


@posix
def test_close_kills_what_does_not_listen(engine):
    under_way(engine.run("stuck", {"deaf": True}))
    pid = engine.hello.pid
    engine.close(grace=0.05)
    assert not alive(pid)


def test_params_that_cannot_be_sent(engine):
    final = engine.run("echo", {"path": Path("x")}).wait(timeout=LIMIT)
    assert isinstance(final, Error)
    assert final.kind == "defect"
    works(engine)


def test_large_params_do_not_block(engine):
    final = engine.run("echo", {"text": "x" * (4 << 20)}).wait(timeout=LIMIT)
    assert isinstance(final, Done)
