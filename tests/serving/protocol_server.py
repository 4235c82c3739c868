"""A small server that speaks TensorFlow Serving's documented REST and gRPC protocols over a real SavedModel.

It stands in for the TensorFlow Serving binary in tests. `fault` makes it misbehave: "stall" (no answer until it is
stopped), "close" (the connection is closed unanswered, or gRPC's own word for it), "busy" (once, then well). The
signature `about` is always answered.
"""

import base64
import concurrent.futures
import contextlib
import http.server
import json
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


class Service:
    """A SavedModel's signatures behind a fault.

    Attributes:
        url: For `--server`.
        requests: How many predictions were asked for.
        most_at_once: How many of them were under way at once. The first are answered once `awaited` of them have come
            together, or never did within a minute.
    """

    def __init__(self, model, fault=None, awaited=1):
        self._model, self._fault, self._awaited = model, fault, awaited
        self._changed, self.stopped = threading.Condition(), threading.Event()
        self.url, self.requests, self.most_at_once, self._under_way = "", 0, 0, 0

    def predict(self, signature, inputs):
        """{name: array}, or the word for a fault; raises tf.errors.OpError for what the graph refuses."""
        if signature == "about":
            return self._call(signature, inputs)
        with self._changed:
            self.requests += 1
            self._under_way += 1
            fault, self._fault = self._fault, None if self._fault == "busy" else self._fault
            self.most_at_once = max(self.most_at_once, self._under_way)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.most_at_once >= self._awaited, timeout=60)
        try:
            if fault == "stall":
                self.stopped.wait()
            if fault:
                return fault
            return self._call(signature, inputs)
        finally:
            with self._changed:
                self._under_way -= 1

    def _call(self, signature, inputs):
        function = self._model.signatures[signature]
        specs = function.structured_input_signature[1]
        tensors = {name: tf.constant(inputs[name], spec.dtype) for name, spec in specs.items()}
        return {name: value.numpy() for name, value in function(**tensors).items()}


def as_json(name, value):
    """An output as TensorFlow Serving sends it: strings of outputs whose names end in _bytes are in base 64."""
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()} if name.endswith("_bytes") else value.decode()
    return [as_json(name, one) for one in value] if value.dtype == object else value.tolist()


class RestHandler(http.server.BaseHTTPRequestHandler):
    """`POST /v1/models/system:predict` in the columnar format, `GET /v1/models/system`."""

    def do_GET(self):
        if self.path != f"/v1/models/{MODEL}":
            return self.reply(404, {"error": f"Could not find any versions of model {self.path}"})
        status = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        return self.reply(200, {"model_version_status": [status]})

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        inputs = {
            name: base64.b64decode(value["b64"]) if isinstance(value, dict) else value
            for name, value in request["inputs"].items()
        }
        try:
            found = self.server.service.predict(request["signature_name"], inputs)
        except tf.errors.OpError as error:
            return self.reply(400, {"error": error.message})
        if found == "busy":
            return self.reply(503, {"error": "the queue is full"})
        if isinstance(found, str):
            return None  # the connection is closed
        outputs = {name: as_json(name, value) for name, value in found.items()}
        return self.reply(200, {"outputs": outputs if len(outputs) > 1 else outputs.popitem()[1]})

    def reply(self, code, content):
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class GrpcServicer(prediction_service_pb2_grpc.PredictionServiceServicer, model_service_pb2_grpc.ModelServiceServicer):
    """PredictionService.Predict and ModelService.GetModelStatus."""

    def __init__(self, service):
        self._service = service

    def Predict(self, request, context):  # noqa: N802
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        inputs = {name: value.item() if value.dtype == object else value for name, value in inputs.items()}
        try:
            found = self._service.predict(request.model_spec.signature_name, inputs)
        except tf.errors.OpError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
        if isinstance(found, str):
            context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        reply = predict_pb2.PredictResponse()
        for name in request.output_filter:
            reply.outputs[name].CopyFrom(tf.make_tensor_proto(found[name]))
        return reply

    def GetModelStatus(self, request, context):  # noqa: N802
        if request.model_spec.name != MODEL:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {request.model_spec.name}")
        status = get_model_status_pb2.ModelVersionStatus
        available = status(version=1, state=status.AVAILABLE)
        return get_model_status_pb2.GetModelStatusResponse(model_version_status=[available])


@contextlib.contextmanager
def rest_server(model, fault=None, awaited=1):
    """Yields the `Service` of a server."""
    service = Service(model, fault, awaited)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), RestHandler) as server:
        server.daemon_threads, server.block_on_close, server.service = True, False, service
        service.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield service
        service.stopped.set()
        server.shutdown()


@contextlib.contextmanager
def grpc_server(model, fault=None, awaited=1):
    """As `rest_server`."""
    service = Service(model, fault, awaited)
    size = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(16), options=size)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(GrpcServicer(service), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(GrpcServicer(service), server)
    service.url = f"grpc://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield service
    finally:
        service.stopped.set()
        server.stop(None)
