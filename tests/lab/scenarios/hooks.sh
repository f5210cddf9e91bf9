# Hooks in the shipped unit, with its sandbox: told what happens, ordinary processes in cgroups of their own that are ended whole.
# suites: bookworm
mkdir -p "$LAB/copies"
cat > "$LAB/copies/before" <<'HOOK'
#!/bin/sh
echo "before $HOGWATCH_EVENT of $HOGWATCH_PID in $HOGWATCH_UNIT: $(cat /proc/$HOGWATCH_PID/comm)"
HOOK
cat > "$LAB/copies/after" <<'HOOK'
#!/bin/sh
[ "$HOGWATCH_EVENT" = exited ] || exit 0
echo "adj $(cat /proc/$$/oom_score_adj) nice $(nice) $(cat /proc/self/cgroup)"
own=/sys/fs/cgroup$(sed 's/^0:://' /proc/self/cgroup)
[ -e "$own/memory.max" ] && echo "memory is the hook's own"
printf 'forged\nHOGWATCH_EVENT=stop\033[2J\n'
# The sandbox stays with a hook; what needs more is a unit of its own.
echo x > /etc/hooked 2>/dev/null || echo "read-only"
systemd-run --quiet --collect --wait --no-ask-password sh -c 'echo x > /run/lab/copies/outside' && echo "outside done"
setsid sh -c 'sleep 1000; echo never' &
echo "inside: $(tr '\n' ' ' < "$own/cgroup.procs")"
echo end
exec sleep 1000
HOOK
chmod +x "$LAB"/copies/before "$LAB"/copies/after
config <<TOML
[hooks]
before = ["$LAB/copies/before"]
after = ["$LAB/copies/after"]
TOML
start_guard
same "the cgroup's delegation" yes "$(systemctl show -P Delegate "$GUARD")"
hog big --name $'x\nHOGWATCH_A=1' --pause 10 --to 4
hog_at big paused
victim=$(hog_pid big)
foretell "$victim"
bystanders
resume big
wait_for 20 gone "$victim" || fail "the hog lives 20 s after it went on"

# The hook itself looks at what it runs in: it is ended 30 s after its start, and looks into the journal take their time.
hook_said() { log -o cat -t hogwatch-hook "$@"; }
soon eval 'said=$(hook_said) && grep -qx end <<< "$said"' || fail "the after hook did not come to its end: $(hook_said | xargs -d '\n')"
running=/sys/fs/cgroup$(sed -n 's/^adj .* 0:://p' <<< "$said")
echo "$said"
read -ra inside <<< "$(sed -n 's/^inside: //p' <<< "$said")"
expect "the cgroup to hold the hook, its child and who looks (${inside[*]})" test "${#inside[@]}" -ge 3
expect "memory of the hook to count as the unit's" not grep -q "the hook's own" <<< "$said"
expect_entry term "$victim"
expect_entry exited "$victim"
expect "the before hook to have been told" soon eval 'hook_said HOGWATCH_HOOK=before | grep -q "^before term of $victim in hog-big.service"'
expect "an ordinary process in a cgroup of its own" eval 'hook_said | grep -qE "^adj 0 nice 0 0::/hogwatch.slice/hogwatch.service/hook-[0-9]+$"'
expect "output to be escaped" eval 'hook_said | grep -qxF "HOGWATCH_EVENT=stop\x1b[2J"'
same "forged stops" 0 "$(count stop)"
expect "the sandbox to hold for hooks" eval 'hook_said | grep -qx read-only'
expect "a hook to get out by systemd-run" test -e "$LAB/copies/outside"
same "what hooks said belongs to the unit" "$GUARD" "$(log -o json -t hogwatch-hook | head -n 1 | jq -r ._SYSTEMD_UNIT)"
same "and to the incident" "$(field term INCIDENT)" "$(log -o json -t hogwatch-hook | tail -n 1 | jq -r .HOGWATCH_INCIDENT)"

# The child has left the session: only the cgroup still knows it.
soon not test -d "$running" || fail "the cgroup of an overdue hook is still there: $(cat "$running/cgroup.procs" | xargs)"
expect "nobody of it to live" eval '[[ -z $(pgrep -f "^sleep 1000") ]]'
expect "the deadline to be said" soon eval 'entries degraded | grep -q "ran for 30 s and was ended"'
same "the guard is active" active "$(systemctl is-active "$GUARD")"

config <<TOML
[hooks]
after = ["/nonexistent/hook"]
TOML
expect "config check to say that a hook is not there" eval 'hogwatch config check 2>&1 | grep -q "hooks.after can.t be started: there is no /nonexistent/hook"'
systemctl reload "$GUARD" || fail "a reload failed"
expect "the journal to say so" soon eval 'entries degraded | grep -q "the after hook can.t be started"'
expect "no complaint of the kernel about a filter" not eval 'dmesg | grep "type=1326\|SIGSYS"'
