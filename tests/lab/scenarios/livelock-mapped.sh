# What still moves, slowly: anonymous memory leaves a mapped file in steady use too little room.
# suites: bookworm trixie
start_guard
cell mapped high=100M max=200M swap.max=0
mapped=$CGROUPS/lab-mapped
LOAD_PROGRESS=$(page walker) in_cell "$mapped" load random "$DISK" 0 64
# In steady use: as often touched as it has pages, three times over. (From start to end it would be a stream to the kernel.)
wait_for 30 eval '(( $(rounds walker) > 64 * 3 ))' || fail "the file is hardly touched: $(rounds walker) rounds"
bystanders
in_cell "$mapped" hog --size 60; victim=$!
onset "$mapped"
expect_thrashing 8 "$mapped"
foretell "$victim" --cgroup /lab-mapped
# It lasts.
for _ in 1 2 3 4; do expect_thrashing 8 "$mapped"; done
expect_gone "$mapped" 50 "$victim" "the hog"
expect_told "$mapped" "$(field livelock KIND)" $((100 << 20)) "$victim"
expect "the kind to be thrash or squeezed" entry livelock HOGWATCH_KIND=thrash HOGWATCH_KIND=squeezed
expect_ended "$victim" SIGTERM
expect_signalled "$victim"
expect_no_kernel_oom
expect_bystanders
