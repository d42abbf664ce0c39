"""The two pages as Gradio shows them: controls, and what each of them starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from vireid.search.app.form import MOST, NO_LIMIT, Form
from vireid.search.app.gallery_page import gallery_page
from vireid.search.app.maps import Maps
from vireid.search.app.render import message, render
from vireid.search.app.service import Found, Service, results_html
from vireid.search.app.uploads import MOST_QUERIES, Upload, read_uploads
from vireid.search.app.widgets import PRIVATE, drop_zone, guarded

TITLE = "vireid search"
FIRST = (
    "Add an image of a person, cropped to the person. Several images of one person are taken "
    "together."
)
FOOTER = (
    "A high score is no proof of identity, and the list has a first place even if the person is "
    "not in the gallery. Search only for people who agreed to it, and decide nothing about a "
    "person from these results: docs/responsible_use.md. Nothing leaves this server."
)
# A click on a result: which one, and a mark on it.
CLICKED = """
element.addEventListener('click', event => {
  const card = event.target.closest('.card');
  if (!card) return;
  element.querySelectorAll('.card').forEach(
    one => one.setAttribute('aria-pressed', String(one === card)));
  trigger('click', {rank: Number(card.dataset.rank)});
});
"""
# A message comes into view where the reader is further down.
SAY = """
watch('value', () => {
  const said = element.querySelector('.say.error, .say.warning');
  if (said) said.scrollIntoView({block: 'nearest'});
});
"""
# The two images come into view where they are above or below the window.
SHOW = """
watch('value', () => {
  const section = element.querySelector('.compare');
  if (!section) return;
  section.focus({preventScroll: true});
  section.scrollIntoView({block: 'nearest'});
});
"""
# File inputs and buttons that Gradio gives no name.
NAMES = """
() => {
  const name = () => document.querySelectorAll('input[type=file]:not([aria-label])').forEach(
    one => one.setAttribute('aria-label', 'choose images'));
  name();
  new MutationObserver(name).observe(document.body, {childList: true, subtree: true});
}
"""


def build_page(service: Service, folder: Path, *, changes: bool) -> gr.Blocks:
    """
    Args:
        folder: that Gradio stores uploads in.
        changes: images can be added, removed and restored.
    """
    with gr.Blocks(
        analytics_enabled=False, title=TITLE, fill_width=True, delete_cache=(600, 3600)
    ) as page:
        gr.HTML(f"<h1>{TITLE}</h1>", elem_classes="title")
        with gr.Tab("Search"):
            cameras = _search_page(service, folder, page)
        with gr.Tab("Gallery"):
            gallery_page(service, folder, page, allowed=changes)
        gr.HTML(f"<p>{FOOTER}</p>", elem_classes="responsible")
        page.load(lambda: gr.update(choices=service.cameras()), outputs=cameras, **PRIVATE)
        page.load(None, js=NAMES, **PRIVATE)
    page.queue(max_size=64, default_concurrency_limit=4, api_open=False)
    return page


@dataclass
class _Parts:
    """What the search page shows."""

    dropped: Any
    shown: Any
    clear: Any
    start: Any
    values: dict[str, Any]
    said: Any
    kind: Any
    compared: Any
    results: Any


@dataclass
class _Actions:
    """What happens when something is sent or clicked; what users have sent is in their states."""

    service: Service
    folder: Path
    maps: Maps
    names: Sequence[str]

    def receive(self, paths: list[str] | None, known: list[Upload]) -> tuple[Any, ...]:
        kept, problems = read_uploads(paths or [], self.folder, known, most=MOST_QUERIES)
        html = render("uploads", uploads=kept, label="query image")
        return (
            kept,
            html,
            gr.update(value=None),
            gr.update(visible=bool(kept)),
            message(*problems, kind="error"),
        )

    def forget(self) -> tuple[Any, ...]:
        return self.receive([], [])

    def look(self, known: list[Upload], problems: str, *given: Any) -> tuple[Any, ...]:
        fields = dict(zip(self.names, given, strict=True))
        found, text, html = _searched(self.service, known, fields)
        return problems + text, html, "", gr.update(visible=False), found, 0

    def compare(self, found: Found | None, rank: int, kind: str | None) -> tuple[Any, ...]:
        if found is None or not rank:
            return "", gr.update(visible=False), 0
        html = guarded(lambda: self.maps.compare(found, rank, kind or ""))
        return html, gr.update(visible=len(self.maps.kinds) > 1), rank

    def choose(self, event: gr.EventData, found: Found | None, kind: str | None) -> tuple[Any, ...]:
        return self.compare(found, int(event.rank), kind)


def _search_page(service: Service, folder: Path, page: gr.Blocks) -> Any:
    """Returns the control with the gallery's cameras, which are read when the page is opened."""
    maps = Maps(service)
    uploads, found, rank, problems = gr.State([]), gr.State(None), gr.State(0), gr.State("")
    parts = _layout(service, page, maps)
    act = _Actions(service, folder, maps, list(parts.values))
    sent = [uploads, parts.shown, parts.dropped, parts.clear, problems]
    given = [uploads, problems, *parts.values.values()]
    outputs = [parts.said, parts.results, parts.compared, parts.kind, found, rank]
    compared = [parts.compared, parts.kind, rank]
    again = [parts.start.click, *_changed(parts.values)]
    begun = [
        parts.dropped.upload(act.receive, [parts.dropped, uploads], sent, **PRIVATE),
        parts.clear.click(act.forget, None, sent, **PRIVATE),
        gr.on(again, lambda: "", None, problems, **PRIVATE),
    ]
    for one in begun:
        one.then(act.look, given, outputs, trigger_mode="always_last", **PRIVATE)
    parts.results.click(act.choose, [found, parts.kind], compared, **PRIVATE)
    parts.kind.input(act.compare, [found, rank, parts.kind], compared, **PRIVATE)
    return parts.values["cameras"]


