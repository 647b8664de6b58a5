#!/usr/bin/env bash
# Lets schemathesis drive every path of the served OpenAPI document: no status 5xx, no hang, answers as described. Needs `pip install schemathesis`.
#
#     Tools/server/check_description.sh PROGRAM [SCHEMATHESIS]
set -euo pipefail
program=$(realpath "$1") schemathesis=${2:-schemathesis}
root=$(cd "$(dirname "$0")/../.." && pwd)
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
API_HOST=127.0.0.1 API_PORT=$port API_VERBOSE=0 "$program" api "model_name_or_path=$root/Fixtures/golden/train/models/tiny_llama" template=llama3 max_new_tokens=16 &
server=$!
trap 'kill $server' EXIT
for _ in $(seq 300); do
    curl -sf "http://127.0.0.1:$port/health" >/dev/null && break
    sleep 0.2
done
cd "$(mktemp -d)"  # where schemathesis writes what it finds
"$schemathesis" run "http://127.0.0.1:$port/openapi.json" --max-examples 60 --request-timeout 60 --suppress-health-check all \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance
curl -sf "http://127.0.0.1:$port/health"
