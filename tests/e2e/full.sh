#!/bin/sh
# The disk runs full in the middle of a run: it says so and ends; nothing is damaged, and with room
# again the same command goes on to the ids of an undisturbed run. Skipped where nothing can be
# mounted.
if [ "${1:-}" != inside ]; then
    unshare -m true 2>/dev/null || { echo "$0: skipped: no mount namespaces here"; exit 77; }
    exec unshare -m sh "$0" inside
fi
. "$(dirname "$0")/common.inc"
small="--set base.steps=60 --set chat.iterations=3"
home=$work/disk/home

mkdir "$work/disk"
mount -t tmpfs -o size=2m jielong "$work/disk" 2>/dev/null || { say "skipped: nothing can be mounted"; exit 77; }
trap 'pkill -KILL -f "$work" 2>/dev/null || true; umount -l "$work/disk"; rm -rf "$work"' EXIT
"$jielong" run "$tiny" $small --home "$work/alone" >/dev/null 2>&1 || die "the undisturbed run"
outputs "$work/alone" >"$work/want"

set +e
"$jielong" run "$tiny" $small --home "$home" >"$work/log" 2>&1
code=$?
set -e
[ $code = 74 ] || [ $code = 1 ] || die "exit $code: $(tail -5 "$work/log")"
grep -q 'the disk is full' "$work/log" || die "it does not say why: $(tail -5 "$work/log")"
mount -o remount,size=200m "$work/disk"
"$jielong" store verify --home "$home" >/dev/null || die "the store is damaged"
"$jielong" run "$tiny" $small --home "$home" >"$work/log" 2>&1 || die "with room again: $(tail -5 "$work/log")"
outputs "$home" | cmp - "$work/want" || die "other ids than undisturbed"
"$jielong" store verify --home "$home" >/dev/null || die "the store is damaged"
say "full at 2 MB (exit $code), with room again: the same ids"
