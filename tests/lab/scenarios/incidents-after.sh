# What is known of an incident a minute after its end: whether memory came back, and whether the kill helped.
# suites: bookworm
start_guard
hog big --pause 10 --to 4
hog_at big paused
victim=$(hog_pid big)
foretell "$victim"
bystanders
resume big
wait_for 20 gone "$victim" || fail "the hog lives 20 s after it went on"
expect_only_victim "$victim" big SIGTERM
soon find_incident memory hogwatch || fail "no incident of it"
file=/var/lib/hogwatch/incidents/$INCIDENT.json
complete() { [[ $(jq -r .state "$file") == complete ]]; }
wait_for 90 complete || fail "the incident is not complete 90 s later: $(jq -c '[.state, .end_ms, .after]' "$file")"
jq -c .after "$file"
expect "memory to have come back" jq -e '.after.freed_bytes > 500000000 and .after.recovered_ms > 0' "$file"
expect_incident memory hogwatch "Helped yes:"
expect_no_kernel_oom
