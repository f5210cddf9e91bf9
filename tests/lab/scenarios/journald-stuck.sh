# journald is stopped and its socket is full: the kill happens all the same, and the entry comes once journald goes on.
# suites: bookworm trixie
start_guard
hog big --pause 10 --to 4
hog_at big paused
victim=$(hog_pid big)
foretell "$victim"
bystanders
stop_journald
resume big
wait_for 20 gone "$victim" || { continue_journald; fail "the hog lives 20 s after it went on"; }
same "state of journald" T "$(sed -n 's/^State:.\(.\).*/\1/p' "/proc/$(journald_pid)/status")"
continue_journald
expect_only_victim "$victim" big SIGTERM
