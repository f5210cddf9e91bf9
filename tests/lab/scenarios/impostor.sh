# A user's large process named sshd is not protected: names are the attacker's choice.
# suites: trixie
mkdir "$LAB/copies"
cp "$BIN/hog" "$LAB/copies/sshd"
start_guard
HOG_BINARY=$LAB/copies/sshd HOG_PROPERTIES=(-p User=alice) hog impostor --size 400
pause 0.5
wait_for 20 not below 65 || true
impostor=$(hog_pid impostor)
hog big --pause 10 --to 4
hog_at big paused
foretell "$impostor"
bystanders
resume big
wait_for 20 gone "$impostor" || fail "the impostor lives 20 s after the hog went on"
expect_only_victim "$impostor" impostor TERM
