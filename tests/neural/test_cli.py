# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: usage, exit codes, one sentence on stderr, what reaches the jobs. The jobs themselves are stand-ins."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from mien.mesh.errors import MienError
from mien.neural import cli
from mien.neural.console import PLAIN_INTERVAL, Console

LIMIT = 60.0
posix = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")

FACTS = {"folder": "a.mien", "first_frame": 1001, "fps": [30000, 1001], "size": [64, 48], "face": 0, "audio": False, "frames": 5}
SUMMARIES = {
    "track": {**FACTS, "tracked": 3, "faces": 1, "lost": [[1002, 1002], [1004, 1004]], "cuts": [1003]},
    "solve": {**FACTS, "solved": 5, "model": "default", "reprojection": 0.0123, "focal": 1000.4, "focal_mm": 50.0, "lost": [], "cuts": []},
    "edit": {"frames": 5, "changed": 4, "jitter": 1.01, "output": "out.mp4"},
    "selftest": {"mien": "1", "python": "3", "executable": "py", "packages": {"numpy": "1", "torch": None}, "works": True,
                 "checks": [{"name": "Device", "ok": True, "text": "processor", "fix": ""}]},
}


@pytest.fixture
def calls(monkeypatch):
    """Stand-ins for the jobs: [(name, params)] of what was asked, and an existing shot at the time of the call."""
    found = []

    def stand_in(name):
        def job(params, report):
            report.step(name, 0, 2)
            report.warn(f"careful with {name}")
            report.step(name, 2, 2)
            found.append((name, dict(params)))
            return SUMMARIES[name]
        return job

    monkeypatch.setattr(cli, "JOBS", {name: stand_in(name) for name in SUMMARIES})
    return found


@pytest.fixture
def shot(tmp_path):
    folder = tmp_path / "a b.mien"
    folder.mkdir()
    return folder


@pytest.fixture
def plate(tmp_path):
    path = tmp_path / "é.mp4"
    path.touch()
    return path


@pytest.mark.parametrize("arguments", [
    "",
    "dance",
    "track",
    "track a.mp4",
    "track a.mp4 -o s.mien --face -1",
    "track a.mp4 -o s.mien --fps 0",
    "track a.mp4 -o s.mien --fps fast",
    "track a.mp4 -o s.mien --first-frame x",
    "solve",
    "solve s.mien --focal-mm 0",
    "edit s.mien --emotion happy=1",
    "edit s.mien -o o.mp4",
    "edit s.mien -o o.mp4 --mouth 1",
    "edit s.mien -o o.mp4 --emotion hapy=1",
    "edit s.mien -o o.mp4 --emotion happy",
    "edit s.mien -o o.mp4 --emotion happy=",
    "edit s.mien -o o.mp4 --emotion happy=1.1",
    "edit s.mien -o o.mp4 --emotion happy=-0.1",
    "edit s.mien -o o.mp4 --emotion happy=nan",
    "edit s.mien -o o.mp4 --emotion happy=0.5,,sad=1",
    "edit s.mien -o o.mp4 --emotion happy=1 --curves c.csv",
    "edit s.mien -o o.mp4 --emotion happy=1 --mouth 2",
    "edit s.mien -o o.mp4 --emotion happy=1 --neutralise no",
    "edit s.mien -o o.mp4 --emotion happy=1 --glasses maybe",
    "edit s.mien -o o.mp4 --emotion happy=1 --codec h265",
    "edit s.mien -o o.mp4 --emotion happy=1 --codec prores",
    "edit s.mien -o o.gif --emotion happy=1",
    "edit s.mien -o o --emotion happy=1",
    "edit s.mien -o o.####.exr --emotion happy=1 --codec png",
    "selftest now",
])
def test_wrong_usage_is_2(arguments, calls, capsys):
    assert cli.main(arguments.split()) == 2
    assert calls == []
    assert "usage: mien" in capsys.readouterr().err


def test_wrong_names_are_told_with_the_right_ones(capsys):
    cli.main(["edit", "s", "-o", "o.mp4", "--emotion", "joy=1"])
    assert "'joy'; use one of angry, contempt, disgusted, fear, happy, sad, surprised" in capsys.readouterr().err
    cli.main(["edit", "s", "-o", "o.mp4", "--emotion", "happy=1", "--codec", "prores"])
    assert "use .mov for it" in capsys.readouterr().err


def test_options_of_a_plate_do_not_go_with_a_shot(shot, calls, capsys):
    assert cli.main(["edit", str(shot), "-o", "o.mp4", "--emotion", "happy=1", "--focal-mm", "35"]) == 2
    assert "--focal-mm is for a plate" in capsys.readouterr().err


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version(argument, capsys):
    assert cli.main([argument]) == 0
    assert "mien" in capsys.readouterr().out