def _layout(service: Service, page: gr.Blocks, maps: Maps) -> _Parts:
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300, elem_classes="controls"):
            dropped = drop_zone("Query images")
            shown = gr.HTML()
            clear = gr.Button("Remove the query images", size="sm", visible=False)
            start = gr.Button("Search", variant="primary")
            values = _controls(service, page)
        with gr.Column(scale=5, min_width=300):
            said = gr.HTML(message(FIRST), js_on_load=SAY)
            kind = gr.Radio(
                [(one.capitalize(), one) for one in maps.kinds],
                value=maps.kinds[0] if maps.kinds else None,
                label="Maps beside the images",
                visible=False,
            )
            compared = gr.HTML(js_on_load=SHOW)
            results = gr.HTML(js_on_load=CLICKED + SAY)
    return _Parts(dropped, shown, clear, start, values, said, kind, compared, results)


def _controls(service: Service, page: gr.Blocks) -> dict[str, Any]:
    """The controls by the names of ``Form``'s fields, and the modality of the queries."""
    own = service.extractor.modalities
    values: dict[str, Any] = {}
    values["asked"] = gr.Radio(
        list(own),
        value="infrared" if "infrared" in own else own[0],
        label="Modality of the query images",
        visible=len(own) > 1,
    )
    with gr.Accordion("Results") as results:
        values["top"] = gr.Slider(1, MOST, value=10, step=1, label="Number of results")
        values["least"] = gr.Slider(
            NO_LIMIT, 1, value=NO_LIMIT, step=0.01, label="Least score (-1: all)"
        )
        values["by"] = gr.Radio(
            [("every image", "image"), ("each identity once", "identity")],
            value="image",
            label="Show",
        )
    with gr.Accordion("Conditions") as conditions:
        values |= _conditions(service)
    with gr.Accordion("More", open=False):
        values["other_camera"] = gr.Checkbox(label="Not from the query's camera")
        values["query_camera"] = gr.Textbox(label="Camera of the query")
        values["method"] = gr.Radio(
            [("automatic", ""), ("exact", "exact"), ("approximate", "approximate")],
            value="",
            label="Search",
        )
    # On a narrow screen the results follow the controls, which are folded there.
    narrow = gr.Checkbox(visible=False)
    page.load(
        lambda is_narrow: [gr.update(open=not is_narrow)] * 2,
        narrow,
        [results, conditions],
        js="() => window.innerWidth < 700",
        **PRIVATE,
    )
    return values


def _conditions(service: Service) -> dict[str, Any]:
    """The controls that leave images of the gallery out."""
    own = service.extractor.modalities
    values: dict[str, Any] = {}
    values["cameras"] = gr.Dropdown([], multiselect=True, label="Cameras (none: all)")
    with gr.Row():
        about: dict[str, Any] = {"placeholder": "2026-11-29", "max_lines": 1, "min_width": 120}
        values["since"] = gr.Textbox(label="From", **about)
        values["until"] = gr.Textbox(label="To", **about)
    columns = ", ".join(name for name in service.gallery.columns if name != "vector")
    values["where"] = gr.Textbox(
        label="Filter (SQL)",
        placeholder="camid = '3' AND pid <> '7'",
        info=f"Columns: {columns}",
    )
    values["modality"] = gr.Radio(
        [("both", ""), *((one, one) for one in own)],
        value="",
        label="Modality of the results",
        visible=len(own) > 1,
    )
    return values


def _changed(values: dict[str, Any]) -> list[Callable[..., Any]]:
    """What starts the search again: Enter in a field, a slider let go, a choice."""
    events: dict[type, str] = {gr.Textbox: "submit", gr.Slider: "release"}
    return [getattr(one, events.get(type(one), "input")) for one in values.values()]


def _searched(
    service: Service, uploads: Sequence[Upload], fields: dict[str, Any]
) -> tuple[Found | None, str, str]:
    """What was found, what is said, and the results as HTML."""
    if not uploads:
        return None, message(FIRST), ""
    modality = fields.pop("asked")
    found: list[Found] = []

    def act() -> str:
        found.append(service.search(uploads, modality, Form.of(fields)))
        return results_html(found[0])

    html = guarded(act)
    if not found:
        return None, html, ""
    return found[0], message(service.warning(uploads), kind="warning"), html
