# The machine itself thrashes its swap disk: one process touches more memory than there is, over and over. The memory guard
# is told to wait until swap is low too, so it does not come first.
# suites: bookworm trixie
config <<TOML
[swap]
mode = "and"
TOML
# On a fast one what is waited for is the processor: how much of it programs get is up to what else the lab's host does.
mkswap -q "$SLOW_DISK"
swapon "$SLOW_DISK"
start_guard
# No more than it takes: all of what does not fit is first written to the disk, which is slow on a busy host.
load runaway -p "Environment=LOAD_PROGRESS=$(page runaway)" touch "$(( $(memory MemTotal) * 105 / 100 ))"
victim=$(hog_pid runaway)
soon below 40 || fail "the runaway does not take memory"
foretell "$victim"
bystanders
swaps_in() { sed -n 's/^pswpin //p' /proc/vmstat; }
goes_round() { (( $(rounds runaway) > 0 )); }
wait_for 150 goes_round || fail "the runaway has not written out what does not fit: $(grep SwapFree /proc/meminfo)"
note "$(( $(swaps_in) )) pages swapped in when its circles began"
ONSET[machine]=$(now_ms)
note "as it began: $(head -n 1 /proc/pressure/memory); MemAvailable $(memory MemAvailable) MiB; $(head -n 1 /proc/stat)"
expect_gone machine 50 "$victim" "the runaway"
note "as it ended: $(head -n 1 /proc/pressure/memory); $(head -n 1 /proc/stat); $(swaps_in) pages swapped in"
# journald may still be in swap itself.
wait_for 90 entry exited HOGWATCH_PID="$victim" || fail "the journal does not tell of the runaway's end"
same "kind of the livelock" swap_thrash "$(field livelock KIND)"
expect_only_victim "$victim" runaway SIGTERM