def test_track_and_what_it_prints(calls, capsys):
    assert cli.main(["track", "p.####.exr", "-o", "s.mien", "--face", "1", "--first-frame", "-5", "--fps", "24000/1001"]) == 0
    assert calls == [("track", {"plate": "p.####.exr", "folder": "s.mien", "face": 1, "first_frame": -5, "fps": "24000/1001"})]
    out, err = capsys.readouterr()
    for words in ("5 frames (1001-1005), 64 x 48, 30000/1001", "found on 3 of 5", "cuts          1003", "lost frames   1002, 1004"):
        assert words in out
    assert err.splitlines() == ["warning: careful with track", err.splitlines()[1]]
    assert err.splitlines()[1].startswith("track: 2 of 2 in ")


def test_solve_and_what_it_prints(calls, capsys):
    assert cli.main(["solve", "s.mien", "--model", "ict", "--focal-mm", "35"]) == 0
    assert calls == [("solve", {"folder": "s.mien", "model": "ict", "focal_mm": 35.0})]
    out = capsys.readouterr().out
    for words in ("1.23 % of the inter-ocular distance", "1000 px (50.0 mm", "5 of 5 frames", "cuts          none", "lost frames   none"):
        assert words in out


def test_edit_of_a_shot(shot, calls, tmp_path, capsys):
    output = tmp_path / "out.mov"
    assert cli.main(["edit", str(shot), "-o", str(output), "--emotion", "happy=0.8, sad=0.2", "--emotion", "angry=0", "--mouth", "1",
                     "--neutralise", "0.5", "--glasses", "on", "--codec", "ffv1"]) == 0
    assert calls == [("edit", {"folder": str(shot), "output": str(output), "codec": "ffv1", "settings": {"glasses": "on"},
                               "controls": {"mouth": 1.0, "neutralise": 0.5, "happy": 0.8, "sad": 0.2, "angry": 0.0}})]
    assert "written       out.mp4" in capsys.readouterr().out


def test_edit_with_curves(shot, calls, tmp_path):
    assert cli.main(["edit", str(shot), "-o", str(tmp_path / "o.####.png"), "--curves", "c.csv", "--mouth", "0"]) == 0
    assert calls[0][1] == {"folder": str(shot), "output": str(tmp_path / "o.####.png"), "curves": "c.csv", "controls": {"mouth": 0.0}}


def test_edit_of_a_plate_does_all_the_stages_in_a_place_that_vanishes(plate, calls, tmp_path):
    assert cli.main(["edit", str(plate), "-o", str(tmp_path / "o.mp4"), "--emotion", "happy=1", "--face", "1", "--model", "ict"]) == 0
    folder = calls[0][1]["folder"]
    assert [name for name, _ in calls] == ["track", "solve", "edit"]
    assert calls[0][1] == {"plate": str(plate), "folder": folder, "face": 1}
    assert calls[1][1] == {"folder": folder, "model": "ict"}
    assert calls[2][1] == {"folder": folder, "output": str(tmp_path / "o.mp4"), "controls": {"happy": 1.0}}
    assert not Path(folder).parent.exists()


def test_edit_of_a_plate_can_keep_the_shot(plate, calls, tmp_path):
    assert cli.main(["edit", str(plate), "-o", str(tmp_path / "o.mp4"), "--emotion", "happy=1", "--shot", str(tmp_path / "kept.mien")]) == 0
    assert {params["folder"] for _, params in calls} == {str(tmp_path / "kept.mien")}


@pytest.mark.parametrize(("target", "output", "word"), [
    ("nothing", "o.mp4", "does not exist"),
    ("nothing.mp4", "o.mp4", "does not exist"),
    ("é.mp4", "é.mp4/o.mp4", "is no folder"),
    ("é.mp4", "é.mp4", "is the plate itself"),
])
def test_edit_fails_before_any_work(plate, shot, calls, tmp_path, capsys, target, output, word):
    assert cli.main(["edit", str(tmp_path / target), "-o", str(tmp_path / output), "--emotion", "happy=1"]) == 1
    assert calls == []
    assert one_sentence(capsys.readouterr().err, word)


def test_a_sequence_may_replace_an_older_movie_but_not_itself(calls, tmp_path, capsys):
    (tmp_path / "o.mp4").touch()
    assert cli.main(["edit", str(tmp_path / "p.####.png"), "-o", str(tmp_path / "o.mp4"), "--emotion", "happy=1"]) == 0
    assert cli.main(["edit", str(tmp_path / "p.####.png"), "-o", str(tmp_path / "p.####.png"), "--emotion", "happy=1"]) == 1
    assert "is the plate itself" in capsys.readouterr().err


def test_one_name_for_many_pictures_is_found_before_the_solve(plate, calls, tmp_path, capsys):
    assert cli.main(["edit", str(plate), "-o", str(tmp_path / "o.png"), "--emotion", "happy=1"]) == 1
    assert [name for name, _ in calls] == ["track"]
    assert "o.####.png" in capsys.readouterr().err


