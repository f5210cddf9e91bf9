# A real cap of each kind: root and a plain user under systemd, over its own socket and over a bus, a delegated subtree without D-Bus, a machine without systemd,
# a cgroup tree that can't be written to; and none to be had. In each a hog dies at the cap, with all that runs beside it.
# suites: bookworm trixie
report=$LAB/progress/report limits=$LAB/progress/limits

# What is capped: a script (systemd would take the variables on a command line for its own) that tells the limits of the cgroup
# which has them, starts two more processes, and waits for both.
inside=$LAB/progress/inside
cat > "$inside" <<INSIDE
own=/sys/fs/cgroup\$(cut -d: -f3 < /proc/self/cgroup)
cd "\${own%/main}"
echo \$(cat memory.max memory.swap.max memory.high pids.max memory.oom.group) > $limits
sleep 54321 &
$BIN/hog --size 300 &
wait
INSIDE

# The lab's own processes, and their children, can't be killed by the kernel.
ordinary() { bash -c 'echo 0 > /proc/self/oom_score_adj; exec "$@"' - "$@"; }
# Something taken away, in a mount namespace.
changed() { unshare --mount --propagation private bash -c "$1"'; exec "$@"' - "${@:2}"; }
no_systemd='mount -t tmpfs none /run/systemd; mount -t tmpfs none /run/dbus; echo $$ > /sys/fs/cgroup/cgroup.procs'
no_manager='mount -t tmpfs none /run/user; mount -t tmpfs none /run/dbus'
# systemd's own sockets: the bus is left.
by_bus="mount --bind /dev/null /run/systemd/private; mount --bind /dev/null /run/user/$ALICE/systemd/private"
read_only='mount -o remount,bind,ro /sys/fs/cgroup'

as_root() { ordinary "$@"; }
as_user() { ordinary runuser -u alice -- env XDG_RUNTIME_DIR=/run/user/$ALICE "$@"; }
unbooted() { ordinary bash -c "$(declare -f changed); changed \"\$@\"" - "$no_systemd" "$@"; }
in_read_only() { ordinary bash -c "$(declare -f changed); changed \"\$@\"" - "$read_only" "$@"; }
root_by_bus() { ordinary bash -c "$(declare -f changed); changed \"\$@\"" - "$by_bus" "$@"; }
user_by_bus() { root_by_bus runuser -u alice -- env XDG_RUNTIME_DIR=/run/user/$ALICE "$@"; }
cut_off() { ordinary bash -c "$(declare -f changed); changed \"\$@\"" - "$no_manager" runuser -u alice -- "$@"; }
delegated() {
  systemd-run --quiet --wait --pipe --unit=hog-delegated -p Delegate=yes -p User=alice -p OOMScoreAdjust=0 \
    -p InaccessiblePaths="/run/user /run/dbus" -- "$@"
}

# expect_cap KIND LIMITS WHO [OPTION]...: what WHO runs gets a cap of this kind with these limits, and dies at it.
expect_cap() {
  local kind=$1 wanted=$2 who=$3 status=0 said; shift 3
  rm -f "$report" "$limits"
  said=$("$who" hogwatch run --memory 100M --tasks 50 --report "$report" "$@" -- bash "$inside" 2>&1) || status=$?
  echo "$who: $said"
  [[ -s $report ]] || fail "$who: no report, status $status: $said"
  jq -c '[.cap, .remarks]' "$report"
  same "the kind of cap for $who" "$kind" "$(jq -r .cap.kind "$report")"
  same "its limits" "$wanted" "$(cat "$limits")"
  same "its status" 137 "$status"
  same "what killed it" cap "$(jq -r .killed_by "$report")"
  [[ $said =~ killed\ at\ its\ 100\ MiB\ cap:\ (peak\ [0-9.]+\ MiB,\ )?largest\ task\ hog\ [0-9.]+\ MiB ]] ||
    fail "it does not tell of the kill: $said"
  # A scope that only systemd can write to is gone with the command, and its counts with it.
  [[ $who == in_read_only ]] || (( $(jq .peak_bytes "$report") >= 90 << 20 )) ||
    fail "a peak of $(jq .peak_bytes "$report") is not the cap"
  soon none_left || fail "left: $(pgrep -af 'sleep 54321') $(find /sys/fs/cgroup -name 'hogwatch-run*')"
  note "$kind for $who: ${said##*hogwatch: }"
}
none_left() { ! pgrep -f 'sleep 54321' >/dev/null && [[ -z $(find /sys/fs/cgroup -name 'hogwatch-run*') ]]; }

bystanders
all="$((100 << 20)) 0 max 50 1"
expect_cap scope "$all" as_root --require-cap
expect_cap scope "$all" as_user --require-cap
expect_cap scope "$all" root_by_bus --require-cap
expect_cap scope "$all" user_by_bus --require-cap
expect_cap cgroup2 "$all" delegated --require-cap
expect_cap cgroup2 "$all" unbooted --require-cap
# systemd sets the limits, with one more task for a process that is not needed then; from 253 on it has the kernel kill all.
group=1; (( $(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p') >= 253 )) || group=0
expect_cap scope "$((100 << 20)) 0 max 51 $group" in_read_only --require-cap
watched_limits=$(cut -d: -f3 < /proc/self/cgroup); dir=$CGROUPS$watched_limits
expect_cap watched "$(cd "$dir"; echo $(cat memory.max memory.swap.max memory.high pids.max memory.oom.group))" cut_off
status=0
said=$(cut_off hogwatch run --memory 100M --require-cap -- true 2>&1) || status=$?
same "status where no cap is to be had and one is required" 125 "$status"
note "refused: $said"
expect_bystanders
expect "no failed unit" test -z "$(systemctl list-units --all --no-legend --plain 'hogwatch-run*')"
