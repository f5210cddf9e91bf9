# The guard sits in a slice that the kernel throttles (memory.high passed, nothing to reclaim), and the machine runs low
# because of a hog elsewhere: it acts all the same.
# suites: bookworm trixie
config <<TOML
[livelock]
enabled = false
TOML
mkdir -p /run/systemd/system
printf '[Slice]\nMemoryHigh=80M\nMemoryMax=200M\nMemorySwapMax=0\n' > /run/systemd/system/band.slice
unit_setting "$GUARD" <<UNIT
[Service]
Slice=band.slice
UNIT
start_guard
band=/sys/fs/cgroup/band.slice
expect "the guard to sit in band.slice" grep -q "$(guard_pid)" "$band/$GUARD/cgroup.procs"
hog big --pause 20 --to 4
hog_at big paused
hog plateau -p Slice=band.slice --size 84
stuck() { (( $(<"$band/memory.current") > 80 * 1048576 * 103 / 100 )); }
soon stuck || fail "band.slice never got past its memory.high: $(<"$band/memory.current")"
pause 2
victim=$(hog_pid big)
foretell "$victim"
bystanders
resume big
begin=$(now_ms)
wait_for 30 gone "$victim" || fail "the hog lives 30 s after it went on"
took=$(( $(now_ms) - begin ))
expect "band.slice to be throttled all the while" stuck
systemctl kill --signal=KILL hog-plateau.service
soon entry exited
expect_entry term "$victim"
same "what ended hog big" SIGTERM "$(ended_by big)"
expect_no_kernel_oom
note "the hog was gone $took ms after it went on; decided in $(field term DECIDE_USEC) us"
