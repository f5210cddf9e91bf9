# A logged-in user gets a notification on the user's own bus, from the system's guard in its sandbox and from the user's.
# suites: trixie
heard=$LAB/progress/bus
as_alice busctl --user monitor > "$heard" 2>&1 &
monitor=$!
expect "alice's bus to be listened to" wait_for 10 grep -q "Monitoring" "$heard"
config <<TOML
[memory]
warn = "20%"
[notify]
desktop = true
TOML
start_guard
hog big --to 15
hog_at big there
wait_for 10 entry warn || fail "no warning at 15 %"
expect "alice's bus to have had a call" wait_for 20 grep -q "Member=Notify" "$heard"
expect "the words to be in it" wait_for 5 grep -qF "Memory is getting short" "$heard"
grep -A 40 "Member=Notify" "$heard" | head -n 40
kill "$monitor"
wait "$monitor" || true
same "complaints about it" 0 "$(entries degraded | grep -c 'hook' || true)"
systemctl kill --signal=KILL hog-big.service
