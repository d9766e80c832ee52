"""A client of DeltaDatabase in a few lines: documents in, documents out. Standard library only."""

import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request

BASE_URL = os.environ.get("BASE_URL", "http://127.0.0.1:8080")


class Refused(Exception):
    """The server said no; `code` is its stable error code."""

    def __init__(self, status, problem):
        super().__init__(problem.get("detail", f"status {status}"))
        self.status = status
        self.code = problem.get("error")
        self.violations = problem.get("violations", [])


def call(method, path, body=None):
    """One request; gives the answer's JSON."""
    key = os.environ.get("ADMIN_KEY")
    if not key:
        sys.exit("error: set ADMIN_KEY to the server's admin key")
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(BASE_URL + path, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise Refused(error.code, json.load(error)) from None
    except urllib.error.URLError as error:
        sys.exit(f"error: no server at {BASE_URL}: {error.reason}; start one, or set BASE_URL")


def entity(database, key):
    return f"/entity/{database}/{urllib.parse.quote(key, safe='')}"


def get(database, key):
    """The document, or `None`."""
    try:
        return call("GET", entity(database, key))
    except Refused as refused:
        if refused.status == 404:
            return None
        raise


def put(database, key, document):
    """Writes the document; gives its version. Once this returns, a crash does not lose it."""
    return call("PUT", entity(database, key), document)["version"]


def put_all(database, documents):
    """Writes many documents of one database, all or none."""
    return call("PUT", f"/entity/{database}", documents)["versions"]


def put_schema(schema_id, schema):
    """Puts the schema that documents of the database of the same name must match."""
    call("PUT", f"/schema/{schema_id}", schema)
