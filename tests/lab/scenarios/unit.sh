# The unit as an admin sees it: enabled, in place of earlyoom, reloaded well and badly, back after SIGKILL.
# suites: bookworm trixie
systemctl --quiet start earlyoom.service
systemctl --quiet enable --now "$GUARD"
same "is-enabled" enabled "$(systemctl is-enabled "$GUARD")"
same "is-active" active "$(systemctl is-active "$GUARD")"
expect "earlyoom beside it to be stopped" soon eval '[[ $(systemctl is-active earlyoom.service) == inactive ]]'
pid=$(guard_pid)
same "slice" hogwatch.slice "$(systemctl show -P Slice "$GUARD")"
same "oom_score_adj" -1000 "$(<"/proc/$pid/oom_score_adj")"
same "MemoryMin of the cgroup" "$(systemctl show -P MemoryMin "$GUARD")" "$(<"/sys/fs/cgroup/hogwatch.slice/$GUARD/memory.min")"
same "mode of the state directory" "750 root hogwatch" "$(stat -c '%a %U %G' /var/lib/hogwatch)"
same "mode of the runtime directory" "750 root hogwatch" "$(stat -c '%a %U %G' /run/hogwatch)"
soon entry start || fail "no start entry"
expect "all its memory to be locked" grep -q '^VmLck:[[:space:]]*[1-9]' "/proc/$pid/status"

config <<TOML
[memory]
term = "6%"
TOML
systemctl reload "$GUARD" || fail "a reload with a good file failed"
soon entry reload || fail "no reload entry"
same "pid after a reload" "$pid" "$(guard_pid)"

config <<TOML
[memory]
term = "banana"
TOML
expect "systemctl reload to fail with a broken file" not systemctl reload "$GUARD"
expect "the journal to say which file and line" soon logged "50-lab.toml:2:" -u "$GUARD"
same "is-active after a broken file" active "$(systemctl is-active "$GUARD")"
same "pid after a broken file" "$pid" "$(guard_pid)"
same "reloads taken" 1 "$(count reload)"
kill -HUP "$pid"
soon entry config_rejected || fail "SIGHUP with a broken file left no config_rejected entry"
same "pid after SIGHUP with a broken file" "$pid" "$(guard_pid)"

config <<TOML
[memory]
term = "7%"
TOML
systemctl reload "$GUARD" || fail "a reload with a mended file failed"
soon eval '(( $(count reload) == 2 ))' || fail "no second reload entry"

kill -KILL "$pid"
soon eval '[[ $(systemctl is-active "$GUARD") == active && $(guard_pid) != "$pid" ]]' || fail "not back 60 s after SIGKILL"
same "restarts" 1 "$(systemctl show -P NRestarts "$GUARD")"
systemctl stop "$GUARD"
same "result of a stop" success "$(systemctl show -P Result "$GUARD")"
soon entry stop || fail "no stop entry"
expect "the runtime directory to outlive the unit" test -d /run/hogwatch
