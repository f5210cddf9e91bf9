# The root disk takes no writes (fsfreeze): the kill happens all the same, and the entry is there after the thaw.
# suites: bookworm trixie
start_guard
hog big --pause 10 --to 4
hog_at big paused
victim=$(hog_pid big)
foretell "$victim"
bystanders
freeze
touch /var/lib/lab-frozen &
toucher=$!
pause 1
expect "a write to the disk to be stuck" alive "$toucher"
resume big
wait_for 20 gone "$victim" || { thaw; fail "the hog lives 20 s after it went on"; }
expect "the disk to be frozen still" alive "$toucher"
thaw
wait "$toucher"
rm /var/lib/lab-frozen
expect_only_victim "$victim" big SIGTERM
