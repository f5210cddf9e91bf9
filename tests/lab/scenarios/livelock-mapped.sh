# What still moves, slowly: anonymous memory leaves a mapped file in steady use a little less room than it needs. (With much
# less the kernel would take the file for a stream.)
# suites: bookworm trixie
start_guard
cell mapped high=128M max=256M swap.max=0
mapped=$CGROUPS/lab-mapped
LOAD_PROGRESS=$(page walker) in_cell "$mapped" load mapped "$DISK" 0 64
# In steady use: walked through several times.
soon eval '(( $(rounds walker) > 64 * 5 ))' || fail "the file is not walked through: $(rounds walker) MiB"
cell_hog big "$mapped" --first 50 --size 68; victim=$!
hog_at big paused
foretell "$victim" --cgroup /lab-mapped
bystanders
kill -USR1 "$victim"
onset "$mapped"
# It takes a while until a fifth of it is of the working set.
working_set() { expect_thrashing 10 "$mapped" && (( RESTORED >= 20 )); }
expect "a fifth of it to be of the working set" wait_for 15 working_set
expect_gone "$mapped" 45 "$victim" "the hog"
expect_told "$mapped" thrash $((128 << 20)) "$victim"
expect_ended "$victim" SIGTERM
expect_signalled "$victim"
expect_no_kernel_oom
expect_bystanders "$victim"
