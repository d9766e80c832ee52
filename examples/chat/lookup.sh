#!/usr/bin/env bash
# From a login to the messages, in three steps, with curl, jq and openssl.
#
#   lookup.sh setup                 put the schemas, a user and her chats
#   lookup.sh login NAME PASSWORD   print the user's chats
set -euo pipefail

: "${BASE_URL:=http://127.0.0.1:8080}"
: "${ADMIN_KEY:?set it to the key of the server}"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

call() { # METHOD PATH [BODY]
  local arguments=(--silent --show-error --request "$1" --header @- "$BASE_URL$2")
  if [ "$#" -gt 2 ]; then
    arguments+=(--data-binary "$3")
  fi
  # By standard input, because arguments show in `ps`.
  curl --fail-with-body "${arguments[@]}" <<<"Authorization: Bearer $ADMIN_KEY"
}

hashed() { # PASSWORD SALT
  openssl passwd -6 -salt "$2" -stdin <<<"$1"
}

setup() {
  local schema salt user
  for schema in users user_chats chats; do
    call PUT "/schema/$schema" "@$here/schemas/$schema.json" >/dev/null
  done
  call PUT /entity/chats '{
    "c-11": {"title": "Harvest", "messages": [{"from": "carol", "text": "The apples are in."}]},
    "c-12": {"title": "Cider", "messages": [{"from": "dave", "text": "How many crates?"}, {"from": "carol", "text": "Forty."}]}
  }' >/dev/null
  call PUT /entity/user_chats '{"u-11": {"chat_ids": ["c-12", "c-11"]}}' >/dev/null
  salt=$(openssl rand -hex 8)
  user=$(jq --null-input --arg salt "$salt" --arg hash "$(hashed 'open sesame' "$salt")" \
    '{user_id: "u-11", password: {scheme: "sha512-crypt", salt: $salt, hash: $hash}}')
  call PUT /entity/users/carol "$user" >/dev/null
  echo "1 user and 2 chats are safe"
}

login() { # NAME PASSWORD
  local user salt chat_ids chat_id
  # 1. Who is it?
  user=$(call GET "/entity/users/$(jq --null-input --raw-output --arg name "$1" '$name | @uri')") || user='{}'
  salt=$(jq --raw-output '.password.salt // "0000000000000000"' <<<"$user")
  if [ "$(hashed "$2" "$salt")" != "$(jq --raw-output '.password.hash // ""' <<<"$user")" ]; then
    echo "error: no such user, or another password" >&2
    return 1
  fi
  # 2. Which chats are theirs?
  chat_ids=$(call GET "/entity/user_chats/$(jq --raw-output .user_id <<<"$user")")
  echo "$1 has $(jq '.chat_ids | length' <<<"$chat_ids") chats"
  # 3. What was said there?
  for chat_id in $(jq --raw-output '.chat_ids[]' <<<"$chat_ids"); do
    call GET "/entity/chats/$chat_id" |
      jq --raw-output --arg id "$chat_id" '"  \($id) \(.title)", (.messages[] | "    \(.from): \(.text)")'
  done
}

case "${1:-}" in
  setup) setup ;;
  login) login "$2" "$3" ;;
  *)
    sed -n '4,5s/^# *//p' "$0" >&2
    exit 1
    ;;
esac
