"""TensorFlow Serving's REST interface: `POST /v1/models/NAME:predict`, `GET /v1/models/NAME`."""

import base64
import http.client
import json
import time
import urllib.error
import urllib.request

from kits_tf.serving.messages import SIGNATURE, RequestError, RetryableError, one_line, packed, unpacked

CHUNK_BYTES = 2**20
MAX_ERROR_BYTES = 2**16
BUSY = {429, 502, 503, 504}


class RestClient:
    """Asks a server for labels.

    Args:
        url: such as "http://localhost:8501".
        model: the served model's name.
        timeout_seconds: of one whole attempt.
        max_reply_bytes: a reply longer than this is refused.
    """

    def __init__(self, url, model="system", timeout_seconds=600.0, max_reply_bytes=2**28):
        self._model_url = f"{url.rstrip('/')}/v1/models/{model}"
        self._timeout_seconds = timeout_seconds
        self._max_reply_bytes = max_reply_bytes

    def segment(self, hu, spacing_mm):
        """Labels uint8 of a CT [slices, rows, columns], axes (I, P, L).

        Raises:
            RetryableError: the server is busy, away, too slow or closed the connection.
            RequestError: it refused the CT or its reply is unusable.
        """
        inputs = {
            "volume_bytes": {"b64": base64.b64encode(packed(hu)).decode()},
            "shape": list(hu.shape),
            "spacing_mm": [float(side) for side in spacing_mm],
        }
        body = json.dumps({"signature_name": SIGNATURE, "inputs": inputs}).encode()
        reply = self._ask(f"{self._model_url}:predict", body)
        try:
            labels_bytes = base64.b64decode(reply["outputs"]["labels_bytes"]["b64"], validate=True)
        except (KeyError, TypeError, ValueError):
            raise RequestError("the reply holds no outputs.labels_bytes in base 64") from None
        return unpacked(labels_bytes, hu.shape)

    def check_health(self):
        """Raises RequestError unless a version of the model is available."""
        reply = self._ask(self._model_url)
        versions = reply.get("model_version_status", []) if isinstance(reply, dict) else []
        states = {version.get("state") for version in versions}
        if "AVAILABLE" not in states:
            raise RetryableError(f"no version is available ({', '.join(sorted(map(str, states))) or 'none at all'})")

    def _ask(self, url, body=None):
        """The JSON of a reply, a GET without a body."""
        request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
        deadline = time.monotonic() + self._timeout_seconds
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_seconds) as response:
                return json.loads(self._read(response, deadline))
        except urllib.error.HTTPError as error:
            raise refusal(error) from None
        except TimeoutError:
            raise RetryableError(f"no reply within {self._timeout_seconds:g} s") from None
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise RetryableError(f"no reply within {self._timeout_seconds:g} s") from None
            raise RetryableError(f"the connection failed ({one_line(reason) or type(reason).__name__})") from None
        except ValueError:
            raise RequestError("the reply is not JSON") from None

    def _read(self, response, deadline):
        """The whole reply, if it is neither too long nor too slow."""
        parts, size = [], 0
        while part := response.read1(CHUNK_BYTES):
            size += len(part)
            if size > self._max_reply_bytes:
                raise RequestError(f"the reply is larger than {self._max_reply_bytes / 2**20:g} MB")
            if time.monotonic() > deadline:
                raise RetryableError(f"no whole reply within {self._timeout_seconds:g} s")
            parts.append(part)
        if response.length:
            raise RetryableError("the connection was closed before the end of the reply")
        return b"".join(parts)


def refusal(error):
    """The exception for an HTTP status that is not success; TensorFlow Serving says why in `error`."""
    try:
        text = json.loads(error.read(MAX_ERROR_BYTES))["error"]
    except (ValueError, KeyError, TypeError, OSError, http.client.HTTPException):
        text = error.reason
    kind = RetryableError if error.code in BUSY else RequestError
    return kind(f"the server answered {error.code}: {one_line(text)}")
