# systemd-oomd kills a unit that hogwatch leaves to it: the entry names the unit.
# suites: bookworm trixie
config <<TOML
[livelock]
cgroups = ["lab-*"]
TOML
start_guard
oomd_control
slice band ManagedOOMMemoryPressure=kill ManagedOOMMemoryPressureLimit=5%
bystanders
load victim -p Slice=band.slice -p MemoryHigh=60M -p MemorySwapMax=0 mapped "$DISK" 0 200
wait_for 60 eval '[[ $(ended_by victim) != nothing ]]' || fail "systemd-oomd killed nobody in 60 s: $(oomctl)"
same "what ended the unit" SIGKILL "$(ended_by victim)"
expect "systemd-oomd to say that it was it" soon logged "Killed /band.slice/hog-victim.service" -u systemd-oomd
soon entry oomd_kill || fail "no entry 'oomd_kill' 60 s after the kill"
field oomd_kill MESSAGE
same "entries of systemd-oomd's kills" 1 "$(count oomd_kill)"
same "its cgroup" /band.slice/hog-victim.service "$(field oomd_kill CGROUP)"
same "its unit" hog-victim.service "$(field oomd_kill UNIT)"
same "its priority" 3 "$(field oomd_kill PRIORITY)"
expect "an incident" test "$(field oomd_kill INCIDENT)" != null
expect_signalled
expect_no_kernel_oom
expect_bystanders
expect_incident oomd_kill systemd-oomd "everybody in hog-victim.service was killed" "systemd-oomd"
