# SPDX-License-Identifier: GPL-3.0-or-later
"""The client against real engine processes: crashes, cancelling, stray prints, bad interpreters."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from mien.neural import client
from mien.neural.client import Engine
from mien.neural.protocol import PROTOCOL, Done, Error, Hello, Progress, Quit, Run, Warn, decode, encode

JOBS = Path(__file__).with_name("engine_jobs.py")
LIMIT = 60.0
"""Seconds until a test gives up; none waits for it when all is well."""

posix = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


@pytest.fixture
def engine(tmp_path):
    with Engine(Path(sys.executable), tmp_path / "logs", arguments=("--jobs", str(JOBS))) as engine:
        yield engine


def until(condition, limit=LIMIT):
    """Poll until `condition()`; fails after `limit` seconds."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "took too long"
        time.sleep(0.005)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def under_way(job):
    """Wait for the job's first PROGRESS."""
    until(lambda: job.poll() is not None and (job.progress is not None or job.final is not None))
    assert job.final is None, job.final
    return job


def works(engine):
    final = engine.run("echo", {"x": 1}).wait(timeout=LIMIT)
    assert isinstance(final, Done), final
    return final.result


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


# -- a worker without a client ------------------------------------------------------------------------------------------

BOOTSTRAP = Path(client.__file__).with_name("bootstrap.py")


@contextlib.contextmanager
def raw(*options: str, bootstrap: Path = BOOTSTRAP, **keywords):
    command = [sys.executable, "-I", *options, "-X", "utf8", str(bootstrap), "--jobs", str(JOBS)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **keywords)
    try:
        yield process
    finally:
        process.kill()
        process.stdin.close()
        process.stdout.close()
        process.wait()


def ask(process, message):
    process.stdin.write(encode(message).encode() + b"\n")
    process.stdin.flush()


def replies(process):
    while line := process.stdout.readline():
        yield decode(line)


def final_of(process):
    return next(m for m in replies(process) if isinstance(m, (Done, Error)))


# -- the interpreter ----------------------------------------------------------------------------------------------------

def script(path: Path, text: str) -> Path:
    path.write_text("#!/bin/sh\n" + text, encoding="utf-8")
    path.chmod(0o755)
    return path


def failure(python: Path, tmp_path: Path, **options) -> Error:
    with Engine(python, tmp_path / "logs", **options) as engine:
        final = engine.run("selftest", {}).wait(timeout=LIMIT)
        assert isinstance(final, Error)
        assert final.kind == "user"
        assert "\n" not in final.text
        assert str(python) in final.text
        return final


def test_a_python_that_does_not_exist(tmp_path):
    assert "does not exist" in failure(tmp_path / "nothing" / "python", tmp_path).text
    assert "does not exist" in failure(tmp_path, tmp_path).text


@posix
def test_a_python_that_is_none(tmp_path):
    (tmp_path / "text").write_text("no program", encoding="utf-8")
    assert "cannot be started" in failure(tmp_path / "text", tmp_path).text
    assert "exit code 5" in failure(script(tmp_path / "exits", "echo oh dear >&2; exit 5\n"), tmp_path).text
    assert "oh dear" in failure(script(tmp_path / "exits", "echo oh dear >&2; exit 5\n"), tmp_path).details
    assert "does not start Mien's engine" in failure(script(tmp_path / "babbles", "echo hello; exec cat\n"), tmp_path).text
    assert "did not start within" in failure(script(tmp_path / "silent", "exec cat >&2\n"), tmp_path, start_timeout=0.2).text


@posix
def test_a_python_too_old_says_so_and_another_can_be_chosen(tmp_path):
    # The bootstrap itself, told that it runs on Python 3.9.
    wrapper = script(tmp_path / "python3.9", f"""
while [ "${{1#-}}" != "$1" ]; do case "$1" in -X) shift 2;; *) shift;; esac; done
boot="$1"; shift
exec "{sys.executable}" -I -c "
import runpy, sys
sys.version_info, sys.executable = (3, 9, 1), '{tmp_path}/python3.9'
runpy.run_path(sys.argv[1], run_name='__main__')
" "$boot" "$@"
""")
    with Engine(wrapper, tmp_path / "logs", arguments=("--jobs", str(JOBS))) as engine:
        for _ in range(2):
            final = engine.run("echo", {}).wait(timeout=LIMIT)
            assert isinstance(final, Error)
            assert final.kind == "user"
            assert "is Python 3.9" in final.text
            assert "3.11 or 3.12" in final.text
        engine.python = Path(sys.executable)
        works(engine)


@posix
def test_an_engine_of_another_protocol(tmp_path):
    hello = '{"type": "HELLO", "protocol": 99, "python": "3.11", "pid": 1, "mien": "9"}'
    with Engine(script(tmp_path / "python", f"echo '{hello}'; exec cat\n"), tmp_path / "logs") as engine:
        final = engine.run("echo", {}).wait(timeout=LIMIT)
        assert isinstance(final, Error)
        assert "protocol 99" in final.text
        assert not engine.running


@posix
def test_an_engine_that_babbles_later(tmp_path):
    hello = f'{{"type": "HELLO", "protocol": {PROTOCOL}, "python": "3.11", "pid": 1, "mien": "9"}}'
    with Engine(script(tmp_path / "python", f"echo '{hello}'; echo babble; exec cat\n"), tmp_path / "logs") as engine:
        final = engine.run("echo", {}).wait(timeout=LIMIT)
        assert isinstance(final, Error)
        assert final.kind == "defect"


