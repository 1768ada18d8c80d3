/* The least a batched UDP server has to do: upper-cases ASCII, 32 datagrams to
 * a system call. A datagram that begins with 'w' blocks for the microseconds of
 * the first argument. Prints its port. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 32, SIZE = 65536 };

static unsigned char bytes[BATCH][SIZE];
static struct mmsghdr headers[BATCH];
static struct iovec slices[BATCH];
static struct sockaddr_in peers[BATCH];

static int fail(const char *what)
{
    perror(what);
    return 1;
}

int main(int argc, char **argv)
{
    long wait_us = argc > 1 ? atol(argv[1]) : 0;
    int buffer = argc > 2 ? atoi(argv[2]) : 0;
    struct timespec wait = {wait_us / 1000000, wait_us % 1000000 * 1000};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0)
        return fail("socket");
    if (buffer > 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer) < 0)
        return fail("SO_RCVBUF");
    struct sockaddr_in addr = {.sin_family = AF_INET};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof addr;
    if (bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0)
        return fail("bind");
    if (getsockname(fd, (struct sockaddr *)&addr, &length) < 0)
        return fail("getsockname");
    printf("%d\n", ntohs(addr.sin_port));
    fflush(stdout);

    for (;;) {
        for (int i = 0; i < BATCH; i++) {
            slices[i] = (struct iovec){bytes[i], SIZE};
            headers[i].msg_hdr = (struct msghdr){
                .msg_name = &peers[i],
                .msg_namelen = sizeof peers[i],
                .msg_iov = &slices[i],
                .msg_iovlen = 1,
            };
        }
        int count = recvmmsg(fd, headers, BATCH, MSG_WAITFORONE, NULL);
        if (count < 0)
            continue;
        for (int i = 0; i < count; i++) {
            unsigned int n = headers[i].msg_len;
            if (n > 0 && bytes[i][0] == 'w' && wait_us > 0)
                nanosleep(&wait, NULL);
            for (unsigned int j = 0; j < n; j++)
                if (bytes[i][j] >= 'a' && bytes[i][j] <= 'z')
                    bytes[i][j] -= 'a' - 'A';
            slices[i].iov_len = n;
        }
        for (int sent = 0; sent < count;) {
            int more = sendmmsg(fd, headers + sent, count - sent, 0);
            sent += more > 0 ? more : 1;
        }
    }
}
