# A hog takes the machine to 5 %: it alone gets SIGTERM, and the kernel's OOM killer never fires.
# suites: bookworm trixie
start_guard
hog big --pause 10 --to 4
hog_at big paused
victim=$(hog_pid big)
foretell "$victim"
bystanders
resume big
wait_for 20 gone "$victim" || fail "the hog lives 20 s after it went on"
expect_only_victim "$victim" big SIGTERM
same "entries of acts" "term exited" "$(acts)"
expect "memory to be back above 5 %" not below 5
note "decided in $(field term DECIDE_USEC) us at $(field term AVAILABLE_PERCENT) %"
