# SPDX-License-Identifier: GPL-3.0-or-later
"""Level 1 by the shape GAN (Sun et al. 2023, section 3.3) in numpy: inside Blender, without torch.

The gaze is the actor's: directions named eyeLook* pass by the network, which sees eyes that look straight ahead. The paper's coefficients hold no
gaze; a generator that is judged by vertices and emotions has no reason to keep it, and gave less of an emotion to who looks past the camera.

Weights: `NAME.safetensors` beside `NAME.json` (the constructor's arguments), as neural/shape_gan writes them. Order of the
hidden layers: trunk.0, trunk.2, trunk.4 ... (LeakyReLU between them has no weights), then output.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np

from .emotion import EMOTIONS
from .errors import MienError
from .files import read_json
from .model import FaceModel

WEIGHTS = Path(__file__).parent / "data" / "shape_gan.safetensors"
"""The default weights, where they are shipped."""
ACTOR_WEIGHTS = "generator.safetensors"
"""Their name in an actor folder."""
GAZE = "eyeLook"
"""How the names of the gaze's directions begin."""
HEADER_LIMIT = 1 << 20
"""Bytes; a longer header is no file of ours."""


def read_safetensors(path: Path | str) -> dict[str, np.ndarray]:
    """Every tensor of a safetensors file of float32. Strict: eight bytes of header length, JSON, then the tensors back to back.

    Raises MienError when the file is missing, damaged, of another number type, or has gaps or overlaps.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise MienError(f"{path} is missing; train it with 'mien train shape'.") from error
    except OSError as error:
        raise MienError(f"{path} cannot be read ({error.strerror or error}); check the file's permissions.") from error
    try:
        return _tensors(data)
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise MienError(f"{path} is no usable safetensors file ({error}); train the actor again.") from error


def _tensors(data: bytes) -> dict[str, np.ndarray]:
    (length,) = struct.unpack_from("<Q", data)
    if length > min(HEADER_LIMIT, len(data) - 8):
        raise ValueError("the header is longer than the file")
    header = json.loads(data[8 : 8 + length].decode("utf-8"))
    header.pop("__metadata__", None)
    body, position = memoryview(data)[8 + length :], 0
    tensors: dict[str, np.ndarray] = {}
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        if entry["dtype"] != "F32":
            raise ValueError(f"tensor {name} is {entry['dtype']}, not F32")
        shape, (start, end) = tuple(int(n) for n in entry["shape"]), entry["data_offsets"]
        if min(shape, default=0) < 0 or start != position or end - start != 4 * int(np.prod(shape, dtype=np.int64)) or end > len(body):
            raise ValueError(f"tensor {name} does not lie where the header says")
        tensors[name] = np.frombuffer(body[start:end], "<f4").reshape(shape).astype(np.float32)
        position = end
    if position != len(body):
        raise ValueError("bytes are left over")
    return tensors


class ShapeGan:
    """Implements mesh.editor.ShapeEditor."""

    name = "gan"

    def __init__(self, model: FaceModel, weights: Path | str = WEIGHTS):
        """Raises MienError when the weights are missing, damaged, or made for other coefficients than the model's."""
        weights = Path(weights)
        tensors, config = read_safetensors(weights), read_json(weights.with_suffix(".json"))
        if config.get("network") != "Generator":
            raise MienError(f"{weights.with_suffix('.json')} does not describe a generator; train the actor again.")
        size = model.identity_count, model.expression_count, len(EMOTIONS)
        if tuple(config.get(k) for k in ("identity_count", "expression_count", "emotion_count")) != size:
            raise MienError(f"{weights} was not trained for the face model '{model.name}'; train it again with --model.")
        if config.get("model_hash") not in ("", model.hash):
            raise MienError(f"{weights} was trained on another version of the face model '{model.name}'; train it again.")
        self._gaze = size[0] + np.array([i for i, n in enumerate(model.expression_names) if n.startswith(GAZE)], np.int64)
        self.slope = np.float32(config.get("slope", 0.2))
        names = [f"trunk.{2 * i}" for i in range(int(config.get("layers", 4)))] + ["output"]
        try:
            self._layers = [(np.ascontiguousarray(tensors[n + ".weight"].T), tensors[n + ".bias"]) for n in names]
        except KeyError as error:
            raise MienError(f"{weights} lacks the tensor {error}; train the actor again.") from error
        widths = [sum(size), *(len(bias) for _, bias in self._layers)]
        if widths[-1] != sum(size[:2]) or any(w.shape != (a, b) for (w, _), a, b in zip(self._layers, widths, widths[1:])):
            raise MienError(f"{weights}: the layers do not fit together; train the actor again.")

    def generate(self, alpha: np.ndarray, beta: np.ndarray, emotion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """G(c, e) of a face that looks straight ahead, with the gaze as given.

        alpha (A,) or (T, A), beta (T, B), emotion (T, 7) -> alpha (T, A) and beta (T, B).
        """
        T, A = len(beta), alpha.shape[-1]
        x = np.concatenate((np.broadcast_to(alpha, (T, A)), beta, emotion), 1).astype(np.float32)
        gaze = x[:, self._gaze]
        x[:, self._gaze] = 0
        for weight, bias in self._layers[:-1]:
            x = x @ weight
            x += bias
            np.maximum(x, self.slope * x, out=x)
        weight, bias = self._layers[-1]
        c = x @ weight + bias
        c[:, self._gaze] = gaze
        return c[:, :A], c[:, A:]