def test_blenders_python_variables_do_not_reach_the_engine(engine, monkeypatch, tmp_path):
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    monkeypatch.setenv("OCIO", "/config.ocio")
    found = works(engine)
    assert not {"PYTHONPATH", "PYTHONHOME"} & set(found["environment"])
    assert "OCIO" in found["environment"]
    assert str(Path(__file__).resolve().parents[2] / "neural") not in found["path"]


def test_the_extension_folder_may_be_called_anything(tmp_path, repository):
    extension = tmp_path / "user default.ext" / "mien (1) ü"
    for source in (*repository.glob("*.py"), *repository.glob("mesh/*.py"), *repository.glob("neural/**/*.py")):
        copy = extension / source.relative_to(repository)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes())
    with raw(bootstrap=extension / "neural" / "bootstrap.py", cwd=tmp_path) as process:
        ask(process, Run("echo", {}))
        final = final_of(process)
    assert isinstance(final, Done), final
    assert Path(final.result["mien"]) == extension
    assert str(extension / "neural") not in final.result["path"]


# -- the engine's own end -----------------------------------------------------------------------------------------------

def test_the_end_of_stdin_cancels_the_job_and_ends_the_worker(tmp_path):
    with raw() as process:
        ask(process, Run("steps_forever", {"note": str(tmp_path / "note")}))
        next(m for m in replies(process) if isinstance(m, Progress))
        process.stdin.close()
        last = list(replies(process))[-1]
        assert isinstance(last, Error)
        assert last.kind == "cancelled"
        assert process.wait(LIMIT) == 0
    assert (tmp_path / "note").exists()


def test_quit_ends_an_idle_worker():
    with raw() as process:
        ask(process, Quit())
        assert [type(m) for m in replies(process)] == [Hello]
        assert process.wait(LIMIT) == 0


def test_a_request_that_is_none_is_answered():
    with raw() as process:
        process.stdin.write(b"nonsense\n")
        ask(process, Run("echo", {"x": 2}))
        got = [next(replies(process)) for _ in range(6)]
        assert [type(m) for m in got] == [Hello, Error, Progress, Warn, Progress, Done]
        assert got[1].kind == "defect"


@posix
def test_the_engine_dies_with_its_blender(tmp_path):
    """The client's process is killed outright while a job runs."""
    program = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        from mien.neural.client import Engine
        engine = Engine(Path(sys.executable), Path({str(tmp_path)!r}), arguments=("--jobs", {str(JOBS)!r}))
        job = engine.run("steps_forever", {{}})
        job.wait(lambda m: print(engine.hello.pid, flush=True))
    """)
    blender = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    pid = int(blender.stdout.readline())
    blender.kill()
    blender.communicate(timeout=LIMIT)
    until(lambda: not alive(pid))


def test_no_engine_stays_after_a_normal_exit(tmp_path):
    program = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        from mien.neural.client import Engine
        engine = Engine(Path(sys.executable), Path({str(tmp_path)!r}), arguments=("--jobs", {str(JOBS)!r}))
        job = engine.run("steps_forever", {{}})
        while job.poll() is not None and engine.hello is None:
            pass
        print(engine.hello.pid)
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=LIMIT, check=True)
    assert done.stderr == b""
    if os.name == "posix":
        assert not alive(int(done.stdout))


# -- the log ------------------------------------------------------------------------------------------------------------

def test_a_chatty_engine_neither_blocks_nor_fills_the_disk(engine):
    final = engine.run("chatters", {"kilobytes": 9000}).wait(timeout=LIMIT)
    assert final == Done({"done": True})
    engine.close()
    assert sum(p.stat().st_size for p in engine.log_folder.iterdir()) <= 5 << 20


def test_old_logs_go(tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    for i in range(30):
        (logs / f"engine-20200101-0000{i:02d}-1.log").write_text("old", encoding="utf-8")
    (logs / "notes.log").write_text("not ours", encoding="utf-8")
    with Engine(Path(sys.executable), logs, arguments=("--jobs", str(JOBS))) as engine:
        works(engine)
    assert len(list(logs.glob("engine-*.log"))) == 10
    assert (logs / "notes.log").exists()


def test_a_log_folder_that_cannot_be(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    with Engine(Path(sys.executable), tmp_path / "file" / "logs", arguments=("--jobs", str(JOBS))) as engine:
        works(engine)
        final = engine.run("defect", {}).wait(timeout=LIMIT)
        assert isinstance(final, Error)
        assert final.log == ""


# -- layering -----------------------------------------------------------------------------------------------------------

BLOCKED = ("torch", "cv2", "bpy", "numba", "mediapipe", "av", "scipy", "tqdm", "OpenEXR")


@pytest.mark.parametrize(("module", "blocked"), [("client", (*BLOCKED, "numpy")), ("worker", (*BLOCKED, "numpy")), ("cli", (*BLOCKED, "numpy"))])
def test_the_module_needs_nothing_heavy(module, blocked):
    program = f"""
import sys
for name in {blocked!r}:
    sys.modules[name] = None
import mien.neural.{module}
print(*sorted(n for n in sys.modules if n.startswith("mien.")))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    if module == "client":
        assert done.stdout.split() == ["mien.neural", "mien.neural.client", "mien.neural.engine_process", "mien.neural.protocol"]


def test_hello_needs_no_packages_at_all():
    """Even a bare Python says what is missing."""
    with raw("-S") as process:
        assert isinstance(next(replies(process)), Hello)
        ask(process, Run("needs_numpy", {}))
        final = final_of(process)
    assert isinstance(final, Error)
    assert "lacks the package 'numpy'" in final.text
