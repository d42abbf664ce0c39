"""A gallery of a user's own images in LanceDB, and the search in it across modalities."""

from vireid.errors import UsageError

try:
    import lancedb
except ImportError as error:
    raise UsageError("search needs lancedb: pip install 'vireid[search]'") from error

from vireid.search.gallery import Gallery
from vireid.search.query import Query, SearchOptions, search

__all__ = ["Gallery", "Query", "SearchOptions", "lancedb", "search"]
