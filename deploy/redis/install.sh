#!/bin/sh
# Installs redis-server from the distribution and leaves no service of its own running: Loom starts Redis itself.
set -eu

give_up() {
  echo "redis-server is missing and $1: install it (Debian: apt-get install redis-server), or set REDIS_URL for make up" >&2
  exit 1
}

command -v apt-get >/dev/null || give_up 'there is no apt-get here'
if [ "$(id -u)" = 0 ]; then
  root=
elif sudo -n true 2>/dev/null; then
  root='sudo -n'
else
  give_up 'installing it needs root'
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo 'installing redis-server' >&2
{
  $root apt-get update &&
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends redis-server
} >"$log" 2>&1 </dev/null || {
  tail -n 20 "$log" >&2
  give_up 'apt-get could not install it'
}
$root service redis-server stop >/dev/null 2>&1 || true
$root update-rc.d redis-server disable >/dev/null 2>&1 || true
