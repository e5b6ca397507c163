#!/bin/sh
# The trained models are the same bytes with any number of threads and workers, and wherever the
# chain of segments is cut.
. "$(dirname "$0")/common.inc"

# models NAME OPTIONS…: runs the tiny pipeline; what base, sft, teacher and chat give goes to $work/NAME
models() {
    name=$1 && shift
    "$jielong" run "$tiny" --home "$work/home-$name" "$@" >"$work/log" 2>&1 ||
        die "$name: $(tail -5 "$work/log")"
    outputs "$work/home-$name" | grep -E '^(base|sft|teacher|chat)checkpoint' >"$work/$name" || true
    [ "$(wc -l <"$work/$name")" = 4 ] || die "$name: outputs are missing: $(cat "$work/$name")"
    rm -r "$work/home-$name"
}

same() { cmp "$work/$1" "$work/$2" || die "$1 and $2 differ"; }

every() { echo "--set base.checkpoint_every=$1 --set sft.checkpoint_every=$1 --set teacher.checkpoint_every=$1"; }

models one --workers 1 --threads 1 $(every 1000)
models two --workers 1 --threads 2 $(every 50)
same one two
models three --workers 2 --threads 3 $(every 10)
same one three
say "1, 2 and 3 threads and a checkpoint every 1,000, 50 and 10 steps: the same models"
