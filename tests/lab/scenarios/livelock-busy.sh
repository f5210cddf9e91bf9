# The incident beside four threads that compute on two processors: they halve the kernel's own measure of pressure, not the
# guard's.
# suites: bookworm trixie
start_guard
cell busy high=100M max=200M swap.max=0
busy=$CGROUPS/lab-busy
in_cell "$busy" load ticker "$(page server)"
in_cell "$busy" load compute 4; computing=$!
soon eval '(( $(rounds server) > 10 ))' || fail "the ticker does not tick beside the computing threads"
cell_hog big "$busy" --first 80 --size 107; victim=$!
hog_at big paused
foretell "$victim" --cgroup /lab-busy
bystanders
kill -USR1 "$victim"
onset "$busy"
expect_throttled "$busy"
expect_late server
expect_gone "$busy" 15 "$victim" "the hog"
# Starving it would do seven in that time.
gets_on() { local ticks; ticks=$(rounds server); pause 3; (( $(rounds server) - ticks >= 20 )); }
expect "the ticker to get on beside the computing threads" wait_for 15 gets_on
expect "the computing threads to live" alive "$computing"
expect_told "$busy" throttled $((100 << 20)) "$victim"
expect_signalled "$victim"
expect_bystanders "$victim"
