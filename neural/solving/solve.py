# SPDX-License-Identifier: GPL-3.0-or-later
"""Solve shots: identity and camera on chosen frames, then expression and pose on all, in windows of time.

One identity for all shots that are given together, one camera for each; time terms hold within a take only, so a cut unties what it
separates. docs/solve.md has the equations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ...mesh.camera import Camera, rotation_matrix
from ...mesh.errors import MienError
from ...mesh.frames import frame_ranges, ranges_text
from ...mesh.model import FaceModel
from ...mesh.pins import correct
from ...mesh.shot import Plate, Solve, Track
from ..progress import Reporter
from ..visibility import turned_to_camera
from . import gaze as iris
from .bundle import Member, bundle
from .frames import Gaze, Term, first_state, frame_trust, misfit, solve_frames, windows
from .initial import initial_pose, keyframes
from .lids import Lids
from .noise import near_landmarks, white_noise
from .problem import Observed, Problem, SolveSettings, State

BAD = 0.2
"""Trust below which the artist is told of a frame."""
USUAL_FOCAL = 1.2
"""Focal length of an ordinary lens over the picture's longer side (43 mm on a 36 mm wide sensor)."""
HIDDEN = 1e-3
"""Belief in a landmark under the artist's mask: it only keeps a face that is wholly hidden from having no solution."""
NOISE_FRAMES = 400
"""Frames that the noise is measured on, from the start of the longest takes."""


@dataclass(frozen=True, eq=False)
class Start:
    """Coefficients of a shot to start from, in `Footage.camera`; NaN on frames without a face."""

    alpha: np.ndarray
    """(A,)"""
    beta: np.ndarray
    """(T, B)"""
    rotation: np.ndarray
    """(T, 3) rotation vectors, radians."""
    translation: np.ndarray
    """(T, 3) metres, camera axes."""


@dataclass(frozen=True, eq=False)
class Footage:
    """One shot to solve."""

    track: Track
    plate: Plate
    focal: float | None = None
    """Pixels, where it is known."""
    distortion: tuple[float, float] = (0.0, 0.0)
    """k1, k2 of the lens; see `Camera`."""
    seen: np.ndarray | None = None
    """(T, 478) 0..1: how far each landmark is visible; all of them when None."""
    start: Start | None = None
    """Where to start from instead of a face at rest, such as what a network says."""
    pins: np.ndarray | None = None
    """(P, 5) `Pins.rows`: landmarks that the artist has put right."""

    @property
    def camera(self) -> Camera:
        """The camera that a solve starts from."""
        plate = self.plate
        return Camera.centred(plate.width, plate.height, self.focal or USUAL_FOCAL * max(plate.width, plate.height), self.distortion)


def solve_track(model: FaceModel, track: Track, plate: Plate, report: Reporter, *, focal: float | None = None, alpha: np.ndarray | None = None,
                settings: SolveSettings = SolveSettings()) -> Solve:
    """Coefficients of every tracked frame of one shot; see `solve_shots`."""
    return solve_shots(model, [Footage(track, plate, focal)], report, alpha=alpha, settings=settings)[0]


def solve_shots(model: FaceModel, footage: Sequence[Footage], report: Reporter, *, alpha: np.ndarray | None = None,
                settings: SolveSettings = SolveSettings()) -> list[Solve]:
    """Coefficients of every tracked frame of shots of one person. `alpha` (A,) holds an identity that is known.

    Raises MienError when the model has none of the tracker's landmarks, or alpha is another model's.
    """
    if alpha is not None and len(alpha) != model.identity_count:
        raise MienError(f"The identity has {len(alpha)} coefficients, the face model '{model.name}' {model.identity_count}; "
                        "take the identity from a shot that was solved with this model.")
    shots = [Prepared(model, f, settings) for f in footage]
    count = sum(len(s.found) for s in shots)
    shared = bundle([s.member for s in shots], settings, alpha, lambda done, total: report.step("identity", done, total))
    done, solves = 0, []
    for shot in shots:
        solve = shot.empty_solve(shared)
        for kept in shot.fill(solve, shared):
            done += kept
            report.step("solve", done, count)
        solves.append(solve)
        shot.warn(report)
    return solves


