"""The search in the browser: a page for queries, and one for the gallery."""

from vireid.errors import UsageError

try:
    import gradio
except ImportError as error:
    raise UsageError("serve needs gradio: pip install 'vireid[app]'") from error

__all__ = ["gradio"]
