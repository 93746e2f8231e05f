# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts that use Blender as a person does: mouse and keyboard, whose events go the way of real ones, through the window's queue.

Blender must be started with --enable-event-simulate. Everything here is a generator of waits (seconds, or a function that tells when to go on),
for a timer to step through (`play`): Blender handles the events and draws between two steps.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from types import ModuleType

import bpy

Wait = Callable[[], bool] | float
Steps = Generator[Wait, None, None]

LOOK = 0.05
"""Seconds that Blender has to find the button under the pointer."""
SCROLLS = 14
"""Turns of the wheel after which a button is not there."""
LIMIT = 900.0
"""Seconds that one step may take."""


# -- the script ---------------------------------------------------------------------------------------------------------------

def arguments() -> list[str]:
    """What stands after -- on Blender's command line."""
    return sys.argv[sys.argv.index("--") + 1:] if "--" in sys.argv else []


def module(name: str) -> ModuleType:
    """A module of the installed extension."""
    package = next((addon.module for addon in bpy.context.preferences.addons if addon.module.endswith(".mien")), None)
    if package is None:
        raise SystemExit("Mien is not switched on; install the zip first.")
    return importlib.import_module(f"{package}.{name}")


def play(steps: Steps, folder: Path, *, pause: float = 0.03, pace: float = 1.0, ticked: Callable[[], None] = lambda: None) -> None:
    """Step through `steps` with a timer that ticks every `pause` seconds, then end Blender and delete `folder`; with 1 when a step fails.

    `pace` makes every wait longer, for a computer that draws slowly.
    """
    wait: Wait = 1.0
    since = time.monotonic()

    def tick() -> float:
        nonlocal wait, since
        ticked()
        waited = time.monotonic() - since
        try:
            if waited > LIMIT:
                raise TimeoutError("a step did not end")
            if wait() if callable(wait) else waited >= pace * wait:
                wait, since = next(steps), time.monotonic()
        except StopIteration:
            leave(0, folder)
        except Exception:  # noqa: BLE001 - whatever it is, it is told, and Blender ends: nobody watches the window
            traceback.print_exc()
            leave(1, folder)
        return pause

    bpy.app.timers.register(tick, first_interval=1.0, persistent=True)


def leave(code: int, folder: Path) -> None:
    """End Mien's engines, the folder, Blender."""
    module("operators.result").stop()
    module("operators.engine").close_engine()
    shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


# -- the hands ----------------------------------------------------------------------------------------------------------------


class NotFound(Exception):
    """There is no such button under the pointer anywhere in the region."""


class Hands:
    """The pointer and the keys of one window at a time."""

    def __init__(self, window: bpy.types.Window):
        self.window = window
        self.place = (0, 0)
        self._found: dict[tuple[str, str], tuple[int, int]] = {}
        """Where a button was last."""

    # -- the pointer ----------------------------------------------------------------------------------------------------------

    def send(self, kind: str, value: str = "PRESS", **more: object) -> None:
        self.window.event_simulate(type=kind, value=value, x=self.place[0], y=self.place[1], **more)

    def move(self, x: float, y: float) -> Steps:
        self.place = (int(x), int(y))
        self.send("MOUSEMOVE", "NOTHING")
        yield LOOK

    def click(self, x: float | None = None, y: float | None = None) -> Steps:
        """The left button, here or at a place in the window."""
        if x is not None and y is not None:
            yield from self.move(x, y)
        self.send("LEFTMOUSE")
        yield LOOK
        self.send("LEFTMOUSE", "RELEASE")
        yield 2 * LOOK

    def drag(self, across: int) -> Steps:
        """From here to the right (left where negative) with the left button held, in steps that a slider follows."""
        x, y = self.place
        self.send("LEFTMOUSE")
        for part in range(1, 11):
            yield from self.move(x + across * part / 10, y)
        self.send("LEFTMOUSE", "RELEASE")
        yield 2 * LOOK

    def wheel(self, turns: int) -> Steps:
        for _ in range(abs(turns)):
            self.send("WHEELDOWNMOUSE" if turns > 0 else "WHEELUPMOUSE")
            self.send("WHEELDOWNMOUSE" if turns > 0 else "WHEELUPMOUSE", "RELEASE")
            yield LOOK

    # -- keys -----------------------------------------------------------------------------------------------------------------

    def key(self, *kinds: str, **held: bool) -> Steps:
        """One key after the other; held: ctrl, shift, alt."""
        for kind in kinds:
            self.send(kind, **held)
            self.send(kind, "RELEASE", **held)
            yield 2 * LOOK

    def write(self, words: str) -> Steps:
        """Into the text field that is being edited, in the place of what is there."""
        yield from self.key("A", ctrl=True)
        for letter in words:
            self.send("SPACE", unicode=letter)  # the letter counts, not the key
            self.send("SPACE", "RELEASE")
            yield LOOK / 2
        yield from self.key("RET")

    # -- what is under the pointer --------------------------------------------------------------------------------------------

    def under(self, area: bpy.types.Area, region: bpy.types.Region) -> str:
        """`mien.track(...)` over an operator's button, `mien.happy` over a property, "" elsewhere."""
        manager = bpy.context.window_manager
        with bpy.context.temp_override(window=self.window, area=area, region=region):
            found = getattr(bpy.context, "property", None)
            if found:
                return found[1].rpartition(".")[2] if not found[1].startswith("mien") else found[1]
            if not bpy.ops.ui.copy_python_command_button.poll():
                return ""
            bpy.ops.ui.copy_python_command_button()
        return manager.clipboard.removeprefix("bpy.ops.")

    def find(self, wanted: str, area: bpy.types.Area, kind: str = "UI", across: float = 0.5, scroll: bool = True) -> Steps:
        """Move the pointer over the button or property `wanted` (see `under`) of a region; the column is at `across` of its width."""
        region = next(r for r in area.regions if r.type == kind)
        if (yield from self._again(wanted, area, [region])):
            return
        x = region.x + across * (region.width - 22 * (kind == "UI"))
        for turn in range(SCROLLS if scroll else 1):
            for y in range(region.y + region.height - 6, region.y + 4, -9):
                yield from self.move(x, y)
                if matches(self.under(area, region), wanted):
                    yield from self.move(x, y - 4)  # not on its edge
                    yield 3 * LOOK
                    if matches(self.under(area, region), wanted):  # the sidebar was still rolling otherwise
                        self._found[area.type, wanted] = self.place
                        return
            yield from self.move(x, region.y + region.height / 2)
            yield from self.wheel(-SCROLLS * 2 if turn == 0 and scroll else 4 if scroll else 0)
            yield 0.4
        raise NotFound(f"no {wanted} in {area.type}")

    def find_along(self, wanted: str, area: bpy.types.Area, kinds: Iterable[str] = ("HEADER", "FOOTER", "EXECUTE")) -> Steps:
        """As `find`, in regions that are one or two rows."""
        regions = [r for r in area.regions if r.type in kinds and r.width > 1 and r.height > 1]
        if (yield from self._again(wanted, area, regions)):
            return
        for region in regions:
            for y in range(region.y + 12, region.y + region.height, 20):
                for x in range(region.x + 8, region.x + region.width, 18):
                    yield from self.move(x, y)
                    if matches(self.under(area, region), wanted):
                        yield from self.move(x + 18, y)  # not on its edge
                        self._found[area.type, wanted] = self.place
                        return
        raise NotFound(f"no {wanted} in {area.type}")

    def _again(self, wanted: str, area: bpy.types.Area, regions: Iterable[bpy.types.Region]) -> Generator[Wait, None, bool]:
        """Is the button where it was the last time?"""
        if (area.type, wanted) not in self._found:
            return False
        yield from self.move(*self._found[area.type, wanted])
        yield 3 * LOOK
        return any(matches(self.under(area, region), wanted) for region in regions)


