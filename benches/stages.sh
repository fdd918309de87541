#!/usr/bin/env bash
# Measures the mini study: seconds a stage, and for normalize and tokenize how peak memory grows with ten times the data.
# Prints one table; needs GNU time (/usr/bin/time) for memory.
set -euo pipefail
cd "$(dirname "$0")/.."

trestle="${CARGO_TARGET_DIR:-target}/release/trestle"
[ -x "$trestle" ] || { echo "no $trestle: run 'make build' first" >&2; exit 5; }
dir="$(mktemp -d)"
trap 'rm -rf "$dir"' EXIT

# Peak memory of the process in MiB and wall seconds of: $1 = store, rest = arguments.
measure() {
  local home="$1"
  shift
  /usr/bin/time -f '%M %e' -o "$dir/time" "$trestle" "$@" --home "$home" --quiet >/dev/null
  awk '{ printf "%.0f MiB, %.1f s", $1 / 1024, $2 }' "$dir/time"
}

echo "normalize and tokenize, all tasks of the mini study, one process each"
printf '%-10s %-24s %-24s\n' size normalize tokenize
for size in 1 10; do
  normalize="$(measure "$dir/$size" normalize mini --mini-size "$size")"
  tokenize="$(measure "$dir/$size" tokenize mini --mini-size "$size")"
  printf '%-10s %-24s %-24s\n' "$size" "$normalize" "$tokenize"
done

echo
echo "seconds by stage in the store (sum over artifacts)"
"$trestle" status --home "$dir/10"
