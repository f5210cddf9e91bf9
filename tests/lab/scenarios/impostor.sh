# A user's large process named sshd is not protected: names are the attacker's choice.
# suites: trixie
mkdir "$LAB/copies"
cp "$BIN/hog" "$LAB/copies/sshd"
start_guard
HOG_BINARY=$LAB/copies/sshd hog impostor -p User=alice --size "$(share 45)"
hog_at impostor there
impostor=$(hog_pid impostor)
# No more than takes the machine below the threshold: not also what the impostor leaves.
hog big --pause 10 --to 4 --most 200
hog_at big paused
foretell "$impostor"
bystanders
resume big
wait_for 20 gone "$impostor" || fail "the impostor lives 20 s after the hog went on"
expect_only_victim "$impostor" impostor SIGTERM
