# The same with swap on zram: free swap is no reason to wait while MemAvailable is gone.
# suites: bookworm trixie
modprobe zram
echo 192M > /sys/block/zram0/disksize
mkswap -q /dev/zram0
swapon /dev/zram0
start_guard
hog big --random --pause 12 --to 4
hog_at big paused
victim=$(hog_pid big)
foretell "$victim"
bystanders
resume big
wait_for 40 gone "$victim" || fail "the hog lives 40 s after it went on"
expect_only_victim "$victim" big SIGTERM
note "free swap at the kill: $(journal HOGWATCH_EVENT=term | head -n 1 | jq -r .MESSAGE)"
