# A broken file at the default place: the guard runs all the same, first on the built-in defaults, then on the last good
# file, and says so at error priority.
# suites: trixie
config <<TOML
[memory]
term = "banana"
TOML
start_guard
soon entry config_rejected || fail "no config_rejected entry"
expect "priority err or worse" test "$(field config_rejected PRIORITY)" -le 3
expect "the message to name file and line" grep -q '50-lab.toml:2:' <<< "$(field config_rejected MESSAGE)"
hog one --pause 10 --to 4
hog_at one paused
pause 1
one=$(hog_pid one)
bystanders
resume one
wait_for 20 gone "$one" || fail "the hog lives 20 s after it went on: the built-in 5 % is not in force"
expect_only_victim "$one" one SIGTERM

systemctl stop "$GUARD"
config <<TOML
[memory]
term = "9%"
warn = "14%"
TOML
start_guard
expect "the last good file to be kept" soon test -s /var/lib/hogwatch/last-good.toml
systemctl stop "$GUARD"
config <<TOML
[memory]
term = "banana"
TOML
start_guard
hog two --pause 12 --to 7
hog_at two paused
two=$(hog_pid two)
resume two
wait_for 20 gone "$two" || fail "the hog lives at 7 %: the last good 9 % is not in force"
expect_entry term "$two"
same "starts with a rejected file" 2 "$(count config_rejected)"
