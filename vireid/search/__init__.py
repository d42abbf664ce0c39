"""A gallery of a user's own images in LanceDB, and the search in it across modalities."""

import os

from vireid.errors import UsageError

os.environ.setdefault("LANCEDB_LOG", "error")  # read at its import; its warnings are no user's
try:
    import lancedb
except ImportError as error:
    raise UsageError("search needs lancedb: pip install 'vireid[search]'") from error

from vireid.search.gallery import Gallery
from vireid.search.query import Query, SearchOptions, search

__all__ = ["Gallery", "Query", "SearchOptions", "lancedb", "search"]
