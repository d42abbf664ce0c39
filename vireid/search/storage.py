"""Galleries on object storage: what its addresses and environment variables must be, its errors."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from vireid.errors import CheckpointError, UsageError, VireidError

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+-]*)://")
# The same address, by the name that each library reads.
ENDPOINTS = ("AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
TRUE = ("1", "true", "on", "yes", "y")
# What the storage's client says, what that means, and what to do.
REASONS = {
    "NoSuchBucket": "there is no such bucket: make it, or name another",
    "InvalidAccessKeyId": "the server does not know this key: check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the secret does not fit the key: check AWS_SECRET_ACCESS_KEY",
    r"AccessDenied|status: 403|\b403 Forbidden": "these credentials may not read or write there: "
    "ask its owner for the right",
    "Failed to get AWS credentials": "there are no credentials: set AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY",
    "AuthorizationHeaderMalformed|PermanentRedirect|status: 301": "the bucket is in another "
    "region: set AWS_REGION",
    r"kind: Connect|kind: Timeout|error sending request|[Cc]onnection|[Tt]imed? ?out|status: 5\d\d|"
    "kind: (Request|Interrupted|Unknown)|dispatch failure": "its server does not answer: "
    "check the address (AWS_ENDPOINT) and whether it runs; what was written before is whole, and "
    "the same command continues",
}


def is_uri(place: object) -> bool:
    return "://" in str(place)


def require_storage(place: str, environment: Mapping[str, str] | None = None) -> None:
    """Checks the settings of a gallery on object storage, before anything is connected.

    Raises:
        UsageError: an environment variable that the client of S3 cannot use.
    """
    found = SCHEME.match(place)
    if found is None or found[1].lower() not in ("s3", "s3+ddb"):
        return
    values = os.environ if environment is None else environment
    for name in ENDPOINTS:
        address = values.get(name, "")
        if address and not address.startswith(("http://", "https://")):
            raise UsageError(f"{name} must begin with http:// or https://, got {address!r:.100}")
        if address.startswith("http://") and values.get("AWS_ALLOW_HTTP", "").lower() not in TRUE:
            raise UsageError(
                f"{name} is {address!r:.100}, without encryption: set AWS_ALLOW_HTTP=true if this "
                "network may see the images' data"
            )


def storage_error(place: str, text: str) -> VireidError | None:
    """What an error of the storage's client means; None if it is not about the storage.

    Returns:
        UsageError for an address of an unknown kind, else CheckpointError.
    """
    if not is_uri(place):
        return None
    if "No object store provider found for scheme" in text:
        return UsageError(
            f"gallery {place}: no such kind of storage; choose one of s3://, gs://, az://"
        )
    wrong = re.search(r"Generic Config error: (.{1,100})", text)
    if wrong:
        return UsageError(f"gallery {place}: a setting of its storage is wrong: {wrong[1]}")
    for pattern, meaning in REASONS.items():
        if re.search(pattern, text):
            return CheckpointError(f"gallery {place}: {meaning}")
    return None
