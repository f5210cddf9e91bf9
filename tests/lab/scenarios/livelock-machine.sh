# The machine itself thrashes its swap disk: one process touches more memory than there is, over and over. The memory guard
# is told to wait until swap is low too, so it does not come first.
# suites: bookworm trixie
config <<TOML
[swap]
mode = "and"
TOML
mkswap -q "$DISK"
swapon "$DISK"
start_guard
load runaway touch "$(( $(memory MemTotal) * 115 / 100 ))"
victim=$(hog_pid runaway)
bystanders
swaps_in() { sed -n 's/^pswpin //p' /proc/vmstat; }
busy_swapping() { (( $(swaps_in) - swaps > 2000 )); }
swaps=$(swaps_in)
# What does not fit is written to the disk first, which may take its time.
wait_for 120 busy_swapping || fail "the machine does not swap in: $(( $(swaps_in) - swaps )) pages"
ONSET[machine]=$(now_ms)
foretell "$victim"
note "some 10 s after the start: $(head -n 1 /proc/pressure/memory); MemAvailable $(memory MemAvailable) MiB"
expect_gone machine 50 "$victim" "the runaway"
# journald may still be in swap itself.
wait_for 40 entry exited HOGWATCH_PID="$victim" || fail "the journal does not tell of the runaway's end"
same "kind of the livelock" swap_thrash "$(field livelock KIND)"
expect_only_victim "$victim" runaway SIGTERM
