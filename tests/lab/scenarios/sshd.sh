# root's process named sshd is larger than the hog: the hog dies, the way in stays. A user's process of that name is no way in.
# suites: bookworm trixie
mkdir "$LAB/copies"
cp "$BIN/hog" "$LAB/copies/sshd"
start_guard
HOG_BINARY=$LAB/copies/sshd hog wayin --size "$(share 45)"
hog_at wayin there
wayin=$(hog_pid wayin)
same "name of the large process" sshd "$(<"/proc/$wayin/comm")"
hog big --pause 10 --to 4
hog_at big paused
victim=$(hog_pid big)
foretell "$victim"
expect "explain to list sshd as excluded" jq -e --argjson p "$wayin" '.excluded | any(.pid == $p)' "$LAB/explain.json"
bystanders
resume big
wait_for 20 gone "$victim" || fail "the hog lives 20 s after it went on"
expect_only_victim "$victim" big SIGTERM
systemctl stop hog-wayin
