"""Send metrics to a server."""

import json
import warnings

import numpy as np

from multikeras.callbacks.callback import Callback


class RemoteMonitor(Callback):
    """Post the metrics of each epoch to a server.

    Args:
        root: Address of the server.
        path: Path to post to.
        field: Name of the form field that holds the JSON.
        headers: HTTP headers.
        send_as_json: Whether the body is JSON instead of a form.

    Raises ImportError without the package `requests`.
    """

    def __init__(
        self, root="http://localhost:9000", path="/publish/epoch/end/", field="data", headers=None, send_as_json=False
    ):
        super().__init__()
        self.root, self.path, self.field, self.headers, self.send_as_json = root, path, field, headers, send_as_json

    def on_epoch_end(self, epoch, logs=None):
        try:
            import requests  # slow to import, and few need it
        except ImportError as error:
            raise ImportError("RemoteMonitor needs the package requests. Install it with: pip install requests.") from error
        values = {k: np.asarray(v).item() if isinstance(v, (np.ndarray, np.generic)) else v for k, v in (logs or {}).items()}
        send = {"epoch": epoch, **values}
        try:
            body = {"json": send} if self.send_as_json else {"data": {self.field: json.dumps(send)}}
            requests.post(self.root + self.path, **body, headers=self.headers)
        except requests.exceptions.RequestException:
            warnings.warn(f"Could not reach RemoteMonitor root server at {self.root}", stacklevel=2)
