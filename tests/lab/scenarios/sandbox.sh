# The unit's sandbox lets every system call of a kill through: TERM, KILL after the grace, process_mrelease.
# suites: bookworm trixie
config <<TOML
[escalation]
grace = "2s"
TOML
start_guard
hog big --ignore-term --pause 10 --to 4.5
hog_at big paused
victim=$(hog_pid big)
bystanders
strace -f -qq -e trace=pidfd_open,pidfd_send_signal,process_mrelease,mlockall,kill -o "$LAB/strace.json" -p "$(guard_pid)" &
tracer=$!
attached() { not grep -qs '^TracerPid:.0$' "/proc/$(guard_pid)/task"/*/status; }
soon attached || fail "strace does not see all of the guard"
resume big
wait_for 40 gone "$victim" || fail "the hog lives 40 s after it went on"
expect_only_victim "$victim" big SIGKILL
kill "$tracer"
wait "$tracer" || true
cat "$LAB/strace.json"
expect "a pidfd to have been opened" grep -q 'pidfd_open(.*= [0-9]' "$LAB/strace.json"
expect "SIGTERM through the pidfd" grep -q 'pidfd_send_signal(.*SIGTERM.*= 0' "$LAB/strace.json"
expect "SIGKILL through the pidfd" grep -q 'pidfd_send_signal(.*SIGKILL.*= 0' "$LAB/strace.json"
expect "process_mrelease after SIGKILL" grep -q 'process_mrelease(' "$LAB/strace.json"
expect "no call to be refused" not grep -E 'EPERM|ENOSYS|EACCES|SIGSYS' "$LAB/strace.json"
expect "no complaint of the kernel about a filter" not eval 'dmesg | grep "type=1326\|SIGSYS"'
