# The control for stubborn: earlyoom with the same settings and the same hog. Asserts only that the situation was there.
# suites: bookworm trixie
earlyoom_control
hog big --ignore-term --to 4
hog_at big there
wait_for 15 control_said "sending SIGTERM to" || fail "earlyoom never saw the hog"
victim=$(hog_pid big)
pause 12
if alive "$victim"; then outcome="the hog lives 12 s after SIGTERM"; else outcome="the hog was ended by SIG$(ended_by big)"; fi
note "$(earlyoom_version): $outcome"
