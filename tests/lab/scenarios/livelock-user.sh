# Alice's own guard, without root: a slice of her own user manager is stuck, and her hog in it ends. Root's stuck slice is
# none of her business.
# suites: bookworm trixie
as_alice systemctl --user --quiet enable --now hogwatch.service || fail "alice's hogwatch did not start"
alices=$(as_alice systemctl --user show -P MainPID hogwatch.service)
same "owner of alice's guard" alice "$(stat -c %U "/proc/$alices")"
alices_unit() { as_alice systemd-run --user --quiet --unit="hog-$1" --slice=band.slice -p Type=exec "${@:2}"; }
as_alice mkdir -p /home/alice/.config/systemd/user
printf '[Slice]\nMemoryHigh=100M\nMemoryMax=200M\nMemorySwapMax=0\n' | as_alice tee /home/alice/.config/systemd/user/band.slice >/dev/null
alices_unit server "$BIN/load" ticker "$(page server)"
own=$CGROUPS/user.slice/user-$ALICE.slice/user@$ALICE.service/band.slice
same "memory.high of alice's slice" $((100 << 20)) "$(<"$own/memory.high")"
cell roots high=60M max=120M swap.max=0
in_cell "$CGROUPS/lab-roots" load ticker "$(page roots)"
in_cell "$CGROUPS/lab-roots" hog --size 64; roots=$!
soon calm server || fail "the ticker is late before there is a hog: $(late server) ms"
bystanders
alices_unit mine "$BIN/hog" --progress "$LAB/progress/mine" --first 70 --size 106
hog_at mine paused
mine=$(as_alice systemctl --user show -P MainPID hog-mine)
same "first candidate of alice's explain" "$mine" \
  "$(as_alice hogwatch explain --cgroup "${own#"$CGROUPS"}" --json | jq -r '.candidates[0].pid')"
kill -USR1 "$mine"
onset "$own"
expect_throttled "$own" "$CGROUPS/lab-roots"
expect_late server
expect_gone "$own" 15 "$mine" "alice's hog"
expect_calm server "$(now_ms)"
expect_told "$own" throttled $((100 << 20)) "$mine"
same "owner of the guard that acted" "$ALICE" "$(field term _UID HOGWATCH_PID="$mine")"
expect "root's hog to live" alive "$roots"
expect_bystanders "$mine"