class Prepared:
    """A shot with its first poses and its keyframes."""

    def __init__(self, model: FaceModel, footage: Footage, settings: SolveSettings):
        track, plate = footage.track, footage.plate
        if model.landmark_scheme != track.scheme:
            raise MienError(f"The face model '{model.name}' has landmarks of '{model.landmark_scheme}', the track has '{track.scheme}'; "
                            "choose another model or track again.")
        self.model, self.track, self.settings = model, track, settings
        self.first_frame, self.bad = plate.first_frame, list[int]()
        self.found = np.flatnonzero(track.found)
        self.camera = footage.camera
        self.fixed = correct(track.landmarks, track.segments, footage.pins)
        self.pins = footage.pins
        landmarks = self._pinhole(self.fixed.landmarks[self.found])
        points = model.mean[model.landmark_vertices]
        y = landmarks[:, model.landmark_ids]
        self.rotation, self.translation, scale, off = initial_pose(points, y, self.camera)
        self.beta = None
        if footage.start is not None:
            known = np.isfinite(footage.start.translation[self.found]).all(1)[:, None]
            self.rotation = np.where(known, footage.start.rotation[self.found], self.rotation)
            self.translation = np.where(known, footage.start.translation[self.found], self.translation)
            self.beta = footage.start.beta[self.found]
        believed = turned_to_camera(model, rotation_matrix(self.rotation))
        if footage.seen is not None:
            believed = believed * np.maximum(footage.seen[self.found][:, model.landmark_ids], HIDDEN)
        sure = None
        if self.fixed.sure:
            nothing, all_of_it = np.zeros(track.landmarks.shape[1]), np.ones(track.landmarks.shape[1])
            sure = np.stack([self.fixed.sure.get(int(i), nothing) for i in self.found])[:, model.landmark_ids]
            believed = believed * np.stack([self.fixed.trust.get(int(i), all_of_it) for i in self.found])[:, model.landmark_ids]
        self.seen = Observed(y, scale * model.eye_distance, believed, iris.iris_centres(landmarks), sure)
        self.usual_lids = np.median(iris.lid_aperture(landmarks), axis=0)
        self.iris_seen = iris.seen(landmarks)
        if footage.seen is not None:
            self.iris_seen = self.iris_seen * np.stack([footage.seen[self.found][:, list(eye)].min(1) for eye in iris.IRIS], 1)
        good = off <= settings.bad_frame * np.median(off)
        keys = keyframes(self.rotation, landmarks, good, settings.keyframes)
        problem = Problem(model, self.seen.part(keys), self.camera, settings)
        state = first_state(problem, np.zeros(problem.A) if footage.start is None else footage.start.alpha, self.camera.focal, self.rotation[keys],
                            self.translation[keys], None if self.beta is None else self.beta[keys])
        self.member = Member(problem, state, self.camera.focal, footage.focal is None, self._white(points))

    def _pinhole(self, landmarks: np.ndarray) -> np.ndarray:
        """(n, 478, 3) as a lens without distortion would show them."""
        out = landmarks.astype(np.float64)
        out[..., :2] = self.camera.undistorted(out[..., :2])
        return out

    def _white(self, points: np.ndarray) -> float | None:
        runs, left = [], NOISE_FRAMES
        position = np.full(len(self.track.landmarks), -1)
        position[self.found] = np.arange(len(self.found))
        for start, end in sorted(self.track.segments, key=lambda r: r[0] - r[1]):
            runs.append((int(position[start]), int(position[start]) + min(end - start, left)))
            left -= end - start
            if left <= 0:
                break
        return white_noise(self.seen.y[..., :2], self.seen.eye, runs, near_landmarks(points))

    def empty_solve(self, alpha: np.ndarray) -> Solve:
        T, B, state = len(self.track.landmarks), self.model.expression_count, self.member.state
        camera = Camera(self.camera.width, self.camera.height, state.focal, self.camera.cx, self.camera.cy, self.camera.k1, self.camera.k2)
        return Solve(alpha.astype(np.float32), np.full((T, B), np.nan, np.float32), np.full((T, 3), np.nan, np.float32),
                     np.full((T, 3), np.nan, np.float32), np.full(T, np.nan, np.float32), self.track.cuts, camera, self.model.hash,
                     self.member.problem.offset.astype(np.float32), self.pins)

    def fill(self, solve: Solve, alpha: np.ndarray, runs: Sequence[tuple[int, int]] | None = None,
             term: Callable[[int, int], Term] | None = None) -> Iterator[int]:
        """Solve `runs` of frames (all takes when None) window by window into `solve`; yields the number of frames done each time.

        term(start, end) gives a further term for a window of frames.
        """
        member = self.member
        usual = float(np.median(misfit(member.problem, member.state)))
        away = np.array([1, 1, solve.camera.focal / self.camera.focal])
        position = np.full(len(self.track.landmarks), -1)
        position[self.found] = np.arange(len(self.found))
        gaze = Gaze(self.model, alpha, solve.camera, iris.APEX, self.settings.gaze_sigma)
        lids = Lids(self.model, alpha, self.usual_lids, self.settings.lid_sigma)
        for start, end in self.track.segments if runs is None else runs:
            for a, b, keep_a, keep_b in windows(start, end, self.settings):
                frames = slice(int(position[a]), int(position[a]) + b - a)
                problem = member.problem.of(self.seen.part(frames))
                state = first_state(problem, alpha, solve.camera.focal, self.rotation[frames], self.translation[frames] * away,
                                    None if self.beta is None else self.beta[frames])
                if problem.seen.sure is not None:
                    problem.seen.y = self._for_mesh(problem, state)
                state = solve_frames(problem, state, usual, gaze, self.iris_seen[frames], None if term is None else term(a, b), lids)
                k = slice(keep_a - a, keep_b - a)
                solve.beta[keep_a:keep_b], solve.rotation[keep_a:keep_b] = state.beta[k], state.rotation_vectors()[k]
                solve.translation[keep_a:keep_b] = state.translation[k]
                solve.reprojection[keep_a:keep_b] = (misfit(problem, state) * self._to_seen(frames))[k]
                trust = frame_trust(problem, state, usual)[k]
                self.bad += [keep_a + int(i) for i in np.flatnonzero(trust < BAD)]
                yield keep_b - keep_a

    @staticmethod
    def _for_mesh(problem: Problem, state: State) -> np.ndarray:
        """Observed.y, pins moved by the landmark's constant offset: a pin says where the mesh is to be, not where the tracker would see it."""
        y, points, turn = problem.seen.y.copy(), problem.points(state), np.swapaxes(state.rotation, 1, 2)
        seen_at, mesh_at = (p @ turn + state.translation[:, None] for p in (points, points - problem.offset))
        sure = np.zeros(y.shape[:2]) if problem.seen.sure is None else problem.seen.sure
        y[..., :2] += sure[..., None] * (seen_at[..., :2] / seen_at[..., 2:] - mesh_at[..., :2] / mesh_at[..., 2:]) * state.focal
        return y

    def warn(self, report: Reporter) -> None:
        """Tell of frames that fit badly."""
        if len(self.bad):
            numbers = ranges_text(frame_ranges(sorted(i + self.first_frame for i in self.bad)), most=8)
            report.warn(f"The landmarks of {len(self.bad)} frame(s) fit no face well (frame {numbers}); they follow their neighbours. Look at them.")

    def _to_seen(self, frames: slice) -> np.ndarray:
        """(n,) eye distances as if frontal over those on the picture: what errors are reported against."""
        p = self.track.landmarks[self.found[frames]][:, :, :2].astype(np.float64)
        return self.seen.eye[frames] / np.maximum(np.linalg.norm(p[:, 33] - p[:, 263], axis=1), 1e-6)
