"""A client for the exported system on TensorFlow Serving, by REST or gRPC: signatures `compact` and `about`."""

from __future__ import annotations

import base64
import io
import json
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import requests
from PIL import Image

from kits_tf import __version__
from kits_tf.errors import UsageError, one_line
from kits_tf.progress import counted

LABELS, SIDES = "labels_bytes", "sides_bytes"
_COMPRESSION_LEVEL = 1  # the last bits of a CT are noise: higher levels are slow and gain little
_BUSY = {429, 502, 503, 504}

Result = TypeVar("Result")


class ServerError(Exception):
    """The server gave no usable answer; the text says why in one line."""


class TransientError(ServerError):
    """The server is busy, unreachable or too slow: another attempt may succeed."""


class Reply(NamedTuple):
    """What a server found in a CT; arrays are uint8 of its shape.

    Attributes:
        labels: 0 background, 1 kidney, 2 tumor.
        sides: 0 nothing, 1 the patient's right kidney with its tumor, 2 the left.
    """

    labels: np.ndarray
    sides: np.ndarray


class Client:
    """A connection to one model of a server; may be used from several threads.

    Args:
        server: "http://HOST:PORT", "https://HOST:PORT" or "grpc://HOST:PORT".
        model: The served model's name.
        timeout_seconds: For each attempt.
    """

    def __init__(self, server: str, model: str = "system", timeout_seconds: float = 600.0) -> None:
        self._server, self._model, self._timeout_seconds = server, model, timeout_seconds

    def segment(self, hu: np.ndarray, spacing_mm: Sequence[float]) -> Reply:
        """Return the labels of a CT and the sides of its kidneys.

        Args:
            hu: [slices, rows, columns], axes I, P, L.
            spacing_mm: (slice, row, column).

        Raises:
            ServerError: There is no usable answer; a TransientError if another attempt may succeed.
        """
        inputs: dict[str, bytes | np.ndarray] = {
            "volume_bytes": pack(hu),
            "shape": np.array(hu.shape, np.int32),
            "spacing_mm": np.array(spacing_mm, np.float32),
        }
        found = self._predict("compact", inputs, (LABELS, SIDES))
        return Reply(unpack(found[LABELS], hu.shape), unpack(found[SIDES], hu.shape))

    def about(self) -> dict[str, Any]:
        """Return what the served system says about itself: "checkpoint", "notice", "version" and "settings".

        Raises:
            ServerError: There is no usable answer, such as from a system that an earlier version exported.
        """
        (text,) = self._predict("about", {"client": f"kits-request {__version__}".encode()}, ("about",))["about"]
        try:
            about = json.loads(text)
            return {name: about[name] for name in ("checkpoint", "notice", "version", "settings")}
        except (KeyError, TypeError, ValueError):
            raise ServerError("the reply to `about` is not that of a system of kits-export") from None

    def check_health(self) -> None:
        """Raise a ServerError unless a version of the model is available."""
        states = self._states()
        if "AVAILABLE" not in states:
            raise TransientError(f"no version is available ({', '.join(states) or 'none exists'})")

    def _predict(
        self, signature: str, inputs: Mapping[str, bytes | np.ndarray], outputs: Sequence[str]
    ) -> dict[str, Sequence[bytes]]:
        """Return outputs of strings by name; a scalar is a sequence of one."""
        raise NotImplementedError

    def _states(self) -> list[str]:
        """Return the state of each version of the model."""
        raise NotImplementedError