def one_sentence(err: str, word: str) -> bool:
    lines = err.splitlines()
    return len(lines) == 1 and lines[0].startswith("error: ") and word in lines[0]


def fail_with(monkeypatch, error):
    def job(params, report):
        raise error
    monkeypatch.setattr(cli, "JOBS", {"solve": job})


def test_a_failure_is_1_and_one_sentence(monkeypatch, capsys):
    fail_with(monkeypatch, MienError("The folder is no shot."))
    assert cli.main(["solve", "s"]) == 1
    assert capsys.readouterr().err == "error: The folder is no shot.\n"


def test_debug_shows_the_traceback(monkeypatch, capsys):
    fail_with(monkeypatch, MienError("The folder is no shot."))
    assert cli.main(["solve", "s", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_is_130_and_the_temporary_shot_goes(plate, calls, tmp_path, monkeypatch, capsys):
    def interrupted(params, report):
        calls.append(("edit", params))
        raise KeyboardInterrupt
    monkeypatch.setitem(cli.JOBS, "edit", interrupted)
    assert cli.main(["edit", str(plate), "-o", str(tmp_path / "o.mp4"), "--emotion", "happy=1"]) == 130
    assert not Path(calls[-1][1]["folder"]).parent.exists()
    assert capsys.readouterr().err.splitlines()[-1] == "cancelled"


# -- as a process -------------------------------------------------------------------------------------------------------

def program(body: str) -> list[str]:
    """A `mien solve` whose job is `body`."""
    return [sys.executable, "-c", textwrap.dedent("""
        import os, sys, threading, warnings
        from mien.mesh.errors import MienError
        from mien.neural import cli
        def job(params, report):
        {body}
        cli.JOBS = {{"solve": job}}
        sys.argv[1:] = ["solve", "s.mien"]
        cli.entry()
    """).format(body=textwrap.indent(textwrap.dedent(body), "    "))]


def logs_in(folder: Path) -> list[Path]:
    return list(folder.glob("mien-*.log"))


def run(body: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(program(body), capture_output=True, text=True, timeout=LIMIT, check=False, env={**os.environ, "TMPDIR": str(tmp_path)})


CHATTER = """
    print("from Python")
    os.write(1, b"from a library\\n")
    os.write(2, b"W0000 from a library\\n")
    warnings.warn("from numpy")
"""


def test_what_libraries_print_stays_out_of_sight(tmp_path):
    done = run(CHATTER + '    raise MienError("No face.")', tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "error: No face.\n")
    assert logs_in(tmp_path) == []


def test_a_defect_leaves_a_log_with_the_traceback(tmp_path):
    done = run(CHATTER + "    return [][3]", tmp_path)
    (log,) = logs_in(tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "IndexError" in done.stderr
    assert str(log) in done.stderr
    text = log.read_text(encoding="utf-8")
    for words in ("Traceback", "from Python", "W0000 from a library"):
        assert words in text


@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_leave_nothing_behind(tmp_path, number, code):
    body = f"""
    import signal, tempfile
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the test's own parent set
    with tempfile.TemporaryDirectory(dir={str(tmp_path)!r}):
        report.warn("ready")
        while True:
            threading.Event().wait(60)
    """
    process = subprocess.Popen(program(body), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert process.stderr is not None
    assert process.stderr.readline() == "warning: ready\n"
    process.send_signal(number)
    err = process.communicate(timeout=LIMIT)[1]
    assert process.returncode == code
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_help_imports_nothing_heavy():
    code = ("import sys\nfrom mien.neural import cli\nassert cli.main(['--help']) == 0\n"
            "print([m for m in ('numpy', 'cv2', 'tqdm', 'torch') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# -- the console --------------------------------------------------------------------------------------------------------

class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_bars():
    err = Terminal()
    console = Console(io.StringIO(), err)
    for done in range(4):
        console.step("track", done, 3)
        if done == 1:
            console.warn("two faces")
    console.step("solve", 0, 2)
    console.complain("error: stop")
    text = err.getvalue()
    assert "3/3" in text
    assert "warning: two faces\n" in text
    assert text.endswith("\nerror: stop\n")


def test_no_terminal_gets_few_lines():
    err, now = io.StringIO(), [0.0]
    console = Console(io.StringIO(), err, clock=lambda: now[0])
    for done in range(1001):
        now[0] = done * PLAIN_INTERVAL / 400
        console.step("track", done, 1000)
    console.step("track", 1000, 1000)
    assert err.getvalue().splitlines() == ["track: 400 of 1000, about 45 s left", "track: 800 of 1000, about 15 s left",
                                           "track: 1000 of 1000 in 75.0 s"]


def test_the_temporary_folder_is_the_systems(plate, calls, tmp_path):
    cli.main(["edit", str(plate), "-o", str(tmp_path / "o.mp4"), "--emotion", "happy=1"])
    assert Path(tempfile.gettempdir()) in Path(calls[0][1]["folder"]).parents
