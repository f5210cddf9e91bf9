# A time-out of `hogwatch run` leaves no process behind, as root and as alice: not one that left its parents, that ignores
# SIGTERM, or that is stopped, and the command itself is all that. Its cgroup goes with it.
# suites: bookworm trixie
readonly PIDS=$LAB/progress/pids REPORT=$LAB/progress/report

# Notes its pid, ignores what it can, sends off a child twice removed that does the same, and stops.
cat > "$TMPDIR/stubborn" <<'SH'
#!/bin/bash
trap '' TERM INT HUP QUIT
[[ -z $2 ]] || ( setsid --fork "$0" "$1" "${2#x}" & )
echo "$$" >> "$1"
[[ $2 != xx ]] || until (( $(wc -l < "$1") >= 3 )); do read -rt 0.1 <> <(:); done
kill -STOP "$$"
exec sleep 600
SH
chmod 755 "$TMPDIR/stubborn"

noted() { [[ -f $PIDS ]] && (( $(wc -l < "$PIDS") >= 3 )); }

# times_out WHO [COMMAND...]: WHO, by way of the COMMAND, runs into it.
times_out() {
  local who=$1 status=0 begin pid; shift
  rm -f "$PIDS" "$REPORT"
  bystanders
  begin=$(now_ms)
  # The bound of timeout(1) is only for this scenario.
  "$@" timeout -k 5 120 hogwatch run --memory 64M --timeout 10s --kill-after 1s --report "$REPORT" -- \
    "$TMPDIR/stubborn" "$PIDS" xx || status=$?
  local took=$(( $(now_ms) - begin ))
  same "$who: exit status" 124 "$status"
  expect "$who: the command and both who left it to have run" noted
  while read -r pid; do expect "$who: pid $pid to be gone" gone "$pid"; done < "$PIDS"
  same "$who: what else runs that script" "" "$(pgrep -f "$TMPDIR/stubborn" | xargs || true)"
  expect_no_runs
  same "$who: kind and end" "scope timeout" "$(jq -r '[.cap.kind, .killed_by] | join(" ")' "$REPORT")"
  expect_bystanders
  note "$who: gone $took ms after the start, 10000 to the time-out and 1000 to SIGKILL of them"
}
times_out root
times_out alice as_alice
same "units that stay" "" "$(systemctl list-units --all --no-legend --plain 'hogwatch-run*' | xargs)"
same "units of alice that stay" "" "$(as_alice systemctl --user list-units --all --no-legend --plain 'hogwatch-run*' | xargs)"
expect_no_kernel_oom
