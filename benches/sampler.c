// Notes when MemAvailable falls to a limit: the other end of the latency measurement (the hog notes its SIGTERM).
//
// usage: sampler FILE LIMIT_KIB [user]     LIMIT_KIB of MemAvailable; with `user`, LIMIT_KIB is a share in millionths of
//                                          MemAvailable + AnonPages, which is what earlyoom 1.8 and later look at
// Looks every 0.2 ms and writes to FILE, as text: CLOCK_MONOTONIC ns of the last look above the limit, and of the first
// at or below it (taken before that look's read, so that a latency is never flattered). Then it ends.
//
// Build: cc -O2 -o sampler sampler.c
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_NS 200000L

static long long now_ns(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static double number_after(const char *text, const char *name) {
	const char *at = strstr(text, name);
	if (!at) {
		fprintf(stderr, "sampler: no %s in /proc/meminfo\n", name);
		exit(111);
	}
	return atof(at + strlen(name));
}

int main(int argc, char **argv) {
	if (argc < 3) {
		fprintf(stderr, "usage: sampler FILE LIMIT [user]\n");
		return 2;
	}
	double limit = atof(argv[2]);
	int user = argc > 3;
	prctl(PR_SET_TIMERSLACK, 1);
	int meminfo = open("/proc/meminfo", O_RDONLY);
	char text[8192];
	long long above = 0;
	for (;;) {
		long long look = now_ns();
		ssize_t n = pread(meminfo, text, sizeof text - 1, 0);
		if (n <= 0) {
			perror("sampler: /proc/meminfo");
			return 111;
		}
		text[n] = 0;
		double value = number_after(text, "MemAvailable:");
		if (user)
			value *= 1e6 / (value + number_after(text, "AnonPages:"));
		if (value <= limit) {
			FILE *out = fopen(argv[1], "w");
			if (!out) {
				perror(argv[1]);
				return 111;
			}
			fprintf(out, "%lld %lld\n", above, look);
			return fclose(out) ? 111 : 0;
		}
		above = look;
		struct timespec nap = {0, PERIOD_NS};
		nanosleep(&nap, NULL);
	}
}
