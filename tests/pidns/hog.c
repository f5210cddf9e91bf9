// A process that misbehaves with memory, on request: what the guard is tested, shown and measured with.
//
// Life of a hog: it fills `first` MiB, prints "ready", and waits for a number N on stdin; then it fills on until it holds
// `upto` MiB, or MemAvailable is at or below N MiB (0: no matter), prints "done", and does what `then` says. End of input
// on stdin ends it, so no hog outlives the test that feeds it. All options are KEY=VALUE; see `main` for the list.
//
// Build: cc -O2 -pthread -o hog hog.c
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB (1024L * 1024L)
#define PAGE 4096L
// One step of filling: at 1 GB/s a step every 4 ms, so the pace is even and a look at MemAvailable costs little.
#define CHUNK_MIB 4L
#define MAX_CHUNKS 65536L // 256 GiB: more than any machine this runs on gives to one hog

static const char *name;       // name=STR: comm, as prctl(PR_SET_NAME) sets it
static long first_mib;         // first=N: MiB filled before "ready"
static long rate_mib = 1024;   // rate=N: MiB a second afterwards
static long upto_mib = 64;     // upto=N: never hold more than this
static long until_mib;         // as read from stdin
static int keep;               // keep=1: hold MemAvailable at that level against what others allocate and free
static const char *on_term;    // term=ignore | exit | free | note:FILE (CLOCK_MONOTONIC ns of the handler, then exit)
static const char *then = "hold"; // then=hold | stop | exit | swing
static int zombie;             // zombie=1: the leader ends at once, a second thread goes on
static const char *tmpfs_file; // file=PATH: write to this file instead of anonymous memory
static long forks_per_s;       // forks=N: fork N short-lived children a second, for ever
static long children;          // children=N: fork N children of each_kib before "ready"; later steps are children too
static long each_kib = 1024;   // each=N: KiB each child touches
static long swing_mib = 256;   // swing=N: MiB given back and taken again, over and over

static char *chunks[MAX_CHUNKS];
static long held; // chunks
static volatile sig_atomic_t free_wanted;
static volatile long long *note_slot;

static void die(const char *what) {
	fprintf(stderr, "hog: %s: %s\n", what, strerror(errno));
	exit(111);
}

static long long now_ns(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void nap_us(long us) {
	struct timespec t = {us / 1000000, us % 1000000 * 1000};
	nanosleep(&t, NULL);
}

// MemAvailable in MiB, read with one pread on a descriptor that stays open.
static long available_mib(void) {
	static int fd = -1;
	char text[512];
	if (fd < 0 && (fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC)) < 0)
		die("/proc/meminfo");
	ssize_t n = pread(fd, text, sizeof text - 1, 0);
	if (n <= 0)
		die("/proc/meminfo");
	text[n] = 0;
	char *at = strstr(text, "MemAvailable:");
	if (!at)
		die("no MemAvailable in /proc/meminfo");
	return atol(at + 13) / 1024;
}

static void touch(char *at, long bytes) {
	for (long i = 0; i < bytes; i += PAGE)
		at[i] = (char)(i / PAGE + 1);
}

