#!/bin/sh
# A rewriter: signs whatever a person types. Needs redis-cli (package redis-tools) and nothing else.
#
#   REDIS_URL=redis://127.0.0.1:6390 sh deploy/examples/signature.sh
set -eu
name=signature text='Typed by hand.'
announcement='{"name":"'$name'","order":60,"holdMs":2000,"whenAbsent":"forward","profiles":["*"],"wants":[{"on":"human"}],"view":["last"]}'

redis() { redis-cli -u "${REDIS_URL:-redis://127.0.0.1:6390}" "$@"; }
# The value of an entry's field: it stands on the line after the field's name.
field() { printf '%s\n' "$entry" | awk -v name="$1" 'found { print; exit } $0 == name { found = 1 }'; }
# A text of the question. Inside of what somebody typed, the quotes of such a name are escaped.
json() { printf '%s\n' "$data" | sed 's/.*"'"$1"'":"\([^"]*\)".*/\1/'; }

redis XGROUP CREATE loom:requests $name '$' MKSTREAM >/dev/null # A group that is there already stays as it is.
while :; do
  redis HSET loom:rewriters $name "$announcement" >/dev/null
  redis SET loom:rewriter:$name shell EX 10 >/dev/null
  entry=$(redis XREADGROUP GROUP $name shell COUNT 1 BLOCK 3000 STREAMS loom:requests '>')
  [ -n "$entry" ] || continue
  data=$(field data)
  case $data in *'"rewriter":"'$name'"'*)
    edit='{"op":"add","path":"'$(json pointer)'/content/-","value":{"type":"text","text":"'$text'"},"durable":true}'
    redis XADD "$(json replyStream)" '*' specversion 1.0 id "$(cat /proc/sys/kernel/random/uuid)" \
      source /examples/$name type edits.proposed subject "$(field subject)" time "$(field time)" \
      datacontenttype application/json traceparent "$(field traceparent)" data \
      '{"requestId":"'"$(json requestId)"'","rewriter":"'$name'","replica":"shell","bodySha256":"'"$(json sha256)"'","edits":['"$edit"']}' >/dev/null ;;
  esac
  redis XACK loom:requests $name "$(printf '%s\n' "$entry" | sed -n 2p)" >/dev/null
done
