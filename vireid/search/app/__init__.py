"""The search in the browser: a page for queries, and one for the gallery."""

from vireid.errors import UsageError
from vireid.utils.telemetry import switch_off_telemetry

switch_off_telemetry()
try:
    import gradio
except ImportError as error:
    raise UsageError("serve needs gradio: pip install 'vireid[app]'") from error

__all__ = ["gradio"]
