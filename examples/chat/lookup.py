#!/usr/bin/env python3
"""From a login to the messages, in three steps.

    lookup.py setup                 put the schemas, two users and their chats
    lookup.py login NAME PASSWORD   print the user's chats
"""

import hashlib
import hmac
import json
import os
import pathlib
import sys

import delta

SCHEMAS = pathlib.Path(__file__).parent / "schemas"

CHATS = {
    "c-1": {"title": "Pump in hall 3", "messages": [{"from": "alice", "text": "It drips."}, {"from": "bob", "text": "On my way."}]},
    "c-2": {"title": "Lunch", "messages": [{"from": "alice", "text": "Noon?"}]},
    "c-3": {"title": "Night shift", "messages": []},
}
USERS = {"alice": ("u-1", "correct horse", ["c-2", "c-1"]), "bob": ("u-2", "battery staple", ["c-1", "c-3"])}


def hashed(password, salt):
    return hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), n=2**14, r=8, p=1).hex()


def setup():
    for name in ("users", "user_chats", "chats"):
        delta.put_schema(name, json.loads((SCHEMAS / f"{name}.json").read_text()))
    users, user_chats = {}, {}
    for name, (user_id, password, chat_ids) in USERS.items():
        salt = os.urandom(16).hex()
        users[name] = {"user_id": user_id, "password": {"scheme": "scrypt", "salt": salt, "hash": hashed(password, salt)}}
        user_chats[user_id] = {"chat_ids": chat_ids}
    delta.put_all("chats", CHATS)
    delta.put_all("user_chats", user_chats)
    delta.put_all("users", users)
    print(f"{len(users)} users and {len(CHATS)} chats are safe")
    try:
        delta.put("chats", "c-4", {"title": "No messages"})
    except delta.Refused as refused:
        places = ", ".join(f"{violation['keyword']} at {violation['pointer'] or 'the top'}" for violation in refused.violations)
        print(f"a chat without messages is refused: {refused.code}: {places}")


def login(name, password):
    # 1. Who is it?
    user = delta.get("users", name)
    stored = user["password"] if user else {"salt": "00" * 16, "hash": ""}
    if not hmac.compare_digest(hashed(password, stored["salt"]), stored["hash"]):
        sys.exit("error: no such user, or another password")
    # 2. Which chats are theirs?
    chat_ids = delta.get("user_chats", user["user_id"])["chat_ids"]
    print(f"{name} has {len(chat_ids)} chats")
    # 3. What was said there?
    for chat_id in chat_ids:
        chat = delta.get("chats", chat_id)
        print(f"  {chat_id} {chat['title']}")
        for message in chat["messages"]:
            print(f"    {message['from']}: {message['text']}")


def main(arguments):
    match arguments:
        case ["setup"]:
            setup()
        case ["login", name, password]:
            login(name, password)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
