# A plain user's guard takes that user's process and leaves root's larger one; while the system's guard runs, the
# machine's memory is not the user's guard's affair.
# suites: bookworm trixie
as_alice systemctl --user --quiet enable --now hogwatch.service || fail "alice's hogwatch did not start"
alices=$(as_alice systemctl --user show -P MainPID hogwatch.service)
same "owner of alice's guard" alice "$(stat -c %U "/proc/$alices")"
hog root --size "$(share 45)"
hog_at root there
alices_hog() { as_alice systemd-run --user --quiet --unit="hog-$1" -p Type=exec "$BIN/hog" "${@:2}"; }
alices_hog mine --pause 10 --to 4
soon below 10 || fail "alice's hog did not take memory to 10 %"
pause 0.5
mine=$(as_alice systemctl --user show -P MainPID hog-mine)
same "first candidate of alice's explain" "$mine" "$(as_alice hogwatch explain --json | jq -r '.candidates[0].pid')"
bystanders
kill -USR1 "$mine"
wait_for 20 gone "$mine" || fail "alice's hog lives 20 s after it went on"
expect_entry term "$mine"
same "owner of the guard that acted" "$ALICE" "$(field term _UID HOGWATCH_PID="$mine")"
expect_entry exited "$mine"
expect_bystanders "$mine"
expect_no_kernel_oom

# The system's guard would act at 1 %: at 4 % alice's would, were it alone.
config <<TOML
[memory]
term = "1%"
kill = "0.5%"
TOML
start_guard
alices_hog second --to 4
soon below 4 || fail "alice's second hog did not take memory to 4 %"
second=$(as_alice systemctl --user show -P MainPID hog-second)
expect "alice's guard to leave the machine's memory to the system's guard" stays 6 alive "$second"
systemctl stop "$GUARD"
wait_for 20 gone "$second" || fail "alice's guard did not take over 20 s after the system's guard ended"
expect_bystanders "$mine"