class RestClient(Client):
    """A client for `POST /v1/models/MODEL:predict` and `GET /v1/models/MODEL`."""

    def _predict(
        self, signature: str, inputs: Mapping[str, bytes | np.ndarray], outputs: Sequence[str]
    ) -> dict[str, Sequence[bytes]]:
        values = {
            name: {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value.tolist()
            for name, value in inputs.items()
        }
        reply = self._ask("POST", ":predict", {"signature_name": signature, "inputs": values}).get("outputs")
        if len(outputs) == 1 and not isinstance(reply, dict):
            reply = {outputs[0]: reply}  # TensorFlow Serving leaves out the name of the only output
        try:
            return {name: _strings(reply[name]) for name in outputs}  # type: ignore[index]
        except (KeyError, TypeError, ValueError):
            raise ServerError(f"the reply holds no strings {' and '.join(outputs)}") from None

    def _states(self) -> list[str]:
        return [str(version.get("state")) for version in self._ask("GET").get("model_version_status", [])]

    def _ask(self, method: str, action: str = "", body: object = None) -> dict[str, Any]:
        """Return the JSON of a reply."""
        url = f"{self._server.rstrip('/')}/v1/models/{self._model}{action}"
        try:
            response = requests.request(method, url, json=body, timeout=self._timeout_seconds)
        except requests.Timeout:
            raise TransientError(f"no reply within {self._timeout_seconds:g} s") from None
        except requests.RequestException as error:
            raise TransientError(f"the connection failed ({one_line(error)})") from None
        try:
            reply = response.json()
        except ValueError:
            reply = None
        if not response.ok:
            text = reply.get("error") if isinstance(reply, dict) else response.reason
            kind = TransientError if response.status_code in _BUSY else ServerError
            raise kind(f"the server answered {response.status_code}: {one_line(text)}")
        if not isinstance(reply, dict):
            raise ServerError("the reply is not a JSON object")
        return reply


class GrpcClient(Client):
    """A client for `PredictionService.Predict` and `ModelService.GetModelStatus`."""

    def __init__(self, server: str, model: str = "system", timeout_seconds: float = 600.0) -> None:
        super().__init__(server, model, timeout_seconds)
        try:
            import grpc
            from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc
        except ImportError:
            message = "tensorflow-serving-api is not installed; install this package's extra `serving`, or use http://"
            raise UsageError("server", message) from None
        # gRPC's own limit of 4 MB is below the size of a large CT.
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        channel = grpc.insecure_channel(server.partition("://")[2], options=options)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(channel)

    def _predict(
        self, signature: str, inputs: Mapping[str, bytes | np.ndarray], outputs: Sequence[str]
    ) -> dict[str, Sequence[bytes]]:
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest(output_filter=outputs)
        request.model_spec.name, request.model_spec.signature_name = self._model, signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        found = self._ask(self._predictions.Predict, request).outputs
        if not set(outputs) <= set(found):
            raise ServerError(f"the reply holds no strings {' and '.join(outputs)}")
        return {name: found[name].string_val for name in outputs}

    def _states(self) -> list[str]:
        from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest, ModelVersionStatus

        request = GetModelStatusRequest()
        request.model_spec.name = self._model
        versions = self._ask(self._models.GetModelStatus, request).model_version_status
        return [ModelVersionStatus.State.Name(version.state) for version in versions]

    def _ask(self, method: Callable[..., Any], request: object) -> Any:
        """Return the reply to a request."""
        import grpc

        try:
            return method(request, timeout=self._timeout_seconds)
        except grpc.RpcError as error:
            code = error.code()
            if code == grpc.StatusCode.DEADLINE_EXCEEDED:
                raise TransientError(f"no reply within {self._timeout_seconds:g} s") from None
            # A server that stops cancels its requests.
            is_transient = code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
            kind = TransientError if is_transient else ServerError
            raise kind(f"the server answered {code.name}: {one_line(error.details())}") from None


def _strings(value: Any) -> list[bytes]:
    """Return strings of a JSON reply, in base 64 or as text; TypeError or ValueError for anything else."""
    values = value if isinstance(value, list) else [value]
    return [
        base64.b64decode(one["b64"], validate=True) if isinstance(one, dict) else str.encode(one) for one in values
    ]


def connect(server: str, model: str = "system", timeout_seconds: float = 600.0) -> Client:
    """Return a client; UsageError for another kind of server, or without the library that it needs."""
    scheme, separator, address = server.partition("://")
    if not (separator and address and scheme in ("http", "https", "grpc")):
        raise UsageError("server", f"must be http://HOST:PORT or grpc://HOST:PORT, got {server!r}")
    return (GrpcClient if scheme == "grpc" else RestClient)(server, model, timeout_seconds)


def retry(call: Callable[[], Result], attempts: int, wait_seconds: float) -> Result:
    """Return the result of a call, repeated while it raises a TransientError, after a wait that doubles each time."""
    for attempt in range(1, attempts):
        try:
            return call()
        except TransientError:
            time.sleep(wait_seconds * 2 ** (attempt - 1))
    try:
        return call()
    except TransientError as error:
        raise ServerError(f"{error} ({counted(attempts, 'attempt')})") from None


def pack(hu: np.ndarray) -> bytes:
    """Return a CT as a zlib stream of int16 HU, rounded and clipped, little-endian in C order."""
    bounds = np.iinfo(np.int16)
    if hu.dtype != np.int16:
        hu = np.clip(np.rint(hu), bounds.min, bounds.max)
    return zlib.compress(hu.astype("<i2").tobytes(), _COMPRESSION_LEVEL)


def unpack(slices: Sequence[bytes], shape: Sequence[int]) -> np.ndarray:
    """Decode labels or sides, uint8 of a CT's shape, from PNG slices; ServerError if they do not fit."""
    labels = np.zeros(shape, np.uint8)
    if len(slices) != len(labels):
        raise ServerError(f"the reply holds {len(slices)} slices, the CT has {len(labels)}")
    for own, png in zip(labels, slices, strict=True):
        try:
            image = Image.open(io.BytesIO(png), formats=["PNG"])
            fits = image.mode == "L" and image.size == own.shape[::-1]
            own[...] = image if fits else 0
        except (OSError, SyntaxError, ValueError) as error:
            raise ServerError(f"the reply holds a slice that is not a PNG ({error})") from None
        if not fits:
            raise ServerError(f"the reply holds a slice of {image.size[1]} x {image.size[0]} pixels")
    if labels.max(initial=0) > 2:
        raise ServerError(f"the reply holds the value {labels.max()}; labels and sides are 0, 1 and 2")
    return labels