def matches(seen: str, wanted: str) -> bool:
    """`wanted` is a property, or an operator with the first of its arguments where that matters: "mien.compare(mode='OVER'"."""
    return seen == wanted or seen.startswith(wanted if "(" in wanted else f"{wanted}(")


class Desk:
    """Blender's window as a script uses it: with the hands, or `quick`, by the operators that the buttons call."""

    def __init__(self, window: bpy.types.Window, quick: bool):
        self.window, self.quick = window, quick
        self.hands = Hands(window)

    def area(self, kind: str) -> bpy.types.Area:
        return max((a for a in self.window.screen.areas if a.type == kind), key=lambda a: a.width * a.height)

    def press(self, wanted: str, across: float = 0.5, **quick: str) -> Steps:
        """The button of an operator in the sidebar; `quick`: what a file browser would give it."""
        if self.quick:
            name, _, arguments = wanted.partition("(")
            self.call(name, **dict(re.findall(r"(\w+)='(\w+)'", arguments)), **quick)
            yield 0.5
        else:
            yield from self.hands.find(wanted, self.area("VIEW_3D"), across=across)
            yield from self.hands.click()

    def call(self, name: str, **arguments: object) -> None:
        """An operator as its button calls it."""
        area = self.area("VIEW_3D")
        family, _, operator = name.partition(".")
        with bpy.context.temp_override(window=self.window, area=area, region=next(r for r in area.regions if r.type == "WINDOW")):
            getattr(getattr(bpy.ops, family), operator)("EXEC_DEFAULT" if family == "wm" else "INVOKE_DEFAULT", **arguments)

    def roll(self, turns: int) -> None:
        """The sidebar down (up where negative), where no search for a button has done it."""
        area = self.area("VIEW_3D")
        with bpy.context.temp_override(window=self.window, area=area, region=next(r for r in area.regions if r.type == "UI")):
            for _ in range(abs(turns)):
                (bpy.ops.view2d.scroll_down if turns > 0 else bpy.ops.view2d.scroll_up)()

    def point(self, wanted: str) -> Steps:
        """The pointer over a property in the sidebar, at the value's place."""
        yield from self.hands.find(wanted, self.area("VIEW_3D"), across=0.7)

    def away(self) -> Steps:
        """The pointer where it brings up no tooltip and hides nothing."""
        yield from self.hands.move(self.window.width * 0.5, 6)  # the status bar
        yield 0.3

    def browse(self, path: Path) -> Steps:
        """In the file browser that is open: the folder and the name, which are set as one types them, then Return over the list."""
        if self.quick:
            return
        yield lambda: any(a.type == "FILE_BROWSER" for a in self.window.screen.areas)
        yield 1.0
        area = self.area("FILE_BROWSER")
        params = area.spaces.active.params
        params.directory, params.filename = bytes(path.parent), path.name
        area.tag_redraw()
        yield from self.hands.move(area.x + area.width * 0.6, area.y + area.height * 0.3)
        yield from self.hands.key("RET")
        yield lambda: not any(a.type == "FILE_BROWSER" for a in self.window.screen.areas)

    def go_to(self, frame: int) -> Steps:
        if self.quick:
            self.window.scene.frame_set(frame)
            return
        yield from self.hands.find_along("frame_current", self.area("DOPESHEET_EDITOR"))
        yield from self.hands.key("RET")
        yield from self.hands.write(str(frame))
        yield lambda: self.window.scene.frame_current == frame
