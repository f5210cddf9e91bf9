# `journalctl -x` explains every entry hogwatch can write, and says what to do.
# suites: bookworm
catalog=/usr/lib/systemd/catalog/hogwatch.catalog
ids=$(sed -n 's/^-- //p' "$catalog")
for id in $ids; do
  # As hogwatch writes them: journald's native protocol, all fields that the texts name.
  logger --journald <<ENTRY
MESSAGE=about $id
MESSAGE_ID=$id
SYSLOG_IDENTIFIER=hogwatch
HOGWATCH_COMM=worker
HOGWATCH_PID=4242
HOGWATCH_SIGNAL=SIGTERM
HOGWATCH_REASON=the reason
HOGWATCH_CGROUP=/system.slice/db.service
ENTRY
done
journalctl --sync
for id in $ids; do
  told=$(log -x MESSAGE_ID="$id" -t hogwatch)
  expect "a subject for $id" grep -q "Subject: [A-Za-z]" <<< "$told"
  expect "what to do about it" grep -q "What to do: " <<< "$told"
  expect "every name to be filled in" not grep -q '@HOGWATCH' <<< "$told"
done
same "entries explained" "$(wc -w <<< "$ids")" "$(log -x -t hogwatch | grep -c 'Subject: ')"
