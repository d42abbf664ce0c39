"""The page of the gallery itself: what it holds; and images added, removed and restored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from vireid.search.app import changes
from vireid.search.app.render import message, render
from vireid.search.app.service import Service
from vireid.search.app.uploads import FOLDER, MOST_ADDED, Upload, read_uploads
from vireid.search.app.widgets import PRIVATE, drop_zone, guarded
from vireid.search.gallery import is_uri

FIXED = (
    "This server shows the gallery and does not change it. To add and remove images here, start it "
    "with --allow-changes."
)


def gallery_page(service: Service, folder: Path, page: gr.Blocks, *, allowed: bool) -> None:
    """
    Args:
        folder: that Gradio stores uploads in.
        page: which reads the gallery when it is opened.
        allowed: the gallery may be changed; otherwise nothing on the server could do it.
    """

    def show() -> str:
        return guarded(lambda: changes.overview(service))

    overview = gr.HTML()
    again = gr.Button("Read the gallery again", size="sm")
    again.click(show, None, overview, **PRIVATE)
    page.load(show, None, overview, **PRIVATE)
    if not allowed:
        gr.HTML(message(FIXED))
        return
    if not is_uri(service.gallery.place):
        with gr.Accordion("Add images", open=False):
            _add(service, folder).then(show, None, overview, **PRIVATE)
    with gr.Accordion("Remove images", open=False):
        _remove(service).then(show, None, overview, **PRIVATE)
    with gr.Accordion("Restore an earlier version", open=False):
        _restore(service, page).then(show, None, overview, **PRIVATE)


def _add(service: Service, folder: Path) -> Any:
    """Returns the event after which the gallery may have changed."""
    own = service.extractor.modalities
    uploads = gr.State([])
    dropped = drop_zone(f"Images to add, up to {MOST_ADDED}")
    shown = gr.HTML()
    modality = gr.Radio(list(own), value=own[0], label="Modality", visible=len(own) > 1)
    with gr.Row():
        pid = gr.Textbox(label="Identity of all, if known", min_width=140)
        camid = gr.Textbox(label="Camera of all, if known", min_width=140)
        time = gr.Textbox(label="Time, if known", placeholder="2026-11-29 14:05", min_width=140)
    with gr.Row():
        start = gr.Button("Add", variant="primary", interactive=False)
        clear = gr.Button("Do not add them", interactive=False)
    said = gr.HTML(
        message(f"Copies are kept in the gallery's folder {FOLDER}, also after they are removed.")
    )

    def receive(paths: list[str] | None, known: list[Upload]) -> tuple[Any, ...]:
        kept, problems = read_uploads(paths or [], folder, known, most=MOST_ADDED)
        html = render("uploads", uploads=kept, label="image to add")
        text = message(*problems, service.warning(kept), kind="error" if problems else "warning")
        return kept, html, gr.update(value=None), text, *_buttons(kept)

    def add(kept: list[Upload], *fields: str) -> tuple[Any, ...]:
        done = []

        def act() -> str:
            done.append(message(*changes.add(service, kept, *fields)))
            return done[0]

        text = guarded(act)
        left = [] if done else kept
        return left, render("uploads", uploads=left, label="image to add"), text, *_buttons(left)

    everything = [uploads, shown, dropped, said, start, clear]
    dropped.upload(receive, [dropped, uploads], everything, **PRIVATE)
    clear.click(lambda: receive([], []), None, everything, **PRIVATE)
    given = [uploads, modality, pid, camid, time]
    return start.click(add, given, [uploads, shown, said, start, clear], **PRIVATE)


def _buttons(kept: Sequence[Upload]) -> tuple[Any, Any]:
    """The buttons that add images, or do not, as far as there are some."""
    number = f"Add {len(kept)} image{'s' * (len(kept) != 1)}" if kept else "Add"
    return gr.update(value=number, interactive=bool(kept)), gr.update(interactive=bool(kept))


def _remove(service: Service) -> Any:
    """Returns the event after which the gallery may have changed."""
    names = gr.Textbox(label="Names of images, one a line", lines=3)
    where = gr.Textbox(label="Or a filter (SQL)", placeholder="camid = '3' AND pid IS NULL")
    look = gr.Button("Look them up")
    said, shown = gr.HTML(), gr.HTML()
    chosen = gr.CheckboxGroup([], label="Images to remove", visible=False)
    sure = gr.Checkbox(label="Yes, remove them from the gallery", visible=False)
    start = gr.Button("Remove", variant="stop", interactive=False, visible=False)

    def look_up(given: str, condition: str) -> tuple[Any, ...]:
        found: list[tuple[str, str]] = []

        def act() -> str:
            found.extend(changes.look_up(service, given or "", condition or ""))
            return message(f"{len(found)} images found. Choose those to remove.")

        text = guarded(act)
        choices = [(name, one) for one, name in found]
        boxes = gr.update(choices=choices, value=[one for one, _ in found], visible=bool(found))
        html = guarded(lambda: changes.preview(service, found)) if found else ""
        confirm = gr.update(value=False, visible=bool(found))
        return text, html, boxes, confirm, gr.update(interactive=False, visible=bool(found))

    def ready(is_sure: bool, ids: list[str]) -> Any:
        return gr.update(interactive=is_sure and bool(ids), value=f"Remove {len(ids)} images")

    def remove(is_sure: bool, ids: list[str]) -> tuple[Any, ...]:
        hidden = gr.update(value=False, visible=False)
        if not is_sure:
            return message("confirm first", kind="error"), "", gr.update(), gr.update(), gr.update()
        text = guarded(lambda: message(changes.remove(service, ids)))
        boxes = gr.update(choices=[], value=[], visible=False)
        return text, "", boxes, hidden, gr.update(interactive=False, visible=False)

    outputs = [said, shown, chosen, sure, start]
    gr.on([look.click, where.submit], look_up, [names, where], outputs, **PRIVATE)
    gr.on([sure.input, chosen.input], ready, [sure, chosen], start, **PRIVATE)
    return start.click(remove, [sure, chosen], outputs, **PRIVATE)


def _restore(service: Service, page: gr.Blocks) -> Any:
    """Returns the event after which the gallery may have changed."""
    version = gr.Dropdown([], label="Version, newest first")
    with gr.Row():
        look = gr.Button("Read the versions again")
        start = gr.Button("Restore this version", variant="primary")
    said = gr.HTML()

    def choices() -> Any:
        known = [
            (f"{one.number}: {one.time:%Y-%m-%d %H:%M:%S}, {one.rows:,} images", one.number)
            for one in changes.versions(service)
        ]
        return gr.update(choices=known, value=None)

    gr.on([look.click, page.load], choices, None, version, **PRIVATE)
    done = start.click(
        lambda number: guarded(lambda: message(changes.restore(service, number))),
        version,
        said,
        **PRIVATE,
    )
    return done.then(choices, None, version, **PRIVATE)
