# What still moves, slowly: a cgroup whose anonymous memory leaves a mapped file no room (squeezed: hardly any page cache left;
# thrash: some), and two that swap their own working set to zram, one at its memory.high and one at its memory.max alone.
# suites: bookworm trixie
modprobe zram
echo 512M > /sys/block/zram0/disksize
mkswap -q /dev/zram0
swapon /dev/zram0
start_guard
cell squeezed high=60M max=120M swap.max=0
cell thrash high=100M max=200M swap.max=0
cell zramhigh high=60M max=120M
cell zrammax max=60M
declare -A dir victim onset limit=([squeezed]=60 [thrash]=100 [zramhigh]=60 [zrammax]=60)
for shape in "${!limit[@]}"; do dir[$shape]=$CGROUPS/lab-$shape; done
in_cell "${dir[squeezed]}" load mapped "$DISK" 0 16
in_cell "${dir[thrash]}" load mapped "$DISK" 100 64
bystanders
in_cell "${dir[squeezed]}" hog --size 57; victim[squeezed]=$!
in_cell "${dir[thrash]}" hog --size 55; victim[thrash]=$!
in_cell "${dir[zramhigh]}" load touch 80; victim[zramhigh]=$!
in_cell "${dir[zrammax]}" load touch 80; victim[zrammax]=$!
for shape in squeezed thrash zramhigh; do onset[$shape]=$(onset "${dir[$shape]}"); done
wait_for 20 eval '(( $(event "${dir[zrammax]}" max) > 0 ))' || fail "lab-zrammax did not reach its memory.max"
onset[zrammax]=$(now_ms)
expect_thrashing 30 "${dir[@]}"
for shape in "${!dir[@]}"; do foretell "${victim[$shape]}" --cgroup "/lab-$shape"; done
expect_gone "${onset[squeezed]}" 20 "${victim[squeezed]}" "the hog of squeezed"
for shape in thrash zramhigh zrammax; do expect_gone "${onset[$shape]}" 50 "${victim[$shape]}" "the hog of $shape"; done
expect_told "${dir[thrash]}" thrash $((100 << 20)) "${victim[thrash]}"
for shape in zramhigh zrammax; do expect_told "${dir[$shape]}" swap_thrash $((60 << 20)) "${victim[$shape]}"; done
expect_signalled "${victim[@]}"
expect_no_kernel_oom
expect_bystanders
