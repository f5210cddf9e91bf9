# A hog beside a server that walks through 20 MiB of a mapped file: reclaim is busy with those pages, which are needed again at
# once, so pgscan rises and rises, and nothing is gained. It ends like the incident: the hog goes, the server walks on.
# suites: bookworm trixie
start_guard
cell squeezed high=100M max=200M swap.max=0
squeezed=$CGROUPS/lab-squeezed
LOAD_PROGRESS=$(page walker) in_cell "$squeezed" load mapped "$DISK" 0 20; walker=$!
in_cell "$squeezed" load ticker "$(page server)"
soon eval '(( $(rounds walker) > 20 * 5 ))' || fail "the file is not walked through: $(rounds walker) MiB"
cell_hog big "$squeezed" --first 60 --size 106; victim=$!
hog_at big paused
foretell "$victim" --cgroup /lab-squeezed
bystanders
kill -USR1 "$victim"
onset "$squeezed"
pgscan() { sed -n 's/^pgscan //p' "$squeezed/memory.stat"; }
scanned=$(pgscan)
expect_throttled "$squeezed"
expect_late server
note "pages scanned meanwhile: $(( $(pgscan) - scanned ))"
expect_gone "$squeezed" 15 "$victim" "the hog"
expect_calm server "$(now_ms)"
walked=$(rounds walker)
soon eval '(( $(rounds walker) > walked + 20 * 5 ))' || fail "the walker does not get on: $(rounds walker) MiB"
expect "the walker to live" alive "$walker"
expect_entry exited "$victim"
kind=$(field livelock KIND)
expect "the kind to be throttled or squeezed, not $kind" grep -qxE 'throttled|squeezed' <<< "$kind"
expect_told "$squeezed" "$kind" $((100 << 20)) "$victim"
expect_signalled "$victim"
expect_no_kernel_oom
expect_bystanders "$victim"
