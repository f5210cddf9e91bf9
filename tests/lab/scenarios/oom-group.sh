# memory.oom.group=1: the cgroup is one victim and dies whole; a larger group without it loses one process only.
# suites: bookworm trixie
start_guard
group=/sys/fs/cgroup/lab-group
mkdir "$group"
echo 1 > "$group/memory.oom.group"
member() { ( echo 0 > /proc/self/oom_score_adj; echo "$BASHPID" > "$group/cgroup.procs"; exec "$BIN/hog" "$@" ) & }
member --size 60; small=$!
member --size 120; middle=$!
member --pause 10 --to 4 --progress "$LAB/progress/group"; large=$!
hog_at group paused
foretell "$large"
bystanders
kill -USR1 "$large"
for pid in "$large" "$middle" "$small"; do
  wait_for 20 eval "gone $pid || grep -q '^State:.Z' /proc/$pid/status" || fail "member $pid of the group lives 20 s after the hog went on"
done
expect "the cgroup to be empty" soon grep -q '^populated 0' "$group/cgroup.events"
expect_entry term "$large"
expect_entry exited "$large"
expect_no_kernel_oom
expect_bystanders "$large" "$middle" "$small"
