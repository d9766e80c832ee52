#!/usr/bin/env python3
"""Reads the documents of a DeltaDatabase store on `fs` without DeltaDatabase: Python and `cryptography` are enough.

    recover.py keys   STORE                    which master keys the store needs; needs none of them
    recover.py list   STORE                    every entity: database, key, version, time and schema, one JSON object a line
    recover.py export STORE [DATABASE]         every document, one JSON object a line: database, key, version, etag, document
    recover.py get    STORE DATABASE KEY       one document, byte for byte

Master keys come from MASTER_KEY (64 hex digits), --master-key-file FILE and --key HEX or --key ID=HEX, each as often as
needed. Nothing is ever written to the store. What does not open is named on standard error, and the exit code is then 2.
"""

import argparse
import base64
import datetime
import hashlib
import hmac
import json
import os
import struct
import sys
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

SUFFIX = ".json.enc"
# Names up to this long are encrypted in the file's name; longer ones are hashed there, and stand in the object alone.
OPENABLE_NAME_BYTES = 124


class Damaged(Exception):
    """Something is not what the store wrote."""


class Locked(Exception):
    """A master key is missing."""


# ---- the pieces of cryptography ---------------------------------------------------------------------------------


def mac(key, *parts):
    """HMAC-SHA-256; with the salt as the key it is the first half of HKDF, too."""
    return hmac.digest(key, b"".join(parts), "sha256")


def derive(key, label, length):
    """The second half of HKDF-SHA-256."""
    return HKDFExpand(SHA256(), length, label).derive(key)


def base32(data):
    """RFC 4648, section 7, in lower case and without padding."""
    return base64.b32hexencode(data).decode().rstrip("=").lower()


