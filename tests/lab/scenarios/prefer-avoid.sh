# prefer goes first although small, then the ordinary, avoid only when nothing else is left although largest, protect never.
# suites: trixie
config <<TOML
[victim]
prefer = ["^scratch$"]
avoid = ["^keepme$"]
protect = ["^sacred$"]
TOML
start_guard
hog keepme --name keepme --size "$(share 38)"
hog sacred --name sacred --size "$(share 10)"
hog scratch --name scratch --size "$(share 8)"
for name in keepme sacred scratch; do hog_at "$name" there; done
hog plain --pause 11 --to 4
hog_at plain paused
scratch=$(hog_pid scratch) plain=$(hog_pid plain) keepme=$(hog_pid keepme)
foretell "$scratch"
same "order of the candidates" "$scratch $plain $keepme" "$(jq -r '.candidates[:3][].pid' "$LAB/explain.json" | xargs)"
bystanders
resume plain
wait_for 20 gone "$scratch" || fail "the preferred one lives 20 s after the hog went on"
# The hog may have been on its way to 4 % still, or there already: then it goes on now, and is the next.
if alive "$plain"; then kill -USR1 "$plain" || true; fi
wait_for 20 gone "$plain" || fail "the ordinary one lives 20 s after it went on"
for victim in scratch plain; do
  expect_entry exited "${!victim}"
  same "what ended hog $victim" SIGTERM "$(ended_by "$victim")"
done
expect_bystanders "$scratch" "$plain"

hog last --name sacred --pause 11 --to 4
hog_at last paused
foretell "$keepme"
resume last
wait_for 20 gone "$keepme" || fail "the avoided one lives although nothing else is left"
expect_entry exited "$keepme"
expect_bystanders "$scratch" "$plain" "$keepme"
same "processes hogwatch signalled" "$(printf '%s\n' "$scratch" "$plain" "$keepme" | sort | xargs)" \
  "$(journal HOGWATCH_EVENT=term | jq -r .HOGWATCH_PID | sort | xargs)"
expect_no_kernel_oom
