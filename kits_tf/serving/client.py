"""A client of TensorFlow Serving for the exported system, by REST or gRPC; it uses the `compact` signature."""

from __future__ import annotations

import base64
import io
import time
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import requests
from PIL import Image

from kits_tf.errors import UsageError

SIGNATURE, OUTPUT = "compact", "labels_bytes"
_COMPRESSION_LEVEL = 1  # a CT is noise in its last bits: higher levels are slow and gain little
_BUSY = {429, 502, 503, 504}
_MAX_TEXT = 200

Result = TypeVar("Result")


class ServerError(Exception):
    """The server gave no usable answer; the text says why in one line."""


class TransientError(ServerError):
    """The server is busy, unreachable or too slow: another attempt may succeed."""


class Client(Protocol):
    """A connection to one model of a server; may be used from several threads."""

    def segment(self, hu: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
        """Return the labels of a CT, uint8 of its shape.

        Args:
            hu: [slices, rows, columns], axes I, P, L.
            spacing_mm: (slice, row, column).

        Raises:
            ServerError: There is no usable answer; a TransientError if another attempt may succeed.
        """

    def check_health(self) -> None:
        """Raise a ServerError unless a version of the model is available."""


def connect(server: str, model: str = "system", timeout_seconds: float = 600.0) -> Client:
    """Return a client.

    Args:
        server: "http://HOST:PORT", "https://HOST:PORT" or "grpc://HOST:PORT".
        model: The served model's name.
        timeout_seconds: For each attempt.

    Raises:
        UsageError: The server is none of these, or the stubs for gRPC are not installed.
    """
    scheme, separator, address = server.partition("://")
    if not (separator and address and scheme in ("http", "https", "grpc")):
        raise UsageError("server", f"must be http://HOST:PORT or grpc://HOST:PORT, got {server!r}")
    return (GrpcClient if scheme == "grpc" else RestClient)(server, model, timeout_seconds)


def retry(call: Callable[[], Result], attempts: int, wait_seconds: float) -> Result:
    """Return the result of a call that is repeated while it raises a TransientError.

    Args:
        call: A function without arguments.
        attempts: How often it is called at most.
        wait_seconds: Before the second attempt, then doubled each time.
    """
    for attempt in range(1, attempts):
        try:
            return call()
        except TransientError:
            time.sleep(wait_seconds * 2 ** (attempt - 1))
    try:
        return call()
    except TransientError as error:
        raise ServerError(f"{error} ({attempts} attempt{'s' * (attempts > 1)})") from None


def pack(hu: np.ndarray) -> bytes:
    """Return a CT as a zlib stream of int16 HU, rounded and clipped, little-endian in C order."""
    bounds = np.iinfo(np.int16)
    if hu.dtype != np.int16:
        hu = np.clip(np.rint(hu), bounds.min, bounds.max)
    return zlib.compress(hu.astype("<i2").tobytes(), _COMPRESSION_LEVEL)


def unpack(slices: Sequence[bytes], shape: Sequence[int]) -> np.ndarray:
    """Return the labels of a reply, uint8 of the given shape.

    Args:
        slices: Each slice of the labels as a PNG.
        shape: Of the CT that was sent.

    Raises:
        ServerError: The reply does not hold labels of that shape.
    """
    labels = np.zeros(shape, np.uint8)
    if len(slices) != len(labels):
        raise ServerError(f"the reply holds {len(slices)} slices, the CT has {len(labels)}")
    for own, png in zip(labels, slices, strict=True):
        try:
            with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
                if image.mode != "L" or image.size != own.shape[::-1]:
                    raise ServerError(f"the reply holds a slice of {image.size[1]} x {image.size[0]} pixels")
                own[...] = image
        except (OSError, SyntaxError, ValueError) as error:
            raise ServerError(f"the reply holds a slice that is not a PNG ({error})") from None
    if labels.max(initial=0) > 2:
        raise ServerError(f"the reply holds the label {labels.max()}; labels are 0, 1 and 2")
    return labels


class RestClient:
    """A `Client` for `POST /v1/models/MODEL:predict` and `GET /v1/models/MODEL`."""

    def __init__(self, server: str, model: str, timeout_seconds: float) -> None:
        self._url = f"{server.rstrip('/')}/v1/models/{model}"
        self._timeout_seconds = timeout_seconds

    def segment(self, hu: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
        inputs = {
            "volume_bytes": {"b64": base64.b64encode(pack(hu)).decode()},
            "shape": list(hu.shape),
            "spacing_mm": [float(side) for side in spacing_mm],
        }
        reply = self._ask("POST", ":predict", {"signature_name": SIGNATURE, "inputs": inputs})
        try:
            slices = [base64.b64decode(png["b64"], validate=True) for png in reply["outputs"][OUTPUT]]
        except (KeyError, TypeError, ValueError):
            raise ServerError(f"the reply holds no outputs.{OUTPUT} in base 64") from None
        return unpack(slices, hu.shape)

    def check_health(self) -> None:
        reply = self._ask("GET")
        states = [version.get("state") for version in reply.get("model_version_status", [])]
        if "AVAILABLE" not in states:
            raise TransientError(f"no version is available ({', '.join(map(str, states)) or 'none exists'})")

    def _ask(self, method: str, action: str = "", body: object = None) -> Any:
        """Return the JSON of a reply."""
        try:
            response = requests.request(method, self._url + action, json=body, timeout=self._timeout_seconds)
        except requests.Timeout:
            raise TransientError(f"no reply within {self._timeout_seconds:g} s") from None
        except requests.RequestException as error:
            raise TransientError(f"the connection failed ({_one_line(error)})") from None
        try:
            reply = response.json()
        except ValueError:
            reply = None
        if not response.ok:
            text = reply.get("error") if isinstance(reply, dict) else response.reason
            kind = TransientError if response.status_code in _BUSY else ServerError
            raise kind(f"the server answered {response.status_code}: {_one_line(text)}")
        if not isinstance(reply, dict):
            raise ServerError("the reply is not a JSON object")
        return reply


class GrpcClient:
    """A `Client` for `PredictionService.Predict` and `ModelService.GetModelStatus`."""

    def __init__(self, server: str, model: str, timeout_seconds: float) -> None:
        try:
            import grpc
            from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc
        except ImportError:
            message = "tensorflow-serving-api is not installed; install this package's extra `serving`, or use http://"
            raise UsageError("server", message) from None
        # gRPC's own limit of 4 MB is below the size of a large CT's labels.
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        channel = grpc.insecure_channel(server.partition("://")[2], options=options)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(channel)
        self._model, self._timeout_seconds = model, timeout_seconds

    def segment(self, hu: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        inputs = {
            "volume_bytes": pack(hu),
            "shape": np.array(hu.shape, np.int32),
            "spacing_mm": np.array(spacing_mm, np.float32),
        }
        request = predict_pb2.PredictRequest(output_filter=[OUTPUT])
        request.model_spec.name, request.model_spec.signature_name = self._model, SIGNATURE
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        reply = self._ask(self._predictions.Predict, request)
        if OUTPUT not in reply.outputs:
            raise ServerError(f"the reply holds no output {OUTPUT}")
        return unpack(reply.outputs[OUTPUT].string_val, hu.shape)

    def check_health(self) -> None:
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = self._model
        states = self._ask(self._models.GetModelStatus, request).model_version_status
        if not any(status.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE for status in states):
            raise TransientError("no version is available")

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
            raise kind(f"the server answered {code.name}: {_one_line(error.details())}") from None


def _one_line(text: object) -> str:
    """Return a text without line breaks, cut to a length."""
    return " ".join(str(text).split())[:_MAX_TEXT]
