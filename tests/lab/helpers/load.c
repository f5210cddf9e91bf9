// load KIND ARGUMENTS...: one process (or a family) of the kind a scenario puts into a cgroup. None ends by itself but the
// last three. AT and SIZE are MiB of DISK, a block device that nobody else reads.
//
//   ticker FILE                 a server's event loop: each 100 ms it takes 256 KiB and gives them back. FILE must hold a
//                               page already, which is overwritten: one made here would be charged to this cgroup. A line:
//                               TICKS LAG WORST CALM AT BACK: ticks done, lateness of the last and of the latest of them in
//                               ms, ticks in a row that were at most 20 ms late, the time of the last in ms, and that of the
//                               first of the first five such ticks since one was over 200 ms late (0 before there are)
//   compute THREADS             computes and asks for nothing
//   stream DISK AT SIZE REST    read()s a file from start to end, over and over, resting REST ms after each 64 KiB
//   mapped DISK AT SIZE         the same through a mapping, without a rest: a working set where nearly all of SIZE fits
//   touch SIZE                  touches its own memory in random order: more than fits means swapping in circles
//   database DISK AT SIZE       memory in heavy use (SIZE), as much that is hardly ever used, reads and flushed writes
//   burst SIZE UP REST          takes SIZE in a child that is killed UP seconds later, rests REST seconds, again and again
//   build DISK AT JOBS          a build: JOBS short processes at a time, each takes 20 to 40 MiB, reads, computes, ends
//   reborn SIZE                 holds SIZE in a child; when the child dies, in the next
//   churn DIR COUNT             makes and removes COUNT cgroups with a memory.high below DIR, 20 at a time
//   reads FILE COUNT            opens FILE once and reads it COUNT times; prints the nanoseconds of CPU that one took
//
// What is not the ticker counts its rounds in the file LOAD_PROGRESS names, if it is set: the same kind of page.
// oom_score_adj is set to 0 first, as in hog.c.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, MIB = 1 << 20, TICK_MS = 100, TICK_BYTES = 256 << 10, CALM_MS = 20, LATE_MS = 200, CALM_TICKS = 5 };

static void die(const char *what) { perror(what); exit(1); }

static int64_t ms(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void sleep_ms(long n) {
  struct timespec t = {n / 1000, n % 1000 * 1000000};
  nanosleep(&t, 0);
}

static uint64_t noise(void) {
  static uint64_t x = 88172645463325252u;
  x ^= x << 13; x ^= x >> 7; x ^= x << 17;
  return x;
}

static char *map(size_t bytes) {
  char *p = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) die("mmap");
  return p;
}

// Fills with noise, that zram cannot make small.
static char *fill(char *p, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 8) *(uint64_t *)(p + i) = noise();
  return p;
}

static int open_or_die(const char *path, int flags) {
  int fd = open(path, flags | O_CLOEXEC);
  if (fd < 0) die(path);
  return fd;
}

static void overwrite(int fd, const char *line) {
  if (pwrite(fd, line, strlen(line), 0) < 0) die("progress");
}

// One round done. The file's line: ROUNDS AT.
static void progress(void) {
  static int fd = -2;
  static long rounds;
  if (fd == -2) fd = getenv("LOAD_PROGRESS") ? open_or_die(getenv("LOAD_PROGRESS"), O_WRONLY) : -1;
  if (fd < 0) return;
  char line[80];
  snprintf(line, sizeof line, "%ld %ld\n", ++rounds, (long)ms(CLOCK_REALTIME));
  overwrite(fd, line);
}

static void ticker(char **a) {
  int fd = open_or_die(a[0], O_WRONLY);
  int64_t worst = 0, calm = 0, calm_since = 0, back = 0, last = ms(CLOCK_MONOTONIC);
  for (long ticks = 1;; ticks++) {
    sleep_ms(TICK_MS);
    char *p = map(TICK_BYTES);
    for (size_t i = 0; i < TICK_BYTES; i += PAGE) p[i] = 1;
    munmap(p, TICK_BYTES);
    int64_t now = ms(CLOCK_MONOTONIC), lag = now - last - TICK_MS;
    last = now;
    if (lag > worst) worst = lag;
    calm = lag <= CALM_MS ? calm + 1 : 0;
    if (calm == 1) calm_since = ms(CLOCK_REALTIME);
    if (lag > LATE_MS) back = 0;
    else if (!back && calm >= CALM_TICKS) back = calm_since;
    char line[120];
    snprintf(line, sizeof line, "%ld %ld %ld %ld %ld %ld\n", ticks, (long)lag, (long)worst, (long)calm, (long)ms(CLOCK_REALTIME), (long)back);
    overwrite(fd, line);
  }
}

static void *computing(void *unused) {
  for (volatile uint64_t n = 1; n; n++) { }
  return unused;
}

static void compute(char **a) {
  pthread_t thread;
  for (long n = atol(a[0]); n > 1; n--)
    if (pthread_create(&thread, 0, computing, 0)) die("pthread_create");
  computing(0);
}

static void mapped(char **a) {
  size_t bytes = atol(a[2]) * MIB;
  char *p = mmap(0, bytes, PROT_READ, MAP_SHARED, open_or_die(a[0], O_RDONLY), atol(a[1]) * MIB);
  if (p == MAP_FAILED) die(a[0]);
  for (;;)
    for (size_t i = 0; i < bytes; i += PAGE) {
      (void)*(volatile char *)(p + i);
      if (i % MIB == 0) progress();
    }
}

