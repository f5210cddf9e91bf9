# scratch
# suites: none
start_guard
note "$(systemctl show --property=Id,LoadState,ActiveState,UnitFileState,Type,MainPID,ControlGroup,Slice,Restart,SuccessExitStatus,RestartForceExitStatus,OOMPolicy,OOMScoreAdjust,MemoryMin,MemoryHigh,MemoryMax,MemorySwapMax,MemoryCurrent,TasksCurrent,ManagedOOMMemoryPressure,Delegate,DelegateControllers -- hogwatch.service nosuch.service earlyoom.service '*.service' '*.slice' '*.scope' | grep -v '=$' | paste -sd' ' | sed 's/ Id=/\n Id=/g; s/ Type=/\n Type=/g')"
note "state active: $(systemctl show --state=active -P Id -- '*.service' 2>&1 | xargs)"
note "rc $(systemctl show -P Id -- 'nosuchglob*.service' 2>&1; echo $?)"
note "alice: $(as_alice systemctl show -P Id,ActiveState -- '*.slice' 2>&1 | xargs)"
note "adj: $(for p in /proc/[0-9]*; do echo "$(<$p/comm)=$(<$p/oom_score_adj)"; done 2>/dev/null| grep -v '=0$' | xargs)"
note "cg: $(find /sys/fs/cgroup -name cgroup.procs | while read f; do echo "${f%/cgroup.procs}:$(wc -l < $f):$(cat ${f%cgroup.procs}memory.max 2>/dev/null)"; done | sed 's#/sys/fs/cgroup##' | xargs)"
note "alice sees: $(as_alice cat /proc/$(guard_pid)/status | grep -E 'VmLck|Uid' | xargs; as_alice cat /proc/$(guard_pid)/oom_score_adj)"
note "deleg: $(cat /sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/cgroup.controllers)"
note "sys: $(sysctl -a 2>/dev/null | grep -E '^vm\.|sysrq|panic' | xargs)"
note "cmdline $(cat /proc/cmdline); swaps $(cat /proc/swaps | xargs); $(grep . /sys/module/zswap/parameters/* 2>/dev/null | xargs)"
note "unitfiles $(ls /etc/systemd/system/*.d /usr/lib/systemd/system/*.d 2>&1 | xargs)"
note "fixed: $(cat /usr/lib/systemd/system/ssh.service | xargs)"
