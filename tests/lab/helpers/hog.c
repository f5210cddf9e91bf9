// hog: takes memory the way a scenario asks for, then keeps it.
//
//   --size MB          take MB MiB, then keep them
//   --first MB         with --size: take no more than MB MiB first, and go on at SIGUSR1
//   --to PERCENT       take memory until MemAvailable is at or below PERCENT of MemTotal, and stay there: what reclaim
//                      gives back is taken again, but never more than TOPUP_MAX MiB without a SIGUSR1
//   --pause PERCENT    with --to: stop at PERCENT first, and go on at SIGUSR1
//   --most MB          with --pause: take no more than MB MiB in all after that
//   --random           fill with noise: zram cannot make it small
//   --name NAME        call itself NAME (what /proc/PID/comm shows; 15 bytes)
//   --ignore-term      ignore SIGTERM
//   --progress FILE    write "paused" or "there" and the time into FILE when a level is reached
//
// oom_score_adj is set to 0 first: what the lab starts inherits the lab's own -1000 otherwise, and no honest guard
// would take it.
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { FAST_STEP = 4 << 20, SLOW_STEP = 256 << 10, PAGE = 4096 };
// Within this many percent of the level the steps are small, so that the level is met and not passed.
static const double NEAR_PERCENT = 2.0;
static const long TOPUP_MAX = 64L << 20;

static int noise;
// Bytes that may still be taken; negative where there is no bound.
static long allowed = -1;
static const char *progress_file;
static volatile sig_atomic_t resumed;

static void on_usr1(int sig) { (void)sig; resumed = 1; }

static void die(const char *what) { perror(what); exit(1); }

// MemAvailable in percent of MemTotal. The descriptor stays open: an open may need memory.
static double available_percent(void) {
  static int fd = -1;
  char text[8192];
  if (fd < 0 && (fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC)) < 0) die("/proc/meminfo");
  ssize_t n = pread(fd, text, sizeof text - 1, 0);
  if (n <= 0) die("/proc/meminfo");
  text[n] = 0;
  char *total = strstr(text, "MemTotal:"), *available = strstr(text, "MemAvailable:");
  if (!total || !available) { fprintf(stderr, "hog: /proc/meminfo lacks a line\n"); exit(1); }
  return 100.0 * atof(available + 13) / atof(total + 9);
}

static void take(size_t bytes) {
  static uint64_t x = 88172645463325252u;
  char *p = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) die("mmap");
  if (!noise) {
    for (size_t i = 0; i < bytes; i += PAGE) p[i] = 1;
    return;
  }
  for (uint64_t *w = (uint64_t *)p, *end = w + bytes / 8; w < end; w++) {
    x ^= x << 13; x ^= x >> 7; x ^= x << 17;
    *w = x;
  }
}

static void tell(const char *word) {
  if (!progress_file) return;
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  char line[64];
  int n = snprintf(line, sizeof line, "%s %ld.%03ld\n", word, (long)t.tv_sec, t.tv_nsec / 1000000);
  int fd = open(progress_file, O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (fd < 0 || write(fd, line, n) != n) die(progress_file);
  close(fd);
}

static void sleep_ms(long ms) {
  struct timespec t = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&t, 0);
}

static void wait_for_usr1(void) {
  tell("paused");
  while (!resumed) sleep_ms(10);
  resumed = 0;
}

static void take_until(double percent) {
  double now;
  while ((now = available_percent()) > percent) {
    int near = now < percent + NEAR_PERCENT;
    long step = near ? SLOW_STEP : FAST_STEP;
    if (allowed >= 0 && (allowed -= step) < 0) for (;;) pause();
    take(step);
    if (near) sleep_ms(1);
  }
}

// Stays at `percent`: takes again what reclaim gives back, at most TOPUP_MAX between two SIGUSR1.
static void stay_at(double percent) {
  long budget = TOPUP_MAX;
  for (;;) {
    sleep_ms(20);
    if (resumed) { resumed = 0; take_until(percent); budget = TOPUP_MAX; }
    if (available_percent() > percent && budget > 0) { take(SLOW_STEP); budget -= SLOW_STEP; }
  }
}

int main(int argc, char **argv) {
  static const struct option options[] = {
    {"size", 1, 0, 's'}, {"to", 1, 0, 't'}, {"pause", 1, 0, 'p'}, {"random", 0, 0, 'r'},
    {"name", 1, 0, 'n'}, {"ignore-term", 0, 0, 'i'}, {"progress", 1, 0, 'f'},
    {"most", 1, 0, 'm'}, {"first", 1, 0, 'F'}, {0, 0, 0, 0}};
  double to = 0, pause_at = 0;
  long size = 0, first = 0, most = -1;
  for (int o; (o = getopt_long(argc, argv, "", options, 0)) != -1;) switch (o) {
    case 's': size = atol(optarg); break;
    case 't': to = atof(optarg); break;
    case 'p': pause_at = atof(optarg); break;
    case 'r': noise = 1; break;
    case 'n': prctl(PR_SET_NAME, optarg); break;
    case 'i': signal(SIGTERM, SIG_IGN); break;
    case 'f': progress_file = optarg; break;
    case 'F': first = atol(optarg); break;
    case 'm': most = atol(optarg) << 20; break;
    default: return 2;
  }
  if ((size > 0) == (to > 0)) { fprintf(stderr, "hog: give --size or --to\n"); return 2; }
  int adj = open("/proc/self/oom_score_adj", O_WRONLY);
  if (adj < 0 || write(adj, "0", 1) != 1) {
    // A user's manager may have set a higher one, and lowering is not a user's right: it is taken as it is.
    if (geteuid() == 0) die("/proc/self/oom_score_adj");
  }
  close(adj);
  signal(SIGUSR1, on_usr1);

  if (size > 0) {
    for (long taken = 0; taken < size; taken++) {
      if (first > 0 && taken == first) wait_for_usr1();
      take(1 << 20);
    }
    tell("there");
    for (;;) pause();
  }
  if (pause_at > 0) {
    take_until(pause_at);
    wait_for_usr1();
    allowed = most;
  }
  take_until(to);
  tell("there");
  stay_at(to);
}
