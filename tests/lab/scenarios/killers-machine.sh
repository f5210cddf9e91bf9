# The machine is short of memory and hogwatch may not touch the hog: the kernel's OOM killer ends it, and the entry says so.
# suites: bookworm trixie
config <<TOML
[victim]
protect = ["^hog$"]
TOML
start_guard
bystanders
hog big --to 4
hog_at big there
soon entry refused || fail "hogwatch does not say that it leaves the hog alone"
# By itself the kernel thrashes for two minutes first (Linux 6.1); sysrq f asks it to kill now, for the machine.
echo f > /proc/sysrq-trigger
wait_for 20 gone "$(hog_pid big)" || fail "the hog still lives: $(memory MemAvailable) MiB are available"
same "what ended the hog" SIGKILL "$(ended_by big)"
soon entry kernel_oom || fail "no entry 'kernel_oom' 60 s after the kernel killed"
field kernel_oom MESSAGE
same "entries of kernel OOM kills" 1 "$(count kernel_oom)"
same "its name" hog "$(field kernel_oom COMM)"
same "its kind" memory "$(field kernel_oom KIND)"
same "its unit" hog-big.service "$(field kernel_oom UNIT)"
same "its cgroup" /system.slice/hog-big.service "$(field kernel_oom CGROUP)"
same "its limit" null "$(field kernel_oom LIMIT_BYTES)"
size=$(field kernel_oom SIZE_BYTES)
expect "its size to be most of the machine (it is $size)" test $(( size >> 20 )) -gt "$(share 80)"
reason=$(field kernel_oom REASON)
expect "the reason to say that it was the machine" test -z "${reason##the machine had no memory left*}"
# The kill may end the shortage before it is told.
same "its incident, the one of the warning" "$(field warn INCIDENT)" "$(field kernel_oom INCIDENT)"
soon entry recovered || fail "no entry 'recovered' 60 s after the kill"
same "kernel OOM kills" $((OOM_KILLS + 1)) "$(oom_kills)"
expect_signalled
expect_bystanders
expect_incident kernel_oom kernel "hog (pid " "of hog-big.service was killed" "the kernel's OOM killer" "the whole machine was out of memory"
