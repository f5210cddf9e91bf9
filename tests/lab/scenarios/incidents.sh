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
left_behind_files() { find /var/lib/hogwatch -name ".*" -type f -o -name current.json; }
expect "nothing to be left of the writing" soon eval '[[ -z $(left_behind_files) ]]'

# A worker that somebody else asked to end, as so many do: it exits with 143. And one that is hogwatch's.
verdict() { hogwatch incidents why "$1" --json | jq -r .verdict; }
systemd-run --quiet --unit=hog-worker -p Type=exec sh -c 'trap "exit 143" TERM; sleep 1000 & wait'
worker=$(hog_pid worker)
soon eval '[[ -n $(pgrep -P "$worker" sleep) ]]' || fail "the worker does not work"
kill -TERM "$worker"
soon logged "Failed with result" UNIT=hog-worker.service || fail "the worker lives"
hogwatch incidents why hog-worker.service
same "who ended the worker" none_seen "$(verdict hog-worker.service)"
hogwatch incidents why hog-worker.service --json > "$LAB/why.json"
same "how it ended" "exited 143" "$(jq -r '.exit | [.code, .status] | join(" ")' "$LAB/why.json")"
expect "the memory of that time to be told" jq -e '.memory.before.available_bytes > 0 or .memory.after.available_bytes > 0' "$LAB/why.json"
same "who ended the hog's unit" hogwatch "$(verdict hog-big.service)"
same "who ended the hog" hogwatch "$(verdict "$victim")"
status=0
hogwatch incidents why hog-never-was.service || status=$?
same "exit status for a unit that never was" 4 "$status"

hogwatch incidents report "$INCIDENT" -o "$LAB/copies.html"
expect "a page of it" grep -q "</html>" "$LAB/copies.html"
rm "$LAB/copies.html"
expect_no_kernel_oom
