# prefer goes first although small, avoid goes last although largest, protect never.
# suites: trixie
config <<TOML
[victim]
prefer = ["^scratch$"]
avoid = ["^keepme$"]
protect = ["^sacred$"]
TOML
start_guard
hog keepme --name keepme --size "$(share 38)"
hog sacred --name sacred --size "$(share 10)"
hog scratch --name scratch --size "$(share 8)"
for name in keepme sacred scratch; do hog_at "$name" there; done
hog plain --pause 11 --to 4
hog_at plain paused
scratch=$(hog_pid scratch) plain=$(hog_pid plain) keepme=$(hog_pid keepme)
foretell "$scratch"
bystanders
resume plain
wait_for 20 gone "$scratch" || fail "the preferred one lives 20 s after the hog went on"
expect_only_victim "$scratch" scratch SIGTERM
pause 4
foretell "$plain"
resume plain
wait_for 20 gone "$plain" || fail "the ordinary one lives 20 s after it went on"
expect_entry term "$plain"
expect_entry exited "$plain"
expect_bystanders "$scratch" "$plain"
hog last --name sacred --pause 11 --to 4
hog_at last paused
foretell "$keepme"
resume last
wait_for 20 gone "$keepme" || fail "the avoided one lives although nothing else is left"
expect_bystanders "$scratch" "$plain" "$keepme"
expect_no_kernel_oom
