# The shadow guard: says what it would do, with HOGWATCH_DRY_RUN=1 in every entry, and touches nobody - alone, beside the
# armed guard, and beside earlyoom.
# suites: trixie
# kill is far off: what the lab's own programs take while it looks on must not cross it.
config <<TOML
[memory]
kill = "1%"
TOML
shadow=hogwatch-dryrun.service
systemctl start "$shadow" || fail "$shadow did not start"
bystanders
hog one --to 4.7
hog_at one there
one=$(hog_pid one)
soon entry term _SYSTEMD_UNIT="$shadow" || fail "no term entry of the shadow guard"
same "pid it would have killed" "$one" "$(field term PID _SYSTEMD_UNIT="$shadow")"
expect "the hog to live on under the shadow guard" stays 3 alive "$one"
start_guard
same "the shadow guard beside the armed one" active "$(systemctl is-active "$shadow")"
wait_for 20 gone "$one" || fail "the hog lives 20 s after the armed guard started"
same "what ended the first hog" SIGTERM "$(ended_by one)"
soon entry exited _SYSTEMD_UNIT="$GUARD" HOGWATCH_PID="$one" || fail "the armed guard has no exited entry"
systemctl stop "$GUARD"

systemctl start earlyoom.service
same "the shadow guard beside earlyoom" active "$(systemctl is-active "$shadow")"
same "earlyoom beside the shadow guard" active "$(systemctl is-active earlyoom.service)"
hog two --to 4
wait_for 20 eval '[[ $(ended_by two) != nothing ]]' || fail "earlyoom did not act"
expect_bystanders
systemctl stop "$shadow"
same "shadow entries without HOGWATCH_DRY_RUN=1" 0 \
  "$(journal _SYSTEMD_UNIT="$shadow" | jq -c 'select(.HOGWATCH_EVENT and .HOGWATCH_DRY_RUN != "1")' | wc -l)"
same "armed entries with HOGWATCH_DRY_RUN=1" 0 \
  "$(journal _SYSTEMD_UNIT="$GUARD" | jq -c 'select(.HOGWATCH_DRY_RUN == "1")' | wc -l)"
expect_no_kernel_oom
