# A plain user's guard may not read the kernel's log: it says so once, and tells of a kernel OOM kill by its count.
# suites: bookworm
as_alice systemctl --user --quiet enable --now hogwatch.service || fail "alice's hogwatch did not start"
soon entry start || fail "alice's guard did not say that it started"
expect "the guard to say what it can't read" soon logged "/dev/kmsg can't be read"
bystanders
as_alice systemd-run --user --quiet --unit=hog-capped -p RemainAfterExit=yes -p MemoryMax=60M -p MemorySwapMax=0 "$BIN/hog" --size 100
soon eval "(( \$(oom_kills) > $OOM_KILLS ))" || fail "the kernel killed nobody in 60 s"
soon entry kernel_oom || fail "no entry 'kernel_oom' 60 s after the kill"
field kernel_oom MESSAGE
same "entries of kernel OOM kills" 1 "$(count kernel_oom)"
same "its victim" null "$(field kernel_oom PID)"
expect "the sentence to say how many" logged "OOM killer killed 1 process" HOGWATCH_EVENT=kernel_oom
same "complaints about the log" 1 "$(log -o cat HOGWATCH_EVENT=degraded | grep -c '/dev/kmsg')"
expect_bystanders
