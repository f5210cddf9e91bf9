# The watchdog: quiet while journald and the disk are stuck for longer than WatchdogSec, and firing on a stuck guard.
# suites: bookworm
unit_setting "$GUARD" <<UNIT
[Service]
WatchdogSec=5s
UNIT
start_guard
pid=$(guard_pid)
freeze
stop_journald
# Gives the guard something to say, to an ear that does not hear.
hog big --to 7
hog_at big there
expect "the guard to run for 14 s while journald and the disk are stuck" stays 14 alive "$pid"
continue_journald
thaw
same "restarts while journald and the disk were stuck" 0 "$(systemctl show -P NRestarts "$GUARD")"
wait_for 10 entry warn || fail "no warn entry from the time journald was stuck"
systemctl stop hog-big

kill -STOP "$pid"
wait_for 20 gone "$pid" || fail "the watchdog left a stopped guard alone for 20 s"
wait_for 10 eval '[[ $(systemctl is-active "$GUARD") == active ]]' || fail "not back 10 s after the watchdog"
same "restarts" 1 "$(systemctl show -P NRestarts "$GUARD")"
expect "systemd to say that the watchdog did it" wait_for 5 logged "[Ww]atchdog timeout" -u "$GUARD"
