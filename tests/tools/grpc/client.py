"""A client that knows nothing of this project's code: it learns the services by reflection, and speaks the first
clients' service in bytes put together by hand."""

import os
import sys

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

SERVICES = ["delta.v1.Cluster", "delta.v1.Databases", "delta.v1.Entities", "delta.v1.Schemas", "deltadb.MainWorker"]


class Services:
    """The services of a server, as reflection tells them."""

    def __init__(self, channel):
        self.channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)

    def message(self, name, **fields):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))(**fields)

    def call(self, service, method, token=None, **fields):
        described = self.pool.FindServiceByName(service).FindMethodByName(method)
        answer = message_factory.GetMessageClass(described.output_type)
        request = self.message(described.input_type.full_name, **fields)
        send = self.channel.unary_unary(
            f"/{service}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        return send(request, timeout=20, metadata=[("authorization", f"Bearer {token}")] if token else None)


def refusal(call):
    """The status of a call that is refused, its stable code, and the violations' pointers."""
    try:
        call()
    except grpc.RpcError as error:
        reason, pointers = None, []
        for detail in rpc_status.from_call(error).details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                assert info.domain == "deltadb", info
                reason = info.reason
            elif detail.type_url.endswith("/delta.v1.Violations"):
                violations = services.message("delta.v1.Violations")
                violations.ParseFromString(detail.value)
                pointers = [violation.pointer for violation in violations.violations]
        return error.code(), reason, pointers
    raise AssertionError("not refused")


def by_reflection(token):
    listed = [name for name in services.database.get_services() if not name.startswith("grpc.")]
    assert sorted(listed) == SERVICES, listed

    document = b'{ "b":1.0,"a":123456789012345678901234567890 }'
    entities = "delta.v1.Entities"
    entity = {"database": "db", "key": "ключ 😀"}
    empty = services.message("google.protobuf.Empty")
    absent = services.message("delta.v1.Precondition", if_absent=empty)
    written = services.call(entities, "Put", token, document=document, precondition=absent, **entity)
    assert (written.created, written.version.number) == (True, 1), written
    again = refusal(lambda: services.call(entities, "Put", token, document=b"1", precondition=absent, **entity))
    assert again == (grpc.StatusCode.FAILED_PRECONDITION, "precondition_failed", []), again
    found = services.call(entities, "Get", token, **entity)
    assert (found.document, found.version) == (document, written.version), found
    assert found.version.updated.ToSeconds() > 1_500_000_000, found
    page = services.call(entities, "List", token, database="db", metadata=True)
    assert [(key.key, key.version.etag) for key in page.keys] == [(entity["key"], written.version.etag)], page

    services.call("delta.v1.Schemas", "Put", token, id="db", source=b'{"type":"object","required":["n"]}')
    broken = refusal(lambda: services.call(entities, "Put", token, document=b"{}", **entity))
    assert broken == (grpc.StatusCode.INVALID_ARGUMENT, "schema_violation", [""]), broken
    unknown = refusal(lambda: services.call(entities, "Get", "wrong", **entity))
    assert unknown == (grpc.StatusCode.UNAUTHENTICATED, "unauthorized", []), unknown
    assert services.call(entities, "Delete", token, **entity).existed
    missing = refusal(lambda: services.call(entities, "Get", token, **entity))
    assert missing == (grpc.StatusCode.NOT_FOUND, "not_found", []), missing


def field(number, text):
    """A field of text or bytes, shorter than 128 bytes, as protobuf has it."""
    assert len(text) < 128
    return bytes([number << 3 | 2, len(text)]) + text


def by_hand(channel, token):
    send = channel.unary_unary("/deltadb.MainWorker/Process")

    def process(operation, payload=b""):
        named = field(1, b"chatdb") + field(2, b"session_001") + field(4, operation)
        return send(named + field(5, payload) + field(6, token.encode()), timeout=20)

    assert process(b"PUT", b'{"messages":[]}') == field(1, b"OK") + field(3, b"1")
    assert process(b"GET") == field(1, b"OK") + field(2, b'{"messages":[]}') + field(3, b"1")
    assert process(b"DELETE") == field(1, b"OK")
    gone = refusal(lambda: process(b"GET"))
    assert gone == (grpc.StatusCode.NOT_FOUND, "not_found", []), gone


def health(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ["", *SERVICES]:
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=20)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, (service, answer)


with grpc.insecure_channel(sys.argv[1]) as channel:
    services = Services(channel)
    health(channel)
    by_reflection(os.environ["DELTADB_TOKEN"])
    by_hand(channel, os.environ["DELTADB_TOKEN"])
print("done")