static void stream(char **a) {
  static char buffer[64 << 10];
  int fd = open_or_die(a[0], O_RDONLY);
  long rest = atol(a[3]);
  off_t begin = atol(a[1]) * (off_t)MIB, end = begin + atol(a[2]) * (off_t)MIB;
  for (;;)
    for (off_t at = begin; at < end; at += sizeof buffer) {
      if (pread(fd, buffer, sizeof buffer, at) <= 0) die(a[0]);
      if (at % MIB == 0) progress();
      if (rest > 0) sleep_ms(rest);
    }
}

static void touch(char **a) {
  size_t bytes = atol(a[0]) * MIB;
  char *p = fill(map(bytes), bytes);
  for (;; progress())
    for (size_t n = 1000; n > 0; n--) p[noise() % bytes]++;
}

static void database(char **a) {
  enum { RECORD = 16 << 10 };
  size_t bytes = atol(a[2]) * MIB;
  char *hot = fill(map(bytes), bytes), *cold = fill(map(bytes), bytes);
  int fd = open_or_die(a[0], O_RDWR);
  off_t begin = atol(a[1]) * (off_t)MIB;
  for (long query = 0;; query++, progress()) {
    for (size_t n = 500; n > 0; n--) hot[noise() % bytes]++;
    if (query % 20 == 0) cold[noise() % bytes]++;
    // The file is as large as both together: what is in the cache already, and what is not.
    off_t at = begin + (off_t)(noise() % (2 * bytes / RECORD)) * RECORD;
    if (pread(fd, cold, RECORD / 4, at) < 0) die(a[0]);
    if (query % 50 == 0 && (pwrite(fd, hot, RECORD, at) < 0 || fdatasync(fd))) die(a[0]);
    sleep_ms(2);
  }
}

static void burst(char **a) {
  size_t bytes = atol(a[0]) * MIB;
  for (;; progress()) {
    // A child of its own: above memory.high it may still be on its way when its time is up.
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) {
      char *p = map(bytes);
      for (size_t i = 0; i < bytes; i += PAGE) p[i] = 1;
      for (;;) pause();
    }
    sleep_ms(atol(a[1]) * 1000);
    kill(child, SIGKILL);
    waitpid(child, 0, 0);
    sleep_ms(atol(a[2]) * 1000);
  }
}

static void job(const char *disk, off_t begin) {
  enum { SOURCES = 16 * MIB };
  static char buffer[64 << 10];
  size_t bytes = (20 + noise() % 21) * MIB;
  char *p = map(bytes);
  int fd = open_or_die(disk, O_RDONLY);
  for (size_t i = 0; i < bytes; i += PAGE) {
    p[i] = 1;
    if (i % (2 * MIB) == 0 && pread(fd, buffer, sizeof buffer, begin + noise() % SOURCES) < 0) die(disk);
    if (i % MIB == 0) for (volatile int n = 0; n < 200000; n++) { }
  }
  _exit(0);
}

static void build(char **a) {
  long running = 0;
  for (;;) {
    noise();   // each child begins with noise of its own
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) job(a[0], atol(a[1]) * (off_t)MIB);
    if (++running >= atol(a[2]) && wait(0) > 0) { running--; progress(); }
  }
}

static void reborn(char **a) {
  size_t bytes = atol(a[0]) * MIB;
  for (;; progress()) {
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) {
      char *p = map(bytes);
      for (size_t i = 0; i < bytes; i += PAGE) p[i] = 1;
      for (;;) pause();
    }
    waitpid(child, 0, 0);
  }
}

static void churn(char **a) {
  enum { ALIVE = 20 };
  char path[4096];
  for (long n = 0, count = atol(a[1]); n < count + ALIVE; n++) {
    snprintf(path, sizeof path, "%s/c%ld", a[0], n - ALIVE);
    if (n >= ALIVE && rmdir(path)) die(path);
    if (n >= count) continue;
    snprintf(path, sizeof path, "%s/c%ld", a[0], n);
    if (mkdir(path, 0755)) die(path);
    strcat(path, "/memory.high");
    int fd = open_or_die(path, O_WRONLY);
    if (write(fd, "100M", 4) != 4) die(path);
    close(fd);
  }
}

static void reads(char **a) {
  static char buffer[64 << 10];
  int fd = open_or_die(a[0], O_RDONLY);
  long count = atol(a[1]);
  struct timespec from, to;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
  for (long n = 0; n < count; n++)
    if (pread(fd, buffer, sizeof buffer, 0) < 0) die(a[0]);
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
  printf("%ld\n", (long)(((to.tv_sec - from.tv_sec) * 1000000000 + to.tv_nsec - from.tv_nsec) / count));
}

int main(int argc, char **argv) {
  static const struct { const char *name; int arguments; void (*run)(char **); } kinds[] = {
    {"ticker", 1, ticker}, {"compute", 1, compute}, {"stream", 4, stream},
    {"mapped", 3, mapped}, {"touch", 1, touch}, {"database", 3, database}, {"burst", 3, burst},
    {"build", 3, build}, {"reborn", 1, reborn}, {"churn", 2, churn}, {"reads", 2, reads}};
  int adj = open("/proc/self/oom_score_adj", O_WRONLY);
  // A user's manager may have set a higher one, and lowering is not a user's right.
  if ((adj < 0 || write(adj, "0", 1) != 1) && geteuid() == 0) die("/proc/self/oom_score_adj");
  close(adj);
  for (size_t i = 0; argc > 1 && i < sizeof kinds / sizeof *kinds; i++)
    if (!strcmp(argv[1], kinds[i].name) && argc == 2 + kinds[i].arguments) {
      kinds[i].run(argv + 2);
      return 0;
    }
  fprintf(stderr, "load: no such kind, or a wrong number of arguments\n");
  return 2;
}
