# What on-call is told of a kill on a machine that ran short, and of an end that nobody here caused.
# suites: bookworm trixie
start_guard
hog big --pause 10 --to 4
hog_at big paused
victim=$(hog_pid big)
foretell "$victim"
bystanders
resume big
wait_for 20 gone "$victim" || fail "the hog lives 20 s after it went on"
expect_only_victim "$victim" big SIGTERM
expect_incident memory hogwatch "SIGTERM was sent to hog (pid $victim," "of hog-big.service" "it exited" \
  "the machine's memory was short" "at or below term"
file=/var/lib/hogwatch/incidents/$INCIDENT.json
same "incident of the journal's entries" "$INCIDENT" "$(field term INCIDENT)"
same "victim in the file" "$victim memory hogwatch SIGTERM" "$(jq -r '[.victim.pid, .kind, .cause, .acts[0].signal] | join(" ")' "$file")"
same "schema of the file" 1 "$(jq .schema "$file")"
expect "the file to show memory before" jq -e '.before | length > 3 and (first.t_ms < last.t_ms)' "$file"
same "the first candidate in the file" "$victim" "$(jq '.candidates[0].pid' "$file")"
same "owner and mode of the file" "root:hogwatch 640" "$(stat -c '%U:%G %a' "$file")"
expect "nothing to be left of the writing" eval '[[ -z $(find /var/lib/hogwatch -name ".*" -type f) && ! -e /var/lib/hogwatch/current.json ]]'

# An end of its own, a kill by a stranger, and one that is hogwatch's.
verdict() { hogwatch incidents why "$1" --json | jq -r .verdict; }
systemd-run --quiet --unit=hog-stranger -p RemainAfterExit=yes sleep 1000
kill -TERM "$(hog_pid stranger)"
wait_for 10 eval '[[ $(ended_by stranger) == SIGTERM ]]' || fail "the stranger's victim lives"
hogwatch incidents why hog-stranger.service
same "who ended the stranger's victim" none_seen "$(verdict hog-stranger.service)"
expect "the memory of that time to be told" eval '[[ $(hogwatch incidents why hog-stranger.service --json | jq .memory) != null ]]'
same "who ended the hog's unit" hogwatch "$(verdict hog-big.service)"
same "who ended the hog" hogwatch "$(verdict "$victim")"
status=0
hogwatch incidents why hog-never-was.service || status=$?
same "exit status for a unit that never was" 4 "$status"

hogwatch incidents report "$INCIDENT" -o "$LAB/copies.html"
expect "a page of it" grep -q "</html>" "$LAB/copies.html"
rm "$LAB/copies.html"
expect_no_kernel_oom
