#!/bin/sh
# `jielong web` beside a standing orchestrator: a page, numbers for Prometheus, health; and it says
# so when the orchestrator is gone.
. "$(dirname "$0")/common.inc"
command -v curl >/dev/null || { say "SKIPPED: there is no curl here"; exit 77; }
home=$work/home
get() { curl -sS --max-time 20 "$url$1"; }
number() { get metrics | awk -v name="$1" '$1 == name { print $2; found = 1 } END { exit !found }'; }
is() { [ "$(number "$1")" = "$2" ]; }

"$jielong" orchestrator --home "$home" 2>"$work/log" &
orchestrator=$!
wait_for 30 "$jielong" workers --home "$home"
"$jielong" web --listen 127.0.0.1:0 --home "$home" >"$work/url" 2>"$work/err" &
web=$!
wait_for 30 grep -q . "$work/url"
url=$(cat "$work/url")
[ "$(get healthz)" = ok ] || die "not healthy: $(get healthz)"
is jielong_up 1 || die "no orchestrator? $(get metrics)"
"$jielong" worker --name 'a"b' --home "$home" 2>/dev/null &
worker=$!
"$jielong" submit "$tiny" --set base.steps=200000 --set base.checkpoint_every=100 --home "$home" >/dev/null || die "submit"
wait_for 60 is 'jielong_jobs{state="running"}' 1
wait_for 60 is 'jielong_workers{state="busy"}' 1
get metrics | grep -q '^jielong_executor_memory_bytes{worker="a\\"b",host="' || die "no executor: $(get metrics)"
wait_for 60 sh -c "curl -sS '${url}metrics' | grep -q '^jielong_executor_memory_bytes.* [1-9][0-9]*\$'"
[ "$(number jielong_store_bytes)" -gt 0 ] || die "the store has no size"
[ "$(number jielong_dispatch_seconds_count)" -gt 0 ] || die "nothing was dispatched"
get "" >"$work/page"
grep -q '<html lang="en">' "$work/page" && grep -q 'tiny-1' "$work/page" && grep -q 'base  ' "$work/page" ||
    die "the page: $(cat "$work/page")"
[ "$(curl -s -o /dev/null -w '%{http_code}' -X POST "$url")" = 405 ] || die "something can be posted"
"$jielong" web --listen "${url#http://}" --home "$home" >/dev/null 2>"$work/err" && die "two on one port"
kill $worker $orchestrator
wait $orchestrator || die "the orchestrator ended with $?"
[ "$(curl -s --max-time 20 -o /dev/null -w '%{http_code}' "${url}healthz")" = 503 ] || die "healthy without an orchestrator"
is jielong_up 0 || die "up without an orchestrator"
kill $web
wait $web || die "web ended with $?"
say "page, metrics, health"
