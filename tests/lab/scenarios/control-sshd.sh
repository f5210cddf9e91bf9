# The control for sshd: whom earlyoom, same settings, kills when root's sshd is the largest process.
# suites: trixie
mkdir "$LAB/copies"
cp "$BIN/hog" "$LAB/copies/sshd"
HOG_BINARY=$LAB/copies/sshd hog wayin --size "$(share 45)"
hog_at wayin there
earlyoom_control
hog big --to 4
soon control_said "sending SIG[A-Z]* to" || fail "earlyoom sent nothing"
pause 1
note "$(earlyoom_version): sshd was ended by $(ended_by wayin), the smaller hog by $(ended_by big)"
