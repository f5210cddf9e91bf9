// pulse FILE: tells when the machine stood still. An emulated machine does when its host has other work, and then everybody
// in it is late: no test of how soon something happens can do without knowing. A thread on each processor, before all others
// there, sleeps 20 ms at a time; one that is STILL_MS late notes "UNTIL LENGTH" in FILE, both in ms (UNTIL since 1970). FILE has
// room for the last RECORDS of them, in memory that is locked: who asks for memory may have to wait for it.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { STEP_MS = 20, STILL_MS = 100, RECORD = 32, RECORDS = 4096 };

static char *file;
static atomic_uint noted;

static void die(const char *what) { perror(what); exit(1); }

static int64_t ms(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void *feel(void *processor) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET((intptr_t)processor, &one);
  if (sched_setaffinity(0, sizeof one, &one)) die("sched_setaffinity");
  for (int64_t last = ms(CLOCK_MONOTONIC), now;; last = now) {
    nanosleep(&(struct timespec){0, STEP_MS * 1000000}, 0);
    now = ms(CLOCK_MONOTONIC);
    int64_t late = now - last - STEP_MS;
    if (late < STILL_MS) continue;
    char line[64];
    snprintf(line, sizeof line, "%-20ld%11ld\n", (long)ms(CLOCK_REALTIME), (long)late);
    memcpy(file + noted++ % RECORDS * RECORD, line, RECORD);
  }
  return 0;
}

int main(int argc, char **argv) {
  if (argc != 2) { fprintf(stderr, "usage: pulse FILE\n"); return 2; }
  int fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0 || ftruncate(fd, RECORDS * RECORD)) die(argv[1]);
  file = mmap(0, RECORDS * RECORD, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (file == MAP_FAILED) die(argv[1]);
  memset(file, '\n', RECORDS * RECORD);
  int adj = open("/proc/self/oom_score_adj", O_WRONLY);
  if (adj < 0 || write(adj, "-1000", 5) != 5) die("/proc/self/oom_score_adj");
  close(adj);
  struct sched_param first = {.sched_priority = sched_get_priority_max(SCHED_FIFO)};
  if (sched_setscheduler(0, SCHED_FIFO, &first)) die("sched_setscheduler");
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 64 << 10);
  for (intptr_t n = sysconf(_SC_NPROCESSORS_ONLN); n-- > 0;) {
    pthread_t thread;
    if (pthread_create(&thread, &small, feel, (void *)n)) die("pthread_create");
  }
  if (mlockall(MCL_CURRENT | MCL_FUTURE)) die("mlockall");
  for (;;) pause();
}
