# `hogwatch status --watch` on a terminal: a cgroup that is stuck is shown with its state, and the next victim of it is its
# hog; whoever looks without a right to the socket is told so.
# suites: trixie
config <<TOML
[livelock]
after = "6s"
action = "warn"
TOML
start_guard
slice band MemoryHigh=60M MemoryMax=120M MemorySwapMax=0
hog plateau -p Slice=band.slice --size 64
victim=$(hog_pid plateau)
soon entry livelock || fail "the livelock was never told"

# What a terminal was sent, as words: a move of the cursor is a space.
seen() { sed 's/\x1b[[(][0-9;?]*[A-Za-z]/ /g' "$1" | tr -s ' \r\n' ' '; }
says() { seen "$1" | grep -qF -- "$2"; }
look() { # FILE COMMAND...: runs it on a terminal of 80 by 24
  local file=$1; shift
  LC_ALL=C.UTF-8 TERM=xterm-256color script -qfc "stty rows 24 cols 80; exec $*" "$file" <> "$LAB/quiet" > /dev/null 2>&1 &
}
look "$LAB/root" hogwatch status --watch
for words in "guarding (pid $(guard_pid)," "1 CGROUP STUCK AT ITS LIMIT" "throttled" "/band.slice" \
  "of /band.slice, which is stuck: hog (pid $victim,"; do
  wait_for 30 says "$LAB/root" "$words" || fail "the view never said '$words': $(seen "$LAB/root")"
done
foretell "$victim" --cgroup /band.slice
look "$LAB/alice" runuser -u alice -- hogwatch status --watch
wait_for 30 says "$LAB/alice" "permission denied: be root or a member of the group hogwatch" \
  || fail "alice was told something else: $(seen "$LAB/alice")"
views() { pgrep -fx 'hogwatch status --watch'; }
# shellcheck disable=SC2046 # a list of pids
kill $(views)
ended() { ! views > /dev/null; }
wait_for 20 ended || fail "a view still runs 20 s after SIGTERM"
expect "the terminal to be given back" soon grep -q $'\x1b\[?1049l' "$LAB/root"
