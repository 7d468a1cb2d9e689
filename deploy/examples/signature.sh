#!/bin/sh
# A rewriter: signs whatever a person types. Needs redis-cli (package redis-tools) and nothing else.
set -eu
name=signature
redis() { redis-cli -u "${REDIS_URL:-redis://127.0.0.1:6390}" -e "$@"; }
# The value of an entry's field stands on the line after the field's name.
field() { printf '%s\n' "$entry" | sed -n "/^$1\$/{n;p;q;}"; }
# A text of the question. Inside of what somebody typed, the quotes of such a name are escaped.
json() { field data | sed 's/.*"'"$1"'":"\([^"]*\)".*/\1/'; }

redis XGROUP CREATE loom:requests $name '$' MKSTREAM >/dev/null 2>&1 || : # One that is there stays as it is.
while :; do
  redis HSET loom:rewriters $name '{"name":"signature","order":60,"holdMs":2000,"whenAbsent":"forward","profiles":["*"],
    "wants":[{"on":"human"}],"view":["last"]}'
  redis SET loom:rewriter:$name shell EX 10
  entry=$(redis XREADGROUP GROUP $name shell COUNT 1 BLOCK 3000 STREAMS loom:requests '>')
  case $(field data) in *'"rewriter":"'$name'"'*)
    redis XADD "$(json replyStream)" '*' specversion 1.0 id "$(cat /proc/sys/kernel/random/uuid)" source $name \
      type edits.proposed subject "$(field subject)" time "$(field time)" traceparent "$(field traceparent)" \
      datacontenttype application/json data '{"requestId":"'"$(json requestId)"'","rewriter":"'$name'","replica":"shell",
        "bodySha256":"'"$(json sha256)"'","edits":[{"op":"add","path":"'"$(json pointer)"'/content/-","durable":true,
        "value":{"type":"text","text":"Typed by hand."}}]}' ;;
  esac
  [ -z "$entry" ] || redis XACK loom:requests $name "$(printf '%s\n' "$entry" | sed -n 2p)"
done >/dev/null
