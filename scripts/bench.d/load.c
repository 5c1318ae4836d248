// Load for TCP proxies on loopback: the server behind them and the clients in front of them.
//
//   load server PORT [SERVICE_US]  answers until it is killed; with SERVICE_US one request after
//                                 the other, each of which takes so long: a replica at its limit
//   load ping   PORT CONNS SECS   closed loop of one request a connection: requests/s, p50, p99;
//                                 begins with a line of stdin once it has said "ready"
//   load open   PORT CONNS SECS RATE  open loop: requests are due at random moments, RATE a second,
//                                 whether answered or not; each is timed from when it was due
//   load down   PORT BYTES        one stream from the server; load up: one towards it
//   load churn  PORT CONNS SECS   likewise: connect, one request, close; CONNS of them at any time
//   load hold   PORT CONNS        opens, says "ready", waits for a line, proves that all still work
//   load cut    PORT CONNS BUSY   opens, says "ready", waits until the last one has ended and tells
//                                 when that was; BUSY of them have a request that is never answered
//   load held   PORT CONNS        opens, asks, says "ready", waits for every answer, tells when the
//                                 last one came
//
// Built with -DTLS, the clients of `ping` speak TLS 1.3; their handshakes are not part of the time.
//
// A request has 64 bytes: a letter, 7 unused, and a count of bytes (little endian, 64 bit).
//   P: 200 bytes come back. D: that many bytes come back. U: that many follow, then one comes back.
//   N: nothing comes back.
// One JSON line on stdout; times are CLOCK_MONOTONIC. Sends to 127.0.0.1 only.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>
#ifdef TLS
#include <openssl/ssl.h>
#endif

enum { REQUEST = 64, ANSWER = 200, BATCH = 256, CHUNK = 1 << 16 };
typedef struct { int fd; int have; char request[REQUEST]; uint64_t to_send, to_read; int armed; } Peer;
static struct sockaddr_in where;
static struct timespec service;  // of one request; none: as quick as it goes
static char chunk[1 << 18];

static void give_up(const char *what) { perror(what); exit(1); }
static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}
static int make_socket(int flags) {
    int fd = socket(AF_INET, SOCK_STREAM | flags, 0), one = 1;
    if (fd < 0) give_up("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}
static void watch(int ep, int op, int fd, uint32_t mask, uint64_t data) {
    struct epoll_event e = {.events = mask, .data.u64 = data};
    if (epoll_ctl(ep, op, fd, &e)) give_up("epoll_ctl");
}

// ------------------------------------------------------------------------------------- server
static int drain_output(Peer *p) {  // 0: the peer is gone
    while (p->to_send) {
        ssize_t n = send(p->fd, chunk, p->to_send < CHUNK ? p->to_send : CHUNK, MSG_NOSIGNAL);
        if (n < 0) return errno == EAGAIN;
        p->to_send -= n;
    }
    return 1;
}
static void obey(Peer *p) {
    uint64_t bytes;
    memcpy(&bytes, p->request + 8, 8);
    if (service.tv_nsec) nanosleep(&service, NULL);
    if (p->request[0] == 'P') p->to_send += ANSWER;
    if (p->request[0] == 'D') p->to_send += bytes;
    if (p->request[0] == 'U') p->to_read = bytes;
}
static int take_input(Peer *p) {  // 0: the peer is gone
    ssize_t n = recv(p->fd, chunk, sizeof chunk, 0), at = 0;
    if (n <= 0) return n < 0 && errno == EAGAIN;
    while (at < n) {
        if (p->to_read) {
            uint64_t m = (uint64_t)(n - at) < p->to_read ? (uint64_t)(n - at) : p->to_read;
            at += m, p->to_read -= m;
            if (!p->to_read) p->to_send++;
            continue;
        }
        int m = REQUEST - p->have < n - at ? REQUEST - p->have : (int)(n - at);
        memcpy(p->request + p->have, chunk + at, m);
        at += m, p->have += m;
        if (p->have == REQUEST) p->have = 0, obey(p);
    }
    return 1;
}
static void welcome(int ep, int listener) {
    for (int i = 0; i < 64; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd < 0) return;
        Peer *p = calloc(1, sizeof *p);
        p->fd = fd;
        watch(ep, EPOLL_CTL_ADD, fd, EPOLLIN, (uint64_t)(uintptr_t)p);
    }
}
static void serve(void) {
    int listener = make_socket(SOCK_NONBLOCK), one = 1, ep = epoll_create1(0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (void *)&where, sizeof where) || listen(listener, 4096)) give_up("bind");
    watch(ep, EPOLL_CTL_ADD, listener, EPOLLIN, 0);
    struct epoll_event events[BATCH];
    for (;;) {
        int n = epoll_wait(ep, events, BATCH, -1);
        for (int i = 0; i < n; i++) {
            Peer *p = (Peer *)(uintptr_t)events[i].data.u64;
            if (!p) { welcome(ep, listener); continue; }
            int alive = !(events[i].events & ~EPOLLOUT) || take_input(p);
            alive = alive && drain_output(p);
            if (!alive) { close(p->fd); free(p); continue; }
            if (p->armed != !!p->to_send) {
                p->armed = !!p->to_send;
                watch(ep, EPOLL_CTL_MOD, p->fd, p->armed ? EPOLLIN | EPOLLOUT : EPOLLIN, events[i].data.u64);
            }
        }
    }
}

