"""What a schema of OpenAPI 3.0 cannot say, told to schemathesis where it can be, accepted where it cannot."""

import schemathesis

#: What a document has to match is settled by other requests of the same run.
SCHEMAS = {
    "unknown_schema": "a schema that is named must exist",
    "schema_mismatch": "a database that has a schema takes no other",
    "schema_required": "a database may demand a schema",
    "schema_violation": "a schema of the store says more than the document of the API",
}

#: A request that fits the document and is refused: operation → error code → why the document does not tell. Each entry
#: accepts this code as an answer of this operation; nothing else is let through.
REFUSED = {
    "PUT /entity/{database}": SCHEMAS,
    "PUT /entity/{database}/{key}": SCHEMAS
    | {"unsupported_precondition": "one condition at a time: of two headers, OpenAPI says nothing"},
    "PATCH /entity/{database}/{key}": SCHEMAS
    | {"bad_patch": "which members an operation of a patch has depends on what it does"},
    "GET /api/databases/{database}/keys": {
        "invalid_cursor": "a cursor is one that a page gave",
    },
    "PUT /api/databases/{database}": {
        "unknown_schema": "a schema that is named must exist",
    },
    "PUT /schema/{id}": {
        "invalid_schema": "what a JSON Schema is takes more than OpenAPI 3.0 to describe",
    },
    "POST /api/login": {
        "missing_key": "either member is enough, and a union breaks generated clients",
    },
    "POST /api/keys": {
        "invalid_api_key": "an administrator has no scopes, and no key lasts for nothing or for centuries",
    },
    "POST /api/logout": {
        "not_a_session": "the credential of these runs is a key, which is deleted and not ended",
    },
}

#: "Schema-valid request rejected"
REJECTED = "ST202"


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """What the server refuses beyond the document: unknown members of objects of ours, and a map's members that are no
    keys. The generator of the document cannot write the one, and OpenAPI 3.0 has no words for the other."""
    operations = [operation for path in raw_schema["paths"].values() for operation in path.values()]
    for operation in operations:
        for content_type, body in operation.get("requestBody", {}).get("content", {}).items():
            # RFC 6902 demands that members are ignored which an operation does not know, or has no use for.
            if content_type == "application/json-patch+json":
                raw_schema["components"]["schemas"]["PatchOperation"]["properties"]["from"] = {}
            else:
                close(raw_schema, body["schema"])
    documents = raw_schema["paths"]["/entity/{database}"]["put"]["requestBody"]["content"]["application/json"]["schema"]
    documents |= {"patternProperties": {key_pattern(raw_schema): {}}, "additionalProperties": False}


def close(raw_schema, schema):
    """Refuses unknown members of an object, and of the objects in it."""
    if "$ref" in schema:
        schema = raw_schema["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    if "properties" in schema:
        schema.setdefault("additionalProperties", False)
    members = [*schema.get("properties", {}).values(), *schema.get("allOf", [])]
    if "items" in schema:
        members.append(schema["items"])
    for member in members:
        close(raw_schema, member)


def key_pattern(raw_schema):
    """A key's pattern, and at least one character."""
    parameters = raw_schema["paths"]["/entity/{database}/{key}"]["put"]["parameters"]
    (pattern,) = [parameter["schema"]["pattern"] for parameter in parameters if parameter["name"] == "key"]
    assert pattern.endswith(")*$")
    return pattern.removesuffix("*$") + "+$"


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Keeps every failure but the ones above."""
    if failure.code != REJECTED:
        return True
    try:
        code = response.json().get("error")
    except ValueError:
        return True
    return code not in REFUSED.get(failure.operation, {})
