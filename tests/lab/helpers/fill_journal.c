// fill_journal: sends entries to journald's sockets (its own protocol's and syslog's) until they take no more, and prints
// how many each took. Of use while journald is stopped: from then on a sender that blocks is stuck, and one that does not
// block loses its entry.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int fill(const char *path, const char *entry) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  strncpy(to.sun_path, path, sizeof to.sun_path - 1);
  int sent = 0;
  // A sender's own buffer fills before the receiver's queue does: the queue is full when a fresh sender's first entry is refused.
  for (int fresh = 1;; fresh = 1) {
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) { perror("socket"); return 1; }
    while (sendto(fd, entry, strlen(entry), 0, (struct sockaddr *)&to, sizeof to) >= 0) { sent++; fresh = 0; }
    if (errno != EAGAIN && errno != ENOBUFS) { perror(path); return 1; }
    close(fd);
    if (fresh) break;
  }
  printf("%d\n", sent);
  return 0;
}

int main(void) {
  return fill("/run/systemd/journal/socket", "MESSAGE=the lab fills the socket\nPRIORITY=7\n")
      || fill("/run/systemd/journal/dev-log", "<15>lab: the lab fills the socket");
}
