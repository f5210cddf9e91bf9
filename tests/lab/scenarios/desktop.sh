# A logged-in user gets a notification on the user's own bus, from the system's guard in its sandbox and from the user's.
# suites: trixie
heard=$LAB/progress/bus
as_alice busctl --user monitor > "$heard" 2>&1 &
monitor=$!
expect "alice's bus to be listened to" soon grep -q "Monitoring" "$heard"
config <<TOML
[memory]
warn = "20%"
[notify]
desktop = true
TOML
start_guard
hog big --to 15
hog_at big there
soon entry warn || fail "no warning at 15 %"
expect "alice's bus to have had a call" soon grep -q "Member=Notify" "$heard"
expect "the words to be in it" soon grep -qF "Memory is getting short" "$heard"
grep -m 1 -A 40 "Member=Notify" "$heard"
kill "$monitor"
wait "$monitor" || true
same "complaints about it" 0 "$(entries degraded | grep -c 'hook' || true)"
systemctl kill --signal=KILL hog-big.service
