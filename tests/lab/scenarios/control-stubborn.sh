# The control for stubborn: earlyoom with the same settings and the same hog. Asserts only that the situation was there.
# suites: bookworm trixie
earlyoom_control
hog big --ignore-term --to 4.5
hog_at big there
wait_for 15 control_said "sending SIGTERM to" || fail "earlyoom never saw the hog"
pause 15
note "$(earlyoom_version): 15 s after SIGTERM the hog was ended by $(ended_by big)"
journalctl -q --no-pager -o cat --after-cursor="$(<"$LAB/cursor")" -u lab-earlyoom
