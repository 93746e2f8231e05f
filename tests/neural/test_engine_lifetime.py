# SPDX-License-Identifier: GPL-3.0-or-later
"""How an engine starts and ends: interpreters, the worker without its client, logs, and what the client needs."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from mien.neural import client
from mien.neural.client import Engine
from mien.neural.protocol import PROTOCOL, Done, Error, Hello, Progress, Quit, Run, Warn, decode, encode
from mien.tests.neural.engine_help import JOBS, LIMIT, alive, posix, until, works


@pytest.fixture
def engine(tmp_path):
    with Engine(Path(sys.executable), tmp_path / "logs", arguments=("--jobs", str(JOBS))) as engine:
        yield engine


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
