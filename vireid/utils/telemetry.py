"""Libraries that report their use to their makers do not do so here.

``vireid.deploy.backends`` withholds OpenVINO's telemetry package in the same way.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

# What the libraries read → the value that stops it. MLflow sends events and asks for their
# settings when it is imported, Gradio when a page starts; W&B sends errors of its own. The last
# name is that of several other libraries.
SWITCHES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "WANDB_ERROR_REPORTING": "false",
    "DO_NOT_TRACK": "true",
}


def switch_off_telemetry(environment: MutableMapping[str, str] = os.environ) -> None:
    """Call this before a library of trackers or pages is imported: some read it only then."""
    environment.update(SWITCHES)
