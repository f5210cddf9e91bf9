# A window holds for one cgroup with one set of limits: limits changed, or the cgroup removed and made anew under the same
# name, and ten seconds of new evidence are needed. And a hog that a parent starts anew: three without effect, then no more.
# suites: bookworm trixie
start_guard
slice band MemoryHigh=100M MemoryMax=200M MemorySwapMax=0
band=$CGROUPS/band.slice anew=$CGROUPS/lab-anew reborn=$CGROUPS/lab-reborn
load server -p Slice=band.slice ticker "$(page server)"
cell reborn high=60M max=120M swap.max=0
in_cell "$reborn" load ticker "$(page reborn)"
make_anew() {
  cell anew high=60M max=120M swap.max=0
  in_cell "$anew" load ticker "$(page anew)"
  in_cell "$anew" hog --size 64
  anew_hog=$!
}
make_anew
hog relimited -p Slice=band.slice --size 112
in_cell "$reborn" load reborn 64; parent=$!
soon eval 'first=$(pgrep -P "$parent")' || fail "the hog that is born again is not there"
victim=$(hog_pid relimited)
onset "$band" "$anew" "$reborn"
expect_throttled "$band" "$anew" "$reborn"
# The new limit holds from here on, or a little later.
limited=$(now_ms)
systemctl set-property --runtime band.slice MemoryHigh=105M
ONSET[relimited]=$(now_ms)
remove_cgroup "$anew"
make_anew
bystanders
onset "$anew"
expect_throttled "$band" "$anew"
expect_gone "$reborn" 15 "$first" "the hog that is born again"
expect_gone relimited 15 "$victim" "the hog whose limit changed"
(( $(now_ms) - limited >= 9500 )) || fail "killed on evidence from before the limit changed"
expect_gone "$anew" 15 "$anew_hog" "the hog of the cgroup made anew"
expect_told "$band" throttled $((105 << 20)) "$victim"
expect_told "$anew" throttled $((60 << 20)) "$anew_hog"
# The parent's children end one after the other, until the guard sees that it does not help.
enough() { ! alive "$parent" || [[ -n $(entries refused HOGWATCH_CGROUP=/lab-reborn) ]]; }
wait_for 90 enough || fail "hogwatch neither ended the parent nor gave up: $(acts)"
if alive "$parent"; then
  same "children that ended" 3 "$(entries exited HOGWATCH_CGROUP=/lab-reborn | wc -l)"
  last=$(pgrep -P "$parent")
  expect "the fourth to be left alone" stays 8 alive "$last"
fi
same "degraded entries" 0 "$(count degraded)"
expect_no_kernel_oom
