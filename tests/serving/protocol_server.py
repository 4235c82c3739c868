"""A small server that speaks TensorFlow Serving's documented REST and gRPC protocols over a real SavedModel.

It stands in for the TensorFlow Serving binary in tests. `fault` makes it misbehave: "stall" (no answer until it is
stopped), "close" (the connection is closed unanswered, or gRPC's own word for it), "large" (a reply without end),
"busy" (503 once, then well).
"""

import base64
import concurrent.futures
import contextlib
import http.server
import json
import socketserver
import threading

import grpc
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

MODEL = "system"


class Model:
    """A SavedModel's signatures, and how many requests were under way at once.

    The first requests are answered once `awaited` of them have come together, or never did within a minute.
    """

    def __init__(self, folder):
        self._loaded = tf.saved_model.load(str(folder))
        self._changed = threading.Condition()
        self._under_way = 0
        self.most_at_once = 0
        self.awaited = 1

    def predict(self, signature, inputs):
        """{name: array}; raises tf.errors.OpError for what the graph refuses."""
        with self._counted():
            function = self._loaded.signatures[signature]
            specs = function.structured_input_signature[1]
            tensors = {name: tf.constant(inputs[name], spec.dtype) for name, spec in specs.items()}
            return {name: value.numpy() for name, value in function(**tensors).items()}

    @contextlib.contextmanager
    def _counted(self):
        with self._changed:
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.most_at_once >= self.awaited, timeout=60)
        try:
            yield
        finally:
            with self._changed:
                self._under_way -= 1


class RestHandler(http.server.BaseHTTPRequestHandler):
    """`POST /v1/models/system:predict` in the columnar format, `GET /v1/models/system`."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path != f"/v1/models/{MODEL}":
            return self.reply(404, {"error": f"Could not find any versions of model {self.path}"})
        status = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        return self.reply(200, {"model_version_status": [status]})

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        server.requests += 1
        if server.fault == "close":
            self.close_connection = True
            return None
        if server.fault == "stall":
            server.stopped.wait()
            return None
        if server.fault == "large":
            return self.reply_without_end()
        if server.fault == "busy":
            server.fault = None
            return self.reply(503, {"error": "the queue is full"})
        if self.path != f"/v1/models/{MODEL}:predict":
            return self.reply(404, {"error": "Servable not found for request"})
        inputs = {name: decoded(value) for name, value in request["inputs"].items()}
        try:
            found = server.model.predict(request["signature_name"], inputs)
        except tf.errors.OpError as error:
            return self.reply(400, {"error": error.message})
        return self.reply(200, {"outputs": {name: encoded(name, value) for name, value in found.items()}})

    def reply(self, code, content):
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def reply_without_end(self):
        self.send_response(200)
        self.send_header("Content-Length", str(2**40))
        self.end_headers()
        with contextlib.suppress(OSError):
            while not self.server.stopped.is_set():
                self.wfile.write(b" " * 2**20)
        self.close_connection = True

    def log_message(self, *arguments):
        pass


def decoded(value):
    """A JSON value, {"b64": ...} as its bytes."""
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value


def encoded(name, value):
    """A JSON value; strings of an output whose name ends in _bytes in base 64, as TensorFlow Serving does."""
    if name.endswith("_bytes"):
        return {"b64": base64.b64encode(value).decode()}
    return value.tolist()


class Predictions(prediction_service_pb2_grpc.PredictionServiceServicer):
    """PredictionService.Predict."""

    def __init__(self, model, fault, stopped):
        self._model, self._fault, self._stopped = model, fault, stopped
        self.requests = 0

    def Predict(self, request, context):  # noqa: N802
        self.requests += 1
        if self._fault == "stall":
            self._stopped.wait()
        if self._fault == "close":
            context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        inputs = {name: value.item() if value.dtype == object else value for name, value in inputs.items()}
        try:
            found = self._model.predict(request.model_spec.signature_name, inputs)
        except tf.errors.OpError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
        if self._fault == "large":
            found["labels_bytes"] = bytes(2**23)
        reply = predict_pb2.PredictResponse()
        for name in request.output_filter or found:
            reply.outputs[name].CopyFrom(tf.make_tensor_proto(found[name]))
        return reply


class Status(model_service_pb2_grpc.ModelServiceServicer):
    """ModelService.GetModelStatus."""

    def GetModelStatus(self, request, context):  # noqa: N802
        if request.model_spec.name != MODEL:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {request.model_spec.name}")
        status = get_model_status_pb2.ModelVersionStatus(
            version=1, state=get_model_status_pb2.ModelVersionStatus.AVAILABLE
        )
        return get_model_status_pb2.GetModelStatusResponse(model_version_status=[status])


@contextlib.contextmanager
def rest_server(model, fault=None):
    """Yields the server; its `url` is for --server, `requests` counts predictions asked for."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), RestHandler)
    server.daemon_threads = True
    server.model, server.fault, server.requests, server.stopped = model, fault, 0, threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stopped.set()
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def grpc_server(model, fault=None):
    """As `rest_server`."""
    stopped = threading.Event()
    size = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(16), options=size)
    service = Predictions(model, fault, stopped)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Status(), server)
    service.url = f"grpc://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield service
    finally:
        stopped.set()
        server.stop(None)


@contextlib.contextmanager
def closing_server():
    """Yields the address of a server that closes every connection without a word."""
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
