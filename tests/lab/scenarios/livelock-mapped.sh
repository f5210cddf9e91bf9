# What still moves, slowly: anonymous memory leaves a mapped file in steady use some room (thrash) or hardly any (squeezed).
# suites: bookworm trixie
start_guard
squeezed=$CGROUPS/lab-squeezed thrash=$CGROUPS/lab-thrash
cell squeezed high=60M max=120M swap.max=0
cell thrash high=100M max=200M swap.max=0
LOAD_PROGRESS=$(page squeezed) in_cell "$squeezed" load mapped "$DISK" 0 16
LOAD_PROGRESS=$(page thrash) in_cell "$thrash" load mapped "$DISK" 100 64
# In steady use: walked through several times.
wait_for 20 eval '(( $(rounds squeezed) > 16 * 5 && $(rounds thrash) > 64 * 5 ))' || fail "the files are not walked through"
bystanders
in_cell "$squeezed" hog --size 58; squeezer=$!
in_cell "$thrash" hog --size 60; thrasher=$!
onset "$squeezed" "$thrash"
expect_thrashing 8 "$squeezed" "$thrash"
foretell "$squeezer" --cgroup /lab-squeezed
foretell "$thrasher" --cgroup /lab-thrash
expect_gone "$squeezed" 20 "$squeezer" "the hog that squeezes"
expect_gone "$thrash" 50 "$thrasher" "the hog of thrash"
expect_told "$thrash" thrash $((100 << 20)) "$thrasher"
expect_entry livelock "$squeezer"
expect_signalled "$squeezer" "$thrasher"
expect_no_kernel_oom
expect_bystanders
