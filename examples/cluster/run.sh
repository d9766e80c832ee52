#!/usr/bin/env bash
# A main and three workers over one directory, on this machine; Ctrl-C stops them all.
#
#   examples/cluster/run.sh [DIRECTORY]
#
# DELTADB names the program, REST_ADDR and GRPC_ADDR where the main listens.
set -euo pipefail

program="${DELTADB:-deltadb}"
rest="${REST_ADDR:-127.0.0.1:8080}"
grpc="${GRPC_ADDR:-127.0.0.1:50051}"
directory="${1:-./delta-cluster}"

umask 077
mkdir -p "$directory"
cd "$directory"
for secret in join.token admin.key; do
  [ -s "$secret" ] || od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > "$secret"
done

processes=()
stop() {
  trap - EXIT INT TERM
  # The workers first, so that no request fails; each ends what it has begun.
  for process in "${processes[@]:1}" "${processes[@]:0:1}"; do
    kill -TERM "$process" 2>/dev/null || true
    wait "$process" || true
  done
}
trap stop EXIT
trap 'exit 0' INT TERM

"$program" main --shared-fs ./db --join-token-file ./join.token --master-key-file ./master.key \
  --admin-key-file ./admin.key --rest-addr "$rest" --grpc-addr "$grpc" &
processes+=("$!")
for worker in w1 w2 w3; do
  "$program" worker --shared-fs ./db --join-token-file ./join.token --main-addr "$grpc" --worker-id "$worker" &
  processes+=("$!")
done

echo "Admin key: in $PWD/admin.key"
# Ends when one of them does.
wait -n