def crc_table():
    """For CRC-32C, the polynomial of Castagnoli, bits reversed."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


CRC_TABLE = crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


# ---- the superblock: what the store is, and which keys it has ---------------------------------------------------


class Superblock:
    """One generation, as its file says; its keys are looked for among the master keys at hand."""

    def __init__(self, path):
        self.path = path
        lines = path.read_bytes().split(b"\n")
        try:
            self.line, self.mac, rest = lines
            self.says = json.loads(self.line)
            self.store_id = bytes.fromhex(self.says["store_id"])
            self.generation = self.says["generation"]
            states = {key["key_id"]: key["state"] for key in self.says["keys"]}
            (self.active,) = [key for key, state in states.items() if state == "active"]
        except (ValueError, KeyError, TypeError) as error:
            raise Damaged(f"{path} is damaged: {error}") from error
        if rest or self.says["format"] != 1 or path.name != f"format.{self.generation:06}.json":
            raise Damaged(f"{path} is damaged, or of another format than 1")

    def unlock(self, masters):
        """The store, with every key that is at hand; the active one must be."""
        roots = {}
        for key in self.says["keys"]:
            for master in masters:
                # The store's id is the salt, so the same master key is another one in another store.
                root = mac(self.store_id, master)
                if hmac.compare_digest(derive(root, b"ddb1/check", 16).hex(), key["check"]):
                    roots[key["key_id"]] = root
        wrapped = self.says["name_key"]
        for needed in {self.active, wrapped["key_id"]}:
            if needed not in roots:
                raise Locked(f"the master key {needed} is not among the given ones; see `recover.py keys`")
        expected = mac(derive(roots[self.active], b"ddb1/mac", 32), self.line).hex()
        if not hmac.compare_digest(expected, self.mac.decode()):
            raise Damaged(f"{self.path} does not pass its authentication code")
        wrapping = derive(roots[wrapped["key_id"]], b"ddb1/wrap", 32)
        bound_to = self.store_id + struct.pack("<Q", self.generation)
        try:
            name_key = AESGCM(wrapping).decrypt(bytes.fromhex(wrapped["iv"]), bytes.fromhex(wrapped["ct"]), bound_to)
        except InvalidTag:
            raise Damaged(f"the name key in {self.path} does not open") from None
        return Store(self, roots, name_key)


def superblock(root, generation):
    """The newest generation, or the one that was asked for."""
    found = {path.name: path for path in (root / "_store").glob("format.*.json")}
    if not found:
        sys.exit(f"error: there is no superblock in {root / '_store'}; is {root} the directory of a store?")
    if generation is None:
        return Superblock(found[max(found)])
    name = f"format.{generation:06}.json"
    if name not in found:
        sys.exit(f"error: there is no generation {generation}; there are {', '.join(sorted(found))}")
    return Superblock(found[name])


# ---- names and objects ------------------------------------------------------------------------------------------


class Store:
    """Opens names and objects with the keys of one store."""

    def __init__(self, superblock, roots, name_key):
        self.id = superblock.store_id
        self.plain = superblock.says["names"] == "plain"
        self.roots = roots
        self.names = AESSIV(derive(name_key, b"ddb1/siv", 64))
        self.tag_key = derive(name_key, b"ddb1/tag", 32)

    def sealed_name(self, database, key):
        text = database.encode() + b"\0" + key.encode()
        return self.names.encrypt(text, [b"ddb1/name", self.id])

    def open_name(self, sealed):
        try:
            text = self.names.decrypt(sealed, [b"ddb1/name", self.id])
        except InvalidTag:
            raise Damaged("its name is not one of this store") from None
        database, _, key = text.partition(b"\0")
        return database.decode(), key.decode()

    def place(self, database, key):
        """Where an entity lies below `files`."""
        if self.plain:
            return f"{escape(database, '-.')}_{escape(key, '-._')}{SUFFIX}"
        tag = base32(mac(self.tag_key, b"db\0", database.encode())[:5])
        if len(database.encode()) + len(key.encode()) <= OPENABLE_NAME_BYTES:
            name = base32(self.sealed_name(database, key))
            return f"{tag}/{name[0]}/{name}{SUFFIX}"
        name = base32(mac(self.tag_key, b"long\0", database.encode(), b"\0", key.encode()))
        return f"{tag}/{name[0]}/_{name}{SUFFIX}"

    def open(self, image):
        """The entity in an image: everything in it is authenticated, or this raises."""
        header, fields = parse(image)
        database, key = self.open_name(fields["sealed_name"])
        root = self.roots.get(fields["key_id"])
        if root is None:
            raise Locked(f"{database} {key}: it is sealed under the master key {fields['key_id']}, which was not given")
        of_database = derive(root, b"ddb1/db\0" + database.encode(), 32)
        keys = derive(of_database, b"ddb1/doc\0" + hashlib.sha256(header).digest(), 64)
        commitment, body = image[len(header) : len(header) + 32], image[len(header) + 32 : -4]
        if not hmac.compare_digest(keys[32:], commitment):
            raise Damaged(f"{database} {key}: it was sealed with another key than the given {fields['key_id']}")
        try:
            document = AESGCM(keys[:32]).decrypt(fields["iv"], body, header + commitment)
        except InvalidTag:
            raise Damaged(f"{database} {key}: it does not pass its authentication tag") from None
        return {**fields, "database": database, "key": key, "document": document}


def parse(image):
    """The header of an image, and what it says; lengths and checksum are verified, its seal is not."""
    if len(image) < 104 + 52 or struct.pack("<I", crc32c(image[:-4])) != image[-4:]:
        raise Damaged("it does not pass its checksum")
    magic, form, suite, flags, length, name, key, writer, schema, padding = struct.unpack_from("<4s2B3H4B", image)
    version, created, updated, expires, schema_version, body = struct.unpack_from("<4Q2I", image, 16)
    if magic != b"DDB1" or (form, suite) != (1, 1) or flags > 1 or padding > 7:
        raise Damaged("it is no object of format 1")
    if length != 104 + key + writer + schema + name + padding or len(image) != length + 32 + body + 16 + 4:
        raise Damaged("its lengths do not add up")
    texts, at = [], 104
    for size in (key, writer, schema, name, padding):
        texts.append(image[at : at + size])
        at += size
    if any(texts[4]):
        raise Damaged("its padding is not zero")
    return image[:length], {
        "version": version,
        "created": created,
        "updated": updated,
        "expires": expires,
        "key_id": texts[0].decode(),
        "writer": texts[1].decode(),
        "schema": texts[2].decode(),
        "schema_version": schema_version,
        "sealed_name": texts[3],
        "etag": f'"{version}-{image[56:64].hex()}"',
        "iv": image[92:104],
        "tombstone": flags == 1,
    }


def escape(text, kept):
    """How plain names are spelt: a leading dot and everything else but letters, digits and `kept` as %XX."""
    out = ""
    for at, byte in enumerate(text.encode()):
        sign = chr(byte)
        is_kept = byte < 128 and (sign.isalnum() or sign in kept) and not (sign == "." and at == 0)
        out += sign if is_kept else f"%{byte:02X}"
    return out


def entities(root, store, told):
    """Every entity that opens where it lies; `told` hears of every other file."""
    files = root / "files"
    for path in sorted(files.rglob("*" + SUFFIX)):
        place = path.relative_to(files).as_posix()
        try:
            entity = store.open(path.read_bytes())
            if store.place(entity["database"], entity["key"]) != place:
                raise Damaged(f"{entity['database']} {entity['key']}: it lies where another one belongs")
        except (Damaged, Locked, OSError, ValueError) as error:
            told(f"{path}: {error}")
        else:
            if not entity["tombstone"]:
                yield entity


# ---- the commands -----------------------------------------------------------------------------------------------


def masters(arguments):
    """The master keys at hand, by value: a store recognises its own, whatever they are called."""
    given = list(arguments.key)
    if os.environ.get("MASTER_KEY"):
        given.append(os.environ["MASTER_KEY"])
    for file in arguments.master_key_file:
        lines = (line.strip() for line in file.read_text().splitlines())
        given += [line for line in lines if line and not line.startswith("#")]
    keys = []
    for text in given:
        try:
            keys.append(bytes.fromhex(text.rpartition("=")[2].strip()))
        except ValueError:
            sys.exit("error: a master key is 64 hex digits, or ID=64 hex digits")
    return keys


def time(microseconds):
    moment = datetime.datetime.fromtimestamp(microseconds // 1_000_000, datetime.timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{microseconds % 1_000_000:06}Z"


def line_of(entity, document):
    """One JSON object on one line; the document keeps its own text, in which only line breaks between tokens change."""
    says = {"database": entity["database"], "key": entity["key"], "version": entity["version"], "etag": entity["etag"]}
    says |= {"created_at": time(entity["created"]), "updated_at": time(entity["updated"])}
    if entity["expires"]:
        says["expires_at"] = time(entity["expires"])
    if entity["schema"]:
        says |= {"schema_id": entity["schema"], "schema_version": entity["schema_version"]}
    text = json.dumps(says, ensure_ascii=False).encode()
    if document:
        # JSON allows no line break within a string, so each one stands between two tokens.
        body = entity["document"].replace(b"\r", b" ").replace(b"\n", b" ").strip()
        text = text[:-1] + b', "document": ' + body + b"}"
    return text + b"\n"


def needed(found):
    """What a person who looks for the keys must know."""
    print(f"store       {found.store_id.hex()}")
    print(f"generation  {found.generation}")
    print(f"names       {found.says['names']}")
    for key in found.says["keys"]:
        print(f"key         {key['key_id']} ({key['state']})")


def parsed():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["keys", "list", "export", "get"])
    parser.add_argument("store", type=Path, help="the directory with _store and files in it")
    parser.add_argument("names", nargs="*", metavar="DATABASE [KEY]")
    parser.add_argument("--key", action="append", default=[], metavar="[ID=]HEX", help="a master key")
    parser.add_argument("--master-key-file", action="append", default=[], type=Path, metavar="FILE")
    parser.add_argument("--generation", type=int, help="use this superblock, where the newest is damaged")
    arguments = parser.parse_intermixed_args()
    allowed = {"keys": (0, 0), "list": (0, 1), "export": (0, 1), "get": (2, 2)}[arguments.command]
    if not allowed[0] <= len(arguments.names) <= allowed[1]:
        parser.error(f"{arguments.command} takes {' to '.join(map(str, dict.fromkeys(allowed)))} names after STORE")
    return arguments


def main():
    arguments = parsed()
    found = superblock(arguments.store, arguments.generation)
    if arguments.command == "keys":
        return needed(found)
    store = found.unlock(masters(arguments))
    trouble = []
    out = sys.stdout.buffer

    def told(line):
        trouble.append(line)
        print(f"not read: {line}", file=sys.stderr)

    if arguments.command == "get":
        database, key = arguments.names
        path = arguments.store / "files" / store.place(database, key)
        if not path.exists():
            sys.exit(f"error: there is no entity {key} in database {database}")
        entity = store.open(path.read_bytes())
        if (entity["database"], entity["key"]) != (database, key) or entity["tombstone"]:
            sys.exit(f"error: {path} holds another entity, or one that was deleted")
        return out.write(entity["document"])
    for entity in entities(arguments.store, store, told):
        if not arguments.names or arguments.names == [entity["database"]]:
            out.write(line_of(entity, arguments.command == "export"))
    out.flush()
    if trouble:
        print(f"{len(trouble)} files could not be read", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    try:
        main()
    except (Damaged, Locked) as error:
        sys.exit(f"error: {error}")
