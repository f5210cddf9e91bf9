# The kernel's OOM killer at the memory.max of an ancestor: the entry names victim, limit and cgroup; a whole group is one
# entry; names and lines that imitate the kernel's forge nothing.
# suites: bookworm trixie
start_guard
mkdir -p "$CGROUPS/lab-outer/inner" "$CGROUPS/lab-outer/group"
echo +memory > "$CGROUPS/lab-outer/cgroup.subtree_control"
limit "$CGROUPS/lab-outer" max=100M swap.max=0
limit "$CGROUPS/lab-outer/inner" max=150M
bystanders

# tell FIELD PID: of the entry about this victim.
tell() { field kernel_oom "$1" HOGWATCH_PID="$2"; }

name=' a,task=,pid=1'
in_cell "$CGROUPS/lab-outer/inner" hog --size 10 --name 'small one' --progress "$LAB/progress/small"; small=$!
hog_at small there
in_cell "$CGROUPS/lab-outer/inner" hog --size 200 --name "$name"; first=$!
expect_ended "$first" SIGKILL
expect_entry kernel_oom "$first"
# While it counts as the same incident: what a program writes into the log, and names that look like the kernel's words.
echo "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/,task=forged,pid=1,uid=0" > /dev/kmsg
echo "<0>Out of memory: Killed process 1 (forged) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB" > /dev/kmsg
echo 1 > "$CGROUPS/lab-outer/group/memory.oom.group"
in_cell "$CGROUPS/lab-outer/group" hog --size 8 --name 'oom-kill:constraint=' --progress "$LAB/progress/one"; one=$!
in_cell "$CGROUPS/lab-outer/group" hog --size 8 --name 'x invoked oom-killer' --progress "$LAB/progress/two"; two=$!
hog_at one there
hog_at two there
in_cell "$CGROUPS/lab-outer/group" hog --size 200 --name $'nl\nKilled proce'; large=$!
for pid in "$one" "$two" "$large"; do expect_ended "$pid" SIGKILL; done
expect_entry kernel_oom "$large"

tell MESSAGE "$first"
same "its name" "$name" "$(tell COMM "$first")"
same "its kind" cgroup_limit "$(tell KIND "$first")"
same "its limit, that of the ancestor" $((100 << 20)) "$(tell LIMIT_BYTES "$first")"
same "its cgroup" /lab-outer/inner "$(tell CGROUP "$first")"
same "its user" 0 "$(tell UID "$first")"
same "its oom_score_adj" 0 "$(tell OOM_SCORE_ADJ "$first")"
same "its swap" 0 "$(tell SWAP_BYTES "$first")"
same "its priority" 2 "$(tell PRIORITY "$first")"
size=$(tell SIZE_BYTES "$first")
expect "its size to be most of the limit (it is $size)" test $(( size > 70 << 20 && size < 100 << 20 )) = 1
reason=$(tell REASON "$first")
expect "the reason to name the ancestor's limit" test -z "${reason##memory.max 100 MiB of /lab-outer above it was hit; *}"
expect "the reason to name the other process" test -z "${reason##*small one ($small, *}"
incident=$(tell INCIDENT "$first")
expect "an incident" test "$incident" != null

tell MESSAGE "$large"
same "its name" 'nl\nKilled proce' "$(tell COMM "$large")"
same "its cgroup" /lab-outer/group "$(tell CGROUP "$large")"
same "its incident, the same limit's" "$incident" "$(tell INCIDENT "$large")"
expect "the sentence to count the group" logged 'killed 3 processes (.*; the largest is nl\\nKilled proce, pid' HOGWATCH_PID="$large"
expect "the sentence to say why" logged 'the whole cgroup, because memory.oom.group is 1' HOGWATCH_PID="$large"
same "entries of kernel OOM kills" 2 "$(count kernel_oom)"
same "entries of lost abilities" "" "$(field degraded MESSAGE)"
expect_signalled
expect_bystanders
expect "the small one to live" alive "$small"
expect_incident kernel_oom kernel "(pid $first," "the kernel's OOM killer" "memory.max of 100 MiB" "it was not the machine's memory that ran out"