// ------------------------------------------------------------------------------------ clients
#ifdef TLS
static SSL_CTX *tls;
static SSL *by_fd[1 << 16];
static void greet(int fd) {
    if (!tls) SSL_CTX_set_read_ahead(tls = SSL_CTX_new(TLS_client_method()), 1);
    SSL_set_fd(by_fd[fd] = SSL_new(tls), fd);
    if (SSL_connect(by_fd[fd]) != 1) give_up("SSL_connect");
}
static ssize_t put(int fd, const void *data, size_t n) { return SSL_write(by_fd[fd], data, n); }
static ssize_t get(int fd, size_t most) { return SSL_read(by_fd[fd], chunk, most); }
#else
static void greet(int fd) { (void)fd; }
static ssize_t put(int fd, const void *data, size_t n) { return send(fd, data, n, MSG_NOSIGNAL); }
static ssize_t get(int fd, size_t most) { return recv(fd, chunk, most, 0); }
#endif
static int dial(void) {
    int fd = make_socket(0);
    if (connect(fd, (void *)&where, sizeof where)) give_up("connect");
    greet(fd);
    return fd;
}
static void ask(int fd, char letter, uint64_t bytes) {
    char request[REQUEST] = {letter};
    memcpy(request + 8, &bytes, 8);
    if (put(fd, request, REQUEST) != REQUEST) give_up("send");
}
static void await_bytes(int fd, uint64_t bytes) {
    while (bytes) {
        ssize_t n = get(fd, bytes < sizeof chunk ? bytes : sizeof chunk);
        if (n <= 0) { if (!n) errno = EPIPE; give_up("recv"); }
        bytes -= n;
    }
}
static int *open_all(int conns) {  // each has had one answer, so a proxy has its upstream, too
    int *fds = calloc(conns, sizeof *fds);
    for (int done = 0; done < conns; done += 100) {
        int end = done + 100 < conns ? done + 100 : conns;
        for (int i = done; i < end; i++) ask(fds[i] = dial(), 'P', 0);
        for (int i = done; i < end; i++) await_bytes(fds[i], ANSWER);
    }
    return fds;
}
static void say_ready(void) { printf("{\"ready\": true}\n"); fflush(stdout); }
static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}
static void tell_rate(float *took_us, size_t n, double secs) {
    qsort(took_us, n, sizeof *took_us, by_size);
    printf("{\"per_s\": %.1f, \"p50_us\": %.2f, \"p99_us\": %.2f}\n", n / secs, n ? took_us[n / 2] : 0, n ? took_us[n * 99 / 100] : 0);
}
static void ping(int conns, double secs, int is_churn) {
    size_t room = 8 << 20, n = 0;
    float *took_us = malloc(room * sizeof *took_us);
    double *since = calloc(conns, sizeof *since);
    int *fds = is_churn ? calloc(conns, sizeof *fds) : open_all(conns), ep = epoll_create1(0), busy = conns;
    int *missing = calloc(conns, sizeof *missing);
    say_ready();
    getchar();
    double begin = now_s(), end = begin + secs;
    for (int i = 0; i < conns; i++) {
        since[i] = now_s();
        if (is_churn) fds[i] = dial();
        watch(ep, EPOLL_CTL_ADD, fds[i], EPOLLIN, i);
        missing[i] = ANSWER, ask(fds[i], 'P', 0);
    }
    struct epoll_event events[BATCH];
    while (busy) {
        int got = epoll_wait(ep, events, BATCH, 20000);
        if (!got) { fprintf(stderr, "stalled\n"); exit(1); }
        for (int k = 0; k < got; k++) {
            int i = events[k].data.u64;
            ssize_t m = get(fds[i], sizeof chunk);
            if (m <= 0) { fprintf(stderr, "connection %d was lost\n", i); exit(1); }
            if ((missing[i] -= m) > 0) continue;
            double now = now_s();
            if (n < room) took_us[n++] = (now - since[i]) * 1e6;
            if (is_churn) close(fds[i]);
            if (now >= end) { busy--; if (!is_churn) watch(ep, EPOLL_CTL_DEL, fds[i], 0, 0); continue; }
            since[i] = now;
            if (is_churn) watch(ep, EPOLL_CTL_ADD, fds[i] = dial(), EPOLLIN, i);
            missing[i] = ANSWER, ask(fds[i], 'P', 0);
        }
    }
    tell_rate(took_us, n, now_s() - begin);
}
static struct timespec until(double at) {
    double left = at - now_s();
    struct timespec t = {0, 0};
    if (left > 0) t.tv_sec = left, t.tv_nsec = (left - t.tv_sec) * 1e9;
    return t;
}
static void open_loop(int conns, double secs, double rate) {
    int *fds = open_all(conns), *missing = calloc(conns, sizeof *missing), *idle = calloc(conns, sizeof *idle);
    size_t total = rate * secs, asked = 0, n = 0;
    double *due = calloc(total + 1, sizeof *due), *since = calloc(conns, sizeof *since);
    float *took_us = malloc(total * sizeof *took_us);
    int ep = epoll_create1(0), free_conns = conns;
    for (int i = 0; i < conns; i++) watch(ep, EPOLL_CTL_ADD, fds[i], EPOLLIN, i), idle[i] = i;
    prctl(PR_SET_TIMERSLACK, 1L);
    srand48(1);  // the same moments for everybody
    say_ready();
    getchar();
    double begin = now_s(), at = begin;
    for (size_t k = 0; k < total; k++) due[k] = at += -log(1 - drand48()) / rate;
    struct epoll_event events[BATCH];
    while (n < total) {
        for (; asked < total && free_conns && due[asked] <= now_s(); asked++) {
            int i = idle[--free_conns];
            since[i] = due[asked], missing[i] = ANSWER, ask(fds[i], 'P', 0);
        }
        struct timespec rest = asked < total && free_conns ? until(due[asked]) : (struct timespec){20, 0};
        int got = epoll_pwait2(ep, events, BATCH, &rest, NULL);
        if (got <= 0 && !(asked < total && free_conns)) { fprintf(stderr, "stalled\n"); exit(1); }
        for (int k = 0; k < got; k++) {
            int i = events[k].data.u64;
            ssize_t m = get(fds[i], sizeof chunk);
            if (m <= 0) { fprintf(stderr, "connection %d was lost\n", i); exit(1); }
            if ((missing[i] -= m) > 0) continue;
            took_us[n++] = (now_s() - since[i]) * 1e6;
            idle[free_conns++] = i;
        }
    }
    tell_rate(took_us, n, now_s() - begin);
}
static void stream(char letter, uint64_t bytes) {
    int fd = open_all(1)[0];
    double begin = now_s();
    ask(fd, letter, bytes);
    if (letter == 'U') {
        for (uint64_t left = bytes; left;) {
            ssize_t n = send(fd, chunk, left < CHUNK ? left : CHUNK, MSG_NOSIGNAL);
            if (n <= 0) give_up("send");
            left -= n;
        }
        await_bytes(fd, 1);
    } else {
        while (bytes) {  // MSG_TRUNC: counted, not copied, so that the proxy is what is measured
            ssize_t n = recv(fd, NULL, bytes < (4 << 20) ? bytes : (4 << 20), MSG_TRUNC);
            if (n <= 0) give_up("recv");
            bytes -= n;
        }
    }
    printf("{\"seconds\": %.6f}\n", now_s() - begin);
}
static void hold(int conns) {
    int *fds = open_all(conns);
    say_ready();
    getchar();
    for (int i = 0; i < conns; i++) ask(fds[i], 'P', 0), await_bytes(fds[i], ANSWER);
    printf("{\"held\": %d}\n", conns);
}
static void cut(int conns, int busy) {
    int *fds = open_all(conns), ep = epoll_create1(0), resets = 0, left = conns;
    for (int i = 0; i < conns; i++) {
        watch(ep, EPOLL_CTL_ADD, fds[i], EPOLLIN, i);
        if (i < busy) ask(fds[i], 'N', 0);
    }
    usleep(300000);  // until the last request has gone through
    say_ready();
    struct epoll_event events[BATCH];
    while (left) {
        int got = epoll_wait(ep, events, BATCH, 20000);
        if (!got) { fprintf(stderr, "%d were not cut\n", left); exit(1); }
        for (int k = 0; k < got; k++) {
            int i = events[k].data.u64;
            ssize_t n = get(fds[i], sizeof chunk);
            if (n > 0) continue;
            resets += n < 0, left--;
            close(fds[i]);
        }
    }
    printf("{\"last_at_s\": %.9f, \"resets\": %d}\n", now_s(), resets);
}
static void held(int conns) {
    int *fds = calloc(conns, sizeof *fds);
    for (int i = 0; i < conns; i++) ask(fds[i] = dial(), 'P', 0);
    usleep(300000);  // until the last one is held
    say_ready();
    for (int i = 0; i < conns; i++) await_bytes(fds[i], ANSWER);
    printf("{\"last_at_s\": %.9f}\n", now_s());
}
int main(int argc, char **argv) {
    if (argc < 3) { fprintf(stderr, "usage: see the head of load.c\n"); return 2; }
    signal(SIGPIPE, SIG_IGN);
    where.sin_family = AF_INET, where.sin_port = htons(atoi(argv[2])), where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    double first = argc > 3 ? atof(argv[3]) : 1, second = argc > 4 ? atof(argv[4]) : 0;
    const char *mode = argv[1];
    double third = argc > 5 ? atof(argv[5]) : 0;
    if (!strcmp(mode, "server") && argc > 3) service.tv_nsec = first * 1e3;
    if (!strcmp(mode, "server")) serve();
    else if (!strcmp(mode, "open")) open_loop(first, second, third);
    else if (!strcmp(mode, "held")) held(first);
    else if (!strcmp(mode, "ping") || !strcmp(mode, "churn")) ping(first, second, *mode == 'c');
    else if (!strcmp(mode, "down") || !strcmp(mode, "up")) stream(*mode == 'd' ? 'D' : 'U', first);
    else if (!strcmp(mode, "hold")) hold(first);
    else if (!strcmp(mode, "cut")) cut(first, second);
    else return 2;
    return 0;
}
