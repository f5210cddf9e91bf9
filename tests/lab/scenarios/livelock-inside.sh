# The guard itself sits in the throttled subtree: every file it opens may cost it seconds, and it acts all the same.
# suites: bookworm trixie
slice band MemoryHigh=100M MemoryMax=200M MemorySwapMax=0
unit_setting "$GUARD" <<UNIT
[Service]
Slice=band.slice
UNIT
start_guard
band=$CGROUPS/band.slice
expect "the guard to sit in band.slice" grep -q "$(guard_pid)" "$band/$GUARD/cgroup.procs"
load server -p Slice=band.slice ticker "$(page server)"
soon calm server || fail "the ticker is late before there is a hog: $(late server) ms"
hog plateau -p Slice=band.slice --first 70 --size 106
hog_at plateau paused
victim=$(hog_pid plateau)
foretell "$victim" --cgroup /band.slice
bystanders
resume plateau
onset "$band"
expect_throttled "$band"
expect_late server
expect_gone "$band" 20 "$victim" "the hog"
expect_calm server "$(now_ms)"
expect_only_victim "$victim" plateau SIGTERM
expect_told "$band" throttled $((100 << 20)) "$victim"
