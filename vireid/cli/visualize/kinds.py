"""The kinds of figures, and what their command lines share."""

from __future__ import annotations

from vireid.cli.arguments import ToolParser, add_figure, parser

# One module of this folder for each, of the same name, with ``main(arguments)``
KINDS = {
    "ranks": "queries and their nearest gallery images",
    "activations": "activation maps, by stream, exit and part stripe",
    "match": "regions that make a query and gallery images alike",
    "distances": "distances within and between identities across modalities",
    "curves": "learning curves by loss term, or CMC curves, of one run or several",
    "corruptions": "an image under every kind and severity of corruption",
    "sheet": "contact sheet of a data set: identities by camera",
}


def kind_parser(kind: str, *examples: str) -> ToolParser:
    """The parser of one kind of figure, with ``--out``."""
    command = f"python tools/visualize.py {kind} "
    line = parser(KINDS[kind], "\n         ".join(command + example for example in examples))
    line.prog += f" {kind}"
    add_figure(line)
    return line


def add_cells(line: ToolParser) -> None:
    """``--cells`` of figures with maps."""
    line.add_argument("--cells", action="store_true", help="draw a map's cells, not smoothed")
