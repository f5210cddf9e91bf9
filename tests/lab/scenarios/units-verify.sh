# systemd's own judgement of the units.
# suites: bookworm trixie
cd /usr/lib/systemd/system
said=$(systemd-analyze verify --man=no hogwatch.service hogwatch-dryrun.service hogwatch.slice 2>&1) || fail "systemd-analyze verify ended with an error: $said"
same "systemd-analyze verify" "" "$said"
said=$(as_alice systemd-analyze --user verify --man=no /usr/lib/systemd/user/hogwatch.service 2>&1) || fail "systemd-analyze --user verify ended with an error: $said"
same "systemd-analyze --user verify" "" "$said"
for unit in hogwatch.service hogwatch-dryrun.service; do
  said=$(systemd-analyze security --no-pager "$unit" | tail -n 1)
  note "${said#* }"
  level=$(grep -oE '[0-9]+\.[0-9]+' <<< "$said")
  expect "$unit to be at most 3.9 exposed (it is $level)" test "${level/./}" -le 39
done
