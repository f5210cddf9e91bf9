# The watchdog: quiet while journald and the disk are stuck for longer than WatchdogSec, and firing on a stuck guard.
# suites: bookworm
unit_setting "$GUARD" <<UNIT
[Service]
WatchdogSec=10s
UNIT
start_guard
pid=$(guard_pid)
freeze
stop_journald
# Gives the guard something to say, to an ear that does not hear.
hog big --to 7
hog_at big there
expect "the guard to run for 24 s while journald and the disk are stuck" stays 24 alive "$pid"
continue_journald
thaw
same "restarts while journald and the disk were stuck" 0 "$(systemctl show -P NRestarts "$GUARD")"
soon entry warn || fail "no warn entry from the time journald was stuck"
systemctl stop hog-big

kill -STOP "$pid"
wait_for 60 gone "$pid" || fail "the watchdog left a stopped guard alone for 60 s"
soon eval '[[ $(systemctl is-active "$GUARD") == active ]]' || fail "not back 60 s after the watchdog"
same "restarts" 1 "$(systemctl show -P NRestarts "$GUARD")"
expect "systemd to say that the watchdog did it" soon logged "[Ww]atchdog timeout" -u "$GUARD"
