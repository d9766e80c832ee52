#!/usr/bin/env bash
# Keeps conversations in DeltaDatabase, with curl and jq.
#
#   chat.sh demo                  write a conversation, read it back
#   chat.sh say NAME WHO TEXT     add a message
#   chat.sh show NAME             print a conversation
set -euo pipefail

: "${BASE_URL:=http://127.0.0.1:8080}"
: "${ADMIN_KEY:?set it to the key of the server}"

call() { # METHOD PATH [BODY]
  local arguments=(--silent --show-error --request "$1" --header @- "$BASE_URL$2")
  if [ "$#" -gt 2 ]; then
    arguments+=(--data-binary "$3")
  fi
  # By standard input, because arguments show in `ps`.
  curl --fail-with-body "${arguments[@]}" <<<"Authorization: Bearer $ADMIN_KEY"
}

place() { # NAME
  printf '/entity/conversations/%s' "$(jq --null-input --raw-output --arg name "$1" '$name | @uri')"
}

say() { # NAME WHO TEXT
  local before after version
  before=$(call GET "$(place "$1")") || [ "$(jq --raw-output .error <<<"$before")" = not_found ] || return 1
  after=$(jq --compact-output --arg who "$2" --arg text "$3" \
    '{messages: ((.messages // []) + [{who: $who, text: $text}])}' <<<"$before")
  version=$(call PUT "$(place "$1")" "$after" | jq .version)
  echo "version $version is safe"
}

show() { # NAME
  local conversation
  conversation=$(call GET "$(place "$1")") || { echo "error: there is no conversation $1" >&2; return 1; }
  echo "$1: $(jq '.messages | length' <<<"$conversation") messages"
  jq --raw-output '.messages[] | (.who | " " * ([8 - length, 0] | max) + .) + " | " + .text' <<<"$conversation"
}

case "${1:-}" in
  demo)
    say shell-demo eva 'Who has the key to the cellar?'
    say shell-demo finn 'It hangs by the "green" door.'
    show shell-demo
    ;;
  say) say "$2" "$3" "$4" ;;
  show) show "$2" ;;
  *)
    sed -n '4,6s/^# *//p' "$0" >&2
    exit 1
    ;;
esac
