// fill_journal: sends entries to journald's socket until it takes no more, and prints how many it took.
// Of use while journald is stopped: from then on a sender that blocks is stuck, and one that does not block loses its entry.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(void) {
  struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket"};
  const char entry[] = "MESSAGE=the lab fills the socket\nPRIORITY=7\n";
  int sent = 0;
  // A sender's own buffer fills before the receiver's queue does: the queue is full when a fresh sender's first entry is refused.
  for (int fresh = 1;; fresh = 1) {
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) { perror("socket"); return 1; }
    while (sendto(fd, entry, sizeof entry - 1, 0, (struct sockaddr *)&to, sizeof to) >= 0) { sent++; fresh = 0; }
    if (errno != EAGAIN && errno != ENOBUFS) { perror("sendto"); return 1; }
    close(fd);
    if (fresh) break;
  }
  printf("%d\n", sent);
  return 0;
}
