# Two cgroups that swap their own working set to zram in circles: one at its memory.high, one at its memory.max alone.
# suites: bookworm trixie
modprobe zram
echo 512M > /sys/block/zram0/disksize
mkswap -q /dev/zram0
swapon /dev/zram0
start_guard
high=$CGROUPS/lab-high max=$CGROUPS/lab-max
cell high high=60M max=120M
cell max max=60M
in_cell "$high" load touch 80; higher=$!
in_cell "$max" load touch 80; maxer=$!
bystanders
onset "$high"
soon eval '(( $(event "$max" max) > 0 ))' || fail "lab-max did not reach its memory.max"
ONSET[$max]=$(now_ms)
expect_thrashing 15 "$high" "$max"
foretell "$higher" --cgroup /lab-high
foretell "$maxer" --cgroup /lab-max
expect_gone "$high" 50 "$higher" "the one at memory.high"
expect_gone "$max" 50 "$maxer" "the one at memory.max"
expect_told "$high" swap_thrash $((60 << 20)) "$higher"
expect_told "$max" swap_thrash $((60 << 20)) "$maxer"
expect_signalled "$higher" "$maxer"
expect_no_kernel_oom
expect_bystanders "$higher" "$maxer"
