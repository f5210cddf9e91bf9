# What `hogwatch run` costs beside `systemd-run --scope`, as root and as alice, and that it holds 3 MiB at most while a
# command runs. The processor is emulated: the times compare only with each other.
# suites: trixie
readonly ROUNDS=9
cost() {
  local who=$1 line; shift
  "$@" env TMPDIR="$LAB/progress" "$BIN/overhead.sh" /usr/bin/hogwatch "$ROUNDS" > "$LAB/progress/cost.$who" 2> "$LAB/progress/said.$who" ||
    fail "$who: could not be measured: $(<"$LAB/progress/said.$who")"
  same "$who: what the runs said" "" "$(<"$LAB/progress/said.$who")"
  while read -r line; do note "$who: $line"; done < "$LAB/progress/cost.$who"
  expect "$who: a scope to have been measured" grep -q "kind is scope" "$LAB/progress/cost.$who"
  expect "$who: at most 3072 KiB resident" test "$(sed -n 's/.* \([0-9]*\) KiB together.*/\1/p' "$LAB/progress/cost.$who")" -le 3072
}
cost root
cost alice as_alice
expect_no_runs
