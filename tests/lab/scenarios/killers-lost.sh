# The kernel's log is overwritten before hogwatch could read it: that is said, and the kill in it is told by the count.
# suites: bookworm
# The guard is stopped for as long as the lab needs, and must be the same one afterwards.
unit_setting "$GUARD" <<UNIT
[Service]
WatchdogSec=0
UNIT
start_guard
cell capped max=50M swap.max=0
bystanders
trap 'echo ratelimit > /proc/sys/kernel/printk_devkmsg; kill -CONT "$(guard_pid)"' EXIT
echo on > /proc/sys/kernel/printk_devkmsg
kill -STOP "$(guard_pid)"
in_cell "$CGROUPS/lab-capped" hog --size 100; victim=$!
expect_ended "$victim" SIGKILL
# The log has 128 KiB, or twice that.
for (( i = 0; i < 5000; i++ )); do echo "the lab fills the log, line $i, with words that mean nothing to anybody"; done > /dev/kmsg
kill -CONT "$(guard_pid)"
soon logged "written faster than it was read" HOGWATCH_EVENT=degraded || fail "the loss was not said"
soon entry kernel_oom || fail "no entry 'kernel_oom' 60 s after the loss"
field kernel_oom MESSAGE
same "entries of kernel OOM kills" 1 "$(count kernel_oom)"
same "its victim" null "$(field kernel_oom PID)"
expect "the sentence to say how many" logged "OOM killer killed 1 process" HOGWATCH_EVENT=kernel_oom
# From here on everything is read again.
in_cell "$CGROUPS/lab-capped" hog --size 100; victim=$!
expect_ended "$victim" SIGKILL
expect_entry kernel_oom "$victim"
same "entries of kernel OOM kills" 2 "$(count kernel_oom)"
expect_signalled
expect_bystanders
