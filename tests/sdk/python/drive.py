"""A program on the client that openapi-python-client makes of the OpenAPI document.

    openapi-python-client generate --path openapi/deltadb.json --meta none --output-path deltadb
    DELTADB_URL=http://127.0.0.1:8080 ADMIN_KEY=… python3 drive.py
"""

import json
import os

from deltadb import AuthenticatedClient, Client
from deltadb.api.databases import list_keys
from deltadb.api.entities import get_entity, put_entities, put_entity
from deltadb.api.schemas import put_schema
from deltadb.api.sessions import login, me
from deltadb.models import (
    KeysBody,
    LoginRequest,
    LoginResult,
    MapResult,
    Me,
    Problem,
    PutEntitiesBody,
    PutResult,
    Status,
)
from deltadb.types import UNSET

URL = os.environ["DELTADB_URL"]


def text(value):
    """JSON on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# A key becomes a session.
session = login.sync(client=Client(URL), body=LoginRequest(key=os.environ["ADMIN_KEY"]))
assert isinstance(session, LoginResult)
client = AuthenticatedClient(URL, token=session.token)
who = me.sync(client=client)
assert isinstance(who, Me)
print("logged in:", who.client_id, *who.permissions)

# A document is written and read. `sync_detailed` gives status and headers too.
created = put_entity.sync_detailed("orders", "o-1", client=client, body={"total": 12.5, "lines": ["nails"]})
assert isinstance(created.parsed, PutResult)
print("put:", created.status_code.value, "version", created.parsed.version)
print("got:", text(get_entity.sync("orders", "o-1", client=client)))

# Two clients read the same version and write: the second learns that it is late.
etag = created.headers["etag"]
first = put_entity.sync("orders", "o-1", client=client, body={"total": 13}, if_match=etag)
assert isinstance(first, PutResult)
second = put_entity.sync("orders", "o-1", client=client, body={"total": 14}, if_match=etag)
assert isinstance(second, Problem)
print("conflict:", first.version, second.status, second.error)

# Several at once.
body = PutEntitiesBody.from_dict({"o-2": {"total": 1}, "ключ 2": None})
written = put_entities.sync("orders", client=client, body=body)
assert isinstance(written, MapResult)
print("map:", text(written.versions.to_dict()))

# Keys come in pages.
keys, cursor = [], UNSET
while True:
    page = list_keys.sync("orders", client=client, limit=2, cursor=cursor)
    assert isinstance(page, KeysBody)
    keys += [item.key for item in page.items]
    cursor = page.next_cursor
    if not cursor:
        break
print("keys:", text(keys))

# What goes wrong is a value with a type, and `error` is the code to match on.
absent = get_entity.sync("orders", "none", client=client)
assert isinstance(absent, Problem)
print("absent:", absent.status, absent.error)

schema = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}
assert isinstance(put_schema.sync("orders", client=client, body=schema), Status)
refused = put_entity.sync("orders", "o-3", client=client, body={"total": "much"})
assert isinstance(refused, Problem) and refused.violations
print("refused:", refused.status, refused.error, *(f"{v.keyword} at {v.pointer}" for v in refused.violations))

stranger = put_entity.sync("orders", "o-1", client=AuthenticatedClient(URL, token="guessed"), body=1)
assert isinstance(stranger, Problem)
print("stranger:", stranger.status, stranger.error)
