"""TensorFlow Serving's gRPC interface: PredictionService.Predict and ModelService.GetModelStatus."""

from kits_tf.errors import UsageError
from kits_tf.serving.messages import SIGNATURE, RequestError, RetryableError, one_line, packed, unpacked

OUTPUT = "labels_bytes"


class GrpcClient:
    """Asks a server for labels; arguments and methods as of `RestClient`.

    Args:
        address: such as "localhost:8500".

    Raises:
        UsageError: the stubs of TensorFlow Serving are not installed.
    """

    def __init__(self, address, model="system", timeout_seconds=600.0, max_reply_bytes=2**28):
        try:
            import grpc
            from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc
        except ImportError:
            message = "tensorflow-serving-api is not installed; install this package's extra `serving`, or use http://"
            raise UsageError("server", message) from None
        # gRPC's own limit of 4 MB is below what a large CT's labels take.
        options = [("grpc.max_receive_message_length", max_reply_bytes), ("grpc.max_send_message_length", -1)]
        self._channel = grpc.insecure_channel(address, options=options)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._model = model
        self._timeout_seconds = timeout_seconds

    def segment(self, hu, spacing_mm):
        import numpy as np
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._model
        request.model_spec.signature_name = SIGNATURE
        inputs = {
            "volume_bytes": packed(hu),
            "shape": np.asarray(hu.shape, np.int32),
            "spacing_mm": np.asarray(spacing_mm, np.float32),
        }
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        request.output_filter.append(OUTPUT)
        reply = self._ask(self._predictions.Predict, request)
        if OUTPUT not in reply.outputs or len(reply.outputs[OUTPUT].string_val) != 1:
            raise RequestError(f"the reply holds no output {OUTPUT}")
        return unpacked(reply.outputs[OUTPUT].string_val[0], hu.shape)

    def check_health(self):
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = self._model
        states = self._ask(self._models.GetModelStatus, request).model_version_status
        available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
        if not any(status.state == available for status in states):
            raise RetryableError("no version is available")

    def _ask(self, method, request):
        import grpc

        try:
            return method(request, timeout=self._timeout_seconds)
        except grpc.RpcError as error:
            code, details = error.code(), one_line(error.details())
            if code == grpc.StatusCode.DEADLINE_EXCEEDED:
                raise RetryableError(f"no reply within {self._timeout_seconds:g} s") from None
            if code == grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
                raise RequestError(f"a message is too large ({details})") from None
            # A server that stops cancels what it has under way.
            passing = code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
            kind = RetryableError if passing else RequestError
            raise kind(f"the server answered {code.name}: {details}") from None
