#!/bin/sh
# The kill loop: while a pipeline runs with 3 workers, one of orchestrator, worker and executor,
# drawn by a seed, is killed every so often, or a worker is stopped for longer than its lease. The
# run ends, with the ids of an undisturbed one.
#
#   JIELONG_BUILD=build sh tests/e2e/unrest.sh pipelines/quickstart/quickstart.yaml   # the whole of it
#
# SEED and MEAN (seconds between two deeds) may be given; further operands are options of
# `jielong run`.
. "$(dirname "$0")/common.inc"
seed=${SEED:-1}
home=$work/home
if [ $# -gt 0 ]; then
    pipeline=$1 mean=${MEAN:-5} && shift
else
    pipeline=$tiny mean=${MEAN:-1.5}
    set -- --set base.steps=9000 --set base.checkpoint_every=450 --set chat.iterations=60
fi

"$jielong" run "$pipeline" "$@" --home "$work/calm" --workers 1 >"$work/log" 2>&1 || die "the undisturbed run: $(tail -5 "$work/log")"
outputs "$work/calm" >"$work/want"
[ -s "$work/want" ] || die "the undisturbed run gave nothing"
# Who is killed that often has failed often: the policy of retries is not what is tested here.
for job in $("$jielong" status --home "$work/calm" --output json | sed -n 's/^ *"name": "\([a-z_]*\)",*$/\1/p' | sort -u); do
    set -- "$@" --set "$job.retries=1000"
done
rm -r "$work/calm"

# The deeds, drawn before anything runs: when (seconds after the one before), what, to which of them.
awk -v seed="$seed" -v mean="$mean" 'BEGIN {
    srand(seed)
    for (i = 0; i < 10000; i++) {
        what = substr("owwwwweeeees", int(rand() * 12) + 1, 1)
        printf "%.1f %s %d\n", 2 * mean * rand(), what, int(rand() * 1000)
    }
}' >"$work/deeds"

pids() {
    case $1 in
    o) pgrep -f "jielong orchestrator .*--home $home" ;;
    e) pgrep -f "executor --home $home" ;;
    *) pgrep -f "jielong-worker worker .*--home $home" ;;
    esac
}

"$jielong" run "$pipeline" "$@" --home "$home" --workers 3 >"$work/log" 2>&1 &
run=$!
began=$(date +%s)
: >"$work/done"
while read -r wait what which; do
    sleep "$wait"
    kill -0 $run 2>/dev/null || break
    victim=$(pids "$what" | awk -v n="$which" '{ p[NR] = $1 } END { if (NR) print p[n % NR + 1] }')
    [ -n "$victim" ] || continue
    if [ "$what" = s ]; then # in the background: the loop goes on meanwhile
        kill -STOP "$victim" 2>/dev/null && (sleep 20 && kill -CONT "$victim" 2>/dev/null) &
    else
        kill -KILL "$victim" 2>/dev/null || continue
    fi
    echo "$what" >>"$work/done"
done <"$work/deeds"
code=0
wait $run || code=$?
[ $code = 0 ] || die "seed $seed: the run ended with $code: $(tail -20 "$work/log")"
outputs "$home" | cmp - "$work/want" || die "seed $seed: other bytes than the undisturbed run's"
count() { grep -c "$1" "$work/done" || true; }
[ -s "$work/done" ] || die "the run was over before anything was killed"
say "seed $seed: $(count o) orchestrators, $(count w) workers and $(count e) executors killed, $(count s) workers stopped for 20 s, in $(($(date +%s) - began)) s: equal"
