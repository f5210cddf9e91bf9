# The control for stubborn: earlyoom with the same settings and the same hog. (3.9: earlyoom 1.8 counts in percent of
# what users can have, so that its 5 % is lower.) Asserts only that the situation was there.
# suites: trixie
earlyoom_control
hog big --ignore-term --to 3.9
hog_at big there
soon control_said "sending SIGTERM to" || fail "earlyoom never saw the hog"
pause 15
note "$(earlyoom_version): 15 s after SIGTERM the hog was ended by $(ended_by big)"
log -o cat -u lab-earlyoom
