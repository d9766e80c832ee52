#!/usr/bin/env python3
"""Keeps conversations in DeltaDatabase.

    chat.py demo                  write a conversation, read it back
    chat.py say NAME WHO TEXT     add a message
    chat.py show NAME             print a conversation
"""

import sys

import delta

DATABASE = "conversations"

DEMO = [
    ("ada", "Is the pump in hall 3 running again?"),
    ("ben", "Since ten past nine, at half pressure."),
    ("ada", "Good enough: \"half\" is plenty till Friday 🙂"),
]


def say(name, who, text):
    conversation = delta.get(DATABASE, name) or {"messages": []}
    conversation["messages"].append({"who": who, "text": text})
    return delta.put(DATABASE, name, conversation)


def show(name):
    conversation = delta.get(DATABASE, name)
    if conversation is None:
        sys.exit(f"error: there is no conversation {name}")
    messages = conversation["messages"]
    print(f"{name}: {len(messages)} messages")
    for message in messages:
        print(f"{message['who']:>8} | {message['text']}")


def main(arguments):
    match arguments:
        case ["demo"]:
            for who, text in DEMO:
                print(f"version {say('python-demo', who, text)} is safe")
            show("python-demo")
        case ["say", name, who, text]:
            print(f"version {say(name, who, text)} is safe")
        case ["show", name]:
            show(name)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
