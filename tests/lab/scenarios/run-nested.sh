# A run inside a run: the inner cap lies within the outer one. What dies at the inner cap leaves the outer run alone, systemd
# too; of two limits the tighter one is the one that counts and is told; what dies at the outer cap takes both along.
# suites: bookworm trixie
outer=$LAB/progress/outer inner=$LAB/progress/inner
ordinary() { bash -c 'echo 0 > /proc/self/oom_score_adj; exec "$@"' - "$@"; }
as_root() { ordinary "$@"; }
as_user() { ordinary runuser -u alice -- env XDG_RUNTIME_DIR=/run/user/$ALICE "$@"; }

# nested OUTER INNER COMMAND: prints what the two say; their statuses are in `statuses`.
nested() {
  local who=$1 memory=$2 status=0; shift 2
  rm -f "$outer" "$inner" "$LAB/progress/state"
  "$who" hogwatch run --name outer --memory "$memory" --report "$outer" -- bash -c "$1" || status=$?
  statuses="$status $(jq -r .exit "$inner" 2>/dev/null)"
}

for who in as_root as_user; do
  ctl=systemctl; [[ $who == as_root ]] || ctl="systemctl --user"
  # The hog dies at the inner cap; the outer run goes on, and its scope is not being stopped.
  nested "$who" 300M "hogwatch run --memory 60M --report $inner -- $BIN/hog --size 150
    unit=\$(grep -o 'hogwatch-run-outer-[0-9]*.scope' /proc/self/cgroup)
    for i in {1..15}; do $ctl show -P ActiveState \$unit; sleep 0.2; done | sort -u > $LAB/progress/state"
  same "statuses of the outer and the inner run" "0 137" "$statuses"
  same "state of the outer scope" active "$(<"$LAB/progress/state")"
  same "what killed the outer" null "$(jq -r .killed_by "$outer")"
  same "what killed the inner" cap "$(jq -r .killed_by "$inner")"
  same "the kinds" "scope cgroup2" "$(jq -r .cap.kind "$outer" "$inner" | xargs)"
  # The kernel counts the first victim of a group kill twice.
  expect "kills counted in the outer" test "$(jq .oom_kills "$outer")" -ge 1
  same "the limit that would be hit first" $((60 << 20)) "$(jq .cap.tightest.bytes "$inner")"
  expect "the inner cgroup within the outer one" test "$(jq -r .cap.cgroup "$inner")" != "$(jq -r .cap.cgroup "$outer")"
  [[ $(jq -r .cap.cgroup "$inner") == "$(jq -r .cap.cgroup "$outer")"/* ]] || fail "$(jq -c .cap "$inner") is not in $(jq -c .cap "$outer")"

  # The outer limit is the tighter one.
  nested "$who" 80M "hogwatch run --memory 200M --report $inner -- true"
  same "statuses of the outer and the inner run" "0 0" "$statuses"
  same "the limit that would be hit first" "$((80 << 20)) /${who}" \
    "$(jq -r --arg place "$(jq -r .cap.cgroup "$outer")" '"\(.cap.tightest.bytes) " + (if "/sys/fs/cgroup" + .cap.tightest.cgroup == $place then "/'"$who"'" else .cap.tightest.cgroup end)' "$inner")"

  # What dies at the outer limit takes both along.
  nested "$who" 80M "hogwatch run --memory 200M --report $inner -- $BIN/hog --size 150; sleep 54321"
  same "status of the outer run" 137 "${statuses% *}"
  same "what killed the outer" cap "$(jq -r .killed_by "$outer")"
  expect "nobody left" not pgrep -f "sleep 54321"
  soon eval '[[ -z $(find /sys/fs/cgroup -name "hogwatch-run*") ]]' || fail "left: $(find /sys/fs/cgroup -name 'hogwatch-run*')"
done
