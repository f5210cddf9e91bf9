# The incident beside four threads that compute on two processors: they halve the kernel's own measure of pressure, not the
# guard's.
# suites: bookworm trixie
start_guard
cell busy high=100M max=200M swap.max=0
busy=$CGROUPS/lab-busy
in_cell "$busy" load ticker "$(page server)"
in_cell "$busy" load compute 4; computing=$!
wait_for 10 eval '(( $(rounds server) > 10 ))' || fail "the ticker does not tick beside the computing threads"
bystanders
in_cell "$busy" hog --size 107; victim=$!
onset "$busy"
foretell "$victim" --cgroup /lab-busy
expect_throttled "$busy"
expect_late server
expect_gone "$busy" 15 "$victim" "the hog"
ticks=$(rounds server)
pause 3
expect "the ticker to get on beside the computing threads" test $(( $(rounds server) - ticks )) -ge 20
expect "the computing threads to live" alive "$computing"
expect_told "$busy" throttled $((100 << 20)) "$victim"
expect_signalled "$victim"
expect_bystanders "$victim"
