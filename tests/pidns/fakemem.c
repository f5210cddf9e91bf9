// Serves /proc/meminfo from a file system of its own (FUSE, no library), so that a test decides what each single read
// says. Mounts itself over /proc/meminfo of the mount namespace it runs in; ends when its stdin does.
//
// stdin:  "level KIB\n"  every read says MemAvailable KIB from now on
//         "dip KIB\n"    the next read says KIB, the reads after it the level again
// SIGUSR1:                 every read says what MemAvailable was at the start: for those without our stdin
// stdout: "mounted\n" once, "ok\n" for every level, "dipped\n" when a dip has been read
//
// Build: cc -O2 -o fakemem fakemem.c
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define LARGEST_REQUEST 135168 // FUSE asks readers for 128 KiB and a header at least

static int fuse;
static volatile long level = -1;
static long dip = -1;
static char real[8192], answer[8192];

static void die(const char *what) {
	fprintf(stderr, "fakemem: %s: %s\n", what, strerror(errno));
	exit(111);
}

static void reply(const struct fuse_in_header *to, int error, const void *body, size_t length) {
	struct fuse_out_header head = {.len = (unsigned)(sizeof head + length), .error = -error, .unique = to->unique};
	struct iovec parts[] = {{&head, sizeof head}, {(void *)body, length}};
	if (writev(fuse, parts, 2) < 0 && errno != ENOENT) // ENOENT: whoever asked was interrupted
		die("reply");
}

// The real text with another MemAvailable. A read at an offset other than 0 goes on in the text of the one before.
static size_t text_at(unsigned long offset) {
	if (offset == 0) {
		long kib = level;
		if (dip >= 0) {
			kib = dip;
			dip = -1;
			puts("dipped");
		}
		char *line = strstr(real, "MemAvailable:"), *rest = line ? strchr(line, '\n') : NULL;
		if (!rest)
			die("no MemAvailable in /proc/meminfo");
		if (kib < 0)
			strcpy(answer, real);
		else
			snprintf(answer, sizeof answer, "%.*sMemAvailable: %10ld kB%s", (int)(line - real), real, kib, rest);
	}
	return strlen(answer);
}

static void serve(void) {
	static char request[LARGEST_REQUEST];
	ssize_t n = read(fuse, request, sizeof request);
	if (n < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN))
		return;
	if (n < (ssize_t)sizeof(struct fuse_in_header))
		die("read a request");
	struct fuse_in_header *in = (struct fuse_in_header *)request;
	void *body = in + 1;
	switch (in->opcode) {
	case FUSE_INIT: {
		struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION};
		out.max_write = 4096;
		reply(in, 0, &out, sizeof out);
		return;
	}
	case FUSE_GETATTR: {
		struct fuse_attr_out out = {.attr = {.ino = 1, .mode = S_IFREG | 0444, .nlink = 1, .blksize = 4096}};
		reply(in, 0, &out, sizeof out);
		return;
	}
	case FUSE_OPEN: {
		struct fuse_open_out out = {.open_flags = FOPEN_DIRECT_IO}; // no page cache: every read comes here
		reply(in, 0, &out, sizeof out);
		return;
	}
	case FUSE_READ: {
		struct fuse_read_in *want = body;
		size_t length = text_at(want->offset);
		size_t from = want->offset < length ? want->offset : length;
		size_t some = length - from < want->size ? length - from : want->size;
		reply(in, 0, answer + from, some);
		return;
	}
	case FUSE_FLUSH:
	case FUSE_RELEASE:
		reply(in, 0, NULL, 0);
		return;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return; // these want no answer
	default:
		reply(in, ENOSYS, NULL, 0);
	}
}

static void obey(void) {
	char line[64] = "";
	if (read(0, line, sizeof line - 1) <= 0)
		exit(0);
	long kib;
	if (sscanf(line, "level %ld", &kib) == 1) {
		level = kib;
		puts("ok");
	}
	else if (sscanf(line, "dip %ld", &dip) != 1)
		die("not understood");
}

static void forget(int signal) {
	(void)signal;
	level = -1;
}

int main(void) {
	signal(SIGUSR1, forget);
	setvbuf(stdout, NULL, _IOLBF, 0);
	int meminfo = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	if (meminfo < 0 || read(meminfo, real, sizeof real - 1) <= 0)
		die("/proc/meminfo");
	close(meminfo);
	if ((fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC)) < 0)
		die("/dev/fuse");
	char options[128];
	snprintf(options, sizeof options, "fd=%d,rootmode=100444,user_id=0,group_id=0,allow_other", fuse);
	if (mount("fakemem", "/proc/meminfo", "fuse", MS_NOSUID | MS_NODEV, options))
		die("mount over /proc/meminfo");
	serve(); // the kernel's greeting
	puts("mounted");
	for (;;) {
		struct pollfd both[] = {{.fd = fuse, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
		if (poll(both, 2, -1) < 0 && errno != EINTR)
			die("poll");
		if (both[0].revents)
			serve();
		if (both[1].revents)
			obey();
	}
}