static void grow(void) {
	if (held == MAX_CHUNKS)
		die("chunk table full");
	char *at = mmap(NULL, CHUNK_MIB * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		die("mmap");
	touch(at, CHUNK_MIB * MIB);
	chunks[held++] = at;
}

static void shrink(void) {
	if (held)
		munmap(chunks[--held], CHUNK_MIB * MIB);
}

static void grow_file(void) {
	static int fd = -1;
	static char block[MIB];
	if (fd < 0 && (fd = open(tmpfs_file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) < 0)
		die(tmpfs_file);
	for (long i = 0; i < CHUNK_MIB; i++)
		if (write(fd, block, sizeof block) != (ssize_t)sizeof block)
			die(tmpfs_file);
	held++;
}

// Starts one child of `each_kib` and returns when it holds them.
static void grow_child(void) {
	int ready[2];
	if (pipe2(ready, O_CLOEXEC))
		die("pipe2");
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		char *at = mmap(NULL, each_kib * 1024, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (at == MAP_FAILED)
			die("mmap");
		touch(at, each_kib * 1024);
		close(ready[1]);
		for (;;)
			pause();
	}
	close(ready[1]);
	char byte;
	(void)!read(ready[0], &byte, 1); // end of file: the child is full, or dead
	close(ready[0]);
}

static long held_mib(void) {
	return children ? held * each_kib / 1024 : held * CHUNK_MIB;
}

static void step(void) {
	if (children) {
		grow_child();
		held++;
	} else if (tmpfs_file)
		grow_file();
	else
		grow();
}

static void give_everything_back(void) {
	while (held)
		shrink();
	free_wanted = 0;
	puts("freed");
}

static void term_ends(int sig) {
	(void)sig;
	if (note_slot)
		*note_slot = now_ns();
	_exit(0);
}

static void term_frees(int sig) {
	(void)sig;
	free_wanted = 1;
}

static void arrange_term(void) {
	struct sigaction action = {0};
	if (!on_term)
		return;
	if (!strcmp(on_term, "ignore"))
		action.sa_handler = SIG_IGN;
	else if (!strcmp(on_term, "free"))
		action.sa_handler = term_frees;
	else if (!strcmp(on_term, "exit"))
		action.sa_handler = term_ends;
	else if (!strncmp(on_term, "note:", 5)) {
		int fd = open(on_term + 5, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0 || ftruncate(fd, PAGE))
			die(on_term + 5);
		note_slot = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (note_slot == MAP_FAILED)
			die("mmap of the note");
		*note_slot = 0;
		action.sa_handler = term_ends;
	} else {
		errno = EINVAL;
		die(on_term);
	}
	if (sigaction(SIGTERM, &action, NULL))
		die("sigaction");
}

// Sleeps until `deadline` (or for ever when it is 0); leaves when stdin ends or SIGTERM asks for the memory back.
static void wait_on_stdin(long long deadline) {
	struct pollfd in = {.fd = 0, .events = POLLIN};
	for (;;) {
		if (free_wanted)
			give_everything_back();
		long ms = deadline ? (long)((deadline - now_ns()) / 1000000) : -1;
		if (deadline && ms <= 0)
			return;
		int n = poll(&in, 1, (int)ms);
		char byte;
		if (n > 0 && read(0, &byte, 1) <= 0)
			exit(0);
	}
}

static int reached(void) {
	return held_mib() >= upto_mib || (until_mib && available_mib() <= until_mib);
}

static void fill(void) {
	long per_step_us = children ? each_kib * 1000000 / 1024 / rate_mib : CHUNK_MIB * 1000000 / rate_mib;
	long long due = now_ns();
	while (!free_wanted && !reached()) {
		step();
		due += per_step_us * 1000LL;
		long long early = due - now_ns();
		if (early > 0)
			nap_us(early / 1000);
	}
}

// Holds MemAvailable at the level asked for: grows when others free memory, shrinks when they take it.
static void keep_level(void) {
	for (;;) {
		wait_on_stdin(now_ns() + 5000000);
		long over = available_mib() - until_mib;
		for (; over > 0 && held_mib() < upto_mib; over -= CHUNK_MIB)
			grow();
		for (; over < -2 * CHUNK_MIB && held; over += CHUNK_MIB)
			shrink();
	}
}

// Gives `swing` MiB back and takes them again: memory that is short one moment and there the next.
static void swing_level(void) {
	unsigned seed = (unsigned)getpid();
	for (;;) {
		for (long i = 0; i < swing_mib / CHUNK_MIB; i++)
			shrink();
		wait_on_stdin(now_ns() + (rand_r(&seed) % 20 + 1) * 1000000LL);
		while (!reached())
			grow();
	}
}

static void fork_for_ever(void) {
	puts("done");
	for (;;) {
		pid_t pid = fork();
		if (!pid) {
			nap_us(20000); // long enough for a scan to meet it, short enough that it is gone at the next look
			_exit(0);
		}
		wait_on_stdin(now_ns() + 1000000000LL / forks_per_s);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}

static void *live(void *unused) {
	for (long i = 0; i < children; i++)
		step();
	while (!children && held_mib() < first_mib)
		step();
	puts("ready");
	char until[32] = "";
	while (read(0, until, sizeof until - 1) < 0 && errno == EINTR)
		;
	until_mib = atol(until);
	if (forks_per_s)
		fork_for_ever();
	fill();
	puts("done");
	if (!strcmp(then, "exit"))
		exit(0);
	if (!strcmp(then, "stop"))
		raise(SIGSTOP);
	if (!strcmp(then, "swing"))
		swing_level();
	if (keep)
		keep_level();
	wait_on_stdin(0);
	return unused;
}

int main(int argc, char **argv) {
	for (int i = 1; i < argc; i++) {
		char *value = strchr(argv[i], '=');
		if (!value) {
			errno = EINVAL;
			die(argv[i]);
		}
		*value++ = 0;
		const char *key = argv[i];
		if (!strcmp(key, "name")) name = value;
		else if (!strcmp(key, "first")) first_mib = atol(value);
		else if (!strcmp(key, "rate")) rate_mib = atol(value);
		else if (!strcmp(key, "upto")) upto_mib = atol(value);
		else if (!strcmp(key, "keep")) keep = atoi(value);
		else if (!strcmp(key, "term")) on_term = value;
		else if (!strcmp(key, "then")) then = value;
		else if (!strcmp(key, "zombie")) zombie = atoi(value);
		else if (!strcmp(key, "file")) tmpfs_file = value;
		else if (!strcmp(key, "forks")) forks_per_s = atol(value);
		else if (!strcmp(key, "children")) children = atol(value);
		else if (!strcmp(key, "each")) each_kib = atol(value);
		else if (!strcmp(key, "swing")) swing_mib = atol(value);
		else {
			errno = EINVAL;
			die(key);
		}
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	// A test runner may itself be protected (or marked) by oom_score_adj; an ordinary program is at 0.
	FILE *adj = fopen("/proc/self/oom_score_adj", "w");
	if (adj) {
		fputs("0", adj);
		fclose(adj);
	}
	if (name && prctl(PR_SET_NAME, name))
		die("prctl(PR_SET_NAME)");
	arrange_term();
	if (!zombie) {
		live(NULL);
		return 0;
	}
	pthread_t other;
	if (pthread_create(&other, NULL, live, NULL))
		die("pthread_create");
	pthread_exit(NULL); // a zombie leader: /proc/PID/stat now says Z and a resident size of 0
}
