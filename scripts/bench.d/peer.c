// A measuring stick, not a product: the gateway's own design in C, to tell what of a figure is
// Python's and what is the machine's. One thread; edge-triggered epoll; sockets registered once;
// one read and one write for a message; splice(2) for streams; a cut closes clients first. It
// knows no route, no verifier, no fence, no limits, no TLS.
//
//   peer LISTEN_PORT UPSTREAM_PORT; a line on stdin cuts every session.
//
// What a newcomer gets wrong: a session may end inside any call, and its memory stays until the
// batch is over. Descriptors are opened only after a batch: a number that was closed and opened
// again would receive the events of its former owner.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BATCH = 256, ACCEPTS = 64, BACKLOG = 1024, FDS = 1 << 17,
    READ = 32768, BULK = 16384,              // one read of that much makes a stream
    PIPE = 1 << 20, TURN = 1 << 20, POOL = 64,
    MASK = EPOLLIN | EPOLLOUT | EPOLLRDHUP,  // and EPOLLET, which is no int
};
typedef struct { int fds[2]; } Pipe;
typedef struct End {
    int fd, ended, bulk, last;  // last: an event told of its end already
    size_t left;                // read here and not taken by the peer: in the pipe, or in `rest`
    Pipe pipe;                  // fds[0] is 0 without one
    char *rest;
    struct End *peer;
    struct Session *session;
} End;
typedef struct Session {
    End client, upstream;
    int joined, open, asked;    // asked: the client spoke last
    struct Session *before, *after, *dead;
} Session;

static End *table[FDS];
static Session all = {.before = &all, .after = &all}, *dead;
static Pipe pool[POOL];
static int pooled, ep;
static char data[READ];
static struct sockaddr_in where;

static void give_up(const char *what) { perror(what); exit(1); }
static void watch(int fd, int op, unsigned mask) {
    struct epoll_event event = {.events = mask, .data.fd = fd};
    if (epoll_ctl(ep, op, fd, &event)) give_up("epoll_ctl");
}
static void linger(int fd, int is_reset) {
    struct linger option = {.l_onoff = is_reset};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &option, sizeof option);
}

// --------------------------------------------------------------------------------------- ends
static void close_end(End *end) {
    table[end->fd] = NULL;
    close(end->fd);
    if (end->pipe.fds[0]) close(end->pipe.fds[0]), close(end->pipe.fds[1]);
    free(end->rest);
}
static void forget(Session *s) {
    s->open = 0;
    s->before->after = s->after, s->after->before = s->before;
    s->dead = dead, dead = s;
}
static void reset(Session *s) {
    linger(s->client.fd, 1);
    close_end(&s->client), close_end(&s->upstream), forget(s);
}
static void finish(Session *s) {
    close_end(&s->client);
    linger(s->upstream.fd, 0);
    close_end(&s->upstream), forget(s);
}
static void cut(void) {
    Session *s, *next;
    for (s = all.after; s != &all; s = s->after) {
        if (s->asked) linger(s->client.fd, 1);
        close_end(&s->client);
    }
    for (s = all.after; s != &all; s = next) next = s->after, close_end(&s->upstream), forget(s);
}

// ------------------------------------------------------------------------------------- relaying
static void ended(End *end) {
    end->ended = 1;
    if (end->peer->ended) finish(end->session);
    else if (shutdown(end->peer->fd, SHUT_WR)) reset(end->session);
}
static int took(End *end, ssize_t sent) {  // 0: the link is over
    if (sent < 0 && errno != EAGAIN) { reset(end->session); return 0; }
    if (sent > 0) end->left -= sent, end->session->asked = end == &end->session->client;
    return 1;
}
static int drain(End *end) {  // whether the peer has taken all that was read here
    while (end->left) {
        ssize_t sent = end->rest
            ? write(end->peer->fd, end->rest, end->left)
            : splice(end->pipe.fds[0], NULL, end->peer->fd, NULL, end->left, SPLICE_F_NONBLOCK);
        if (!took(end, sent)) return 0;
        if (sent < 0) return 0;
        if (end->rest) memmove(end->rest, end->rest + sent, end->left);
    }
    free(end->rest), end->rest = NULL;
    return 1;
}
static int take_pipe(End *end) {
    if (end->pipe.fds[0]) return 1;
    if (pooled) { end->pipe = pool[--pooled]; return 1; }
    if (pipe2(end->pipe.fds, O_NONBLOCK)) return end->pipe.fds[0] = 0;
    fcntl(end->pipe.fds[1], F_SETPIPE_SZ, PIPE);
    return 1;
}
static void give_pipe(End *end) {
    if (pooled == POOL) return;
    pool[pooled++] = end->pipe;
    end->pipe.fds[0] = 0;
}
static int fill(End *end) {  // bytes read; 0: nothing now, or never again
    ssize_t got = end->bulk
        ? splice(end->fd, NULL, end->pipe.fds[1], NULL, PIPE, SPLICE_F_NONBLOCK)
        : read(end->fd, data, READ);
    if (got > 0) return got;
    if (!got) ended(end);
    else if (errno != EAGAIN) reset(end->session);
    return 0;
}
static int copy(End *end, int got) {  // whether the peer has taken all of `data`
    ssize_t sent = write(end->peer->fd, data, got);
    end->left = got;
    if (!took(end, sent)) return 0;
    if (!end->left) return 1;
    memcpy(end->rest = malloc(end->left), data + got - end->left, end->left);
    return 0;
}
static void pull(End *end) {  // until it is dry, over, blocked, or had its turn
    if (end->ended || end->left) return;
    for (int moved = 0; moved < TURN;) {
        if (end->bulk && !take_pipe(end)) end->bulk = 0;
        int was_bulk = end->bulk, got = fill(end);
        if (!got) {
            if (!end->session->open) return;
            if (end->bulk) give_pipe(end), end->bulk = moved >= BULK;
            return;
        }
        if (was_bulk) end->left = got;
        if (was_bulk ? !drain(end) : !copy(end, got)) return;
        if (!was_bulk && got < READ && !end->last) return;  // drained: the rest has its own edge
        end->bulk = got >= BULK;
        moved += got;
    }
    watch(end->fd, EPOLL_CTL_MOD, MASK | EPOLLET);  // reports at once what there is
}
static void join(Session *s) {
    s->joined = 1;
    table[s->client.fd] = &s->client;
    watch(s->client.fd, EPOLL_CTL_ADD, MASK | EPOLLET);
}
static void on_event(End *end, unsigned event) {
    Session *s = end->session;
    if (event & EPOLLERR || (!s->joined && event & EPOLLHUP)) { reset(s); return; }
    if (!s->joined) { if (event & EPOLLOUT) join(s); else return; }
    if (event & (EPOLLRDHUP | EPOLLHUP)) end->last = 1;
    if (event & EPOLLOUT && end->peer->left) {
        if (!drain(end->peer)) return;
        pull(end->peer);
    }
    if (s->open && event & ~EPOLLOUT) pull(end);
}

// --------------------------------------------------------------------------------------- clients
static void welcome(int client) {
    Session *s = calloc(1, sizeof *s);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0) give_up("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    linger(fd, 1);  // until it ends in order
    s->open = 1;
    s->client = (End){.fd = client, .peer = &s->upstream, .session = s};
    s->upstream = (End){.fd = fd, .peer = &s->client, .session = s};
    s->before = &all, s->after = all.after, all.after->before = s, all.after = s;
    if (connect(fd, (void *)&where, sizeof where) && errno != EINPROGRESS) { reset(s); return; }
    table[fd] = &s->upstream;
    watch(fd, EPOLL_CTL_ADD, MASK | EPOLLET);
}
static int open_door(int port) {
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in here = where;
    here.sin_port = htons(port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);  // who is accepted inherits it
    if (bind(fd, (void *)&here, sizeof here) || listen(fd, BACKLOG)) give_up("bind");
    watch(fd, EPOLL_CTL_ADD, EPOLLIN);
    return fd;
}
static void obey(void) {
    if (read(0, data, sizeof data) <= 0) exit(0);
    cut();
}
int main(int argc, char **argv) {
    if (argc < 3) return 2;
    signal(SIGPIPE, SIG_IGN);
    where.sin_family = AF_INET, where.sin_port = htons(atoi(argv[2]));
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ep = epoll_create1(0);
    int door = open_door(atoi(argv[1]));
    watch(0, EPOLL_CTL_ADD, EPOLLIN);
    struct epoll_event events[BATCH];
    for (;;) {
        int n = epoll_wait(ep, events, BATCH, -1), has_clients = 0, is_told = 0;
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == door) has_clients = 1;
            else if (fd == 0) is_told = 1;
            else if (table[fd]) on_event(table[fd], events[i].events);
        }
        if (is_told) obey();
        for (int i = 0; has_clients && i < ACCEPTS; i++) {
            int client = accept4(door, NULL, NULL, SOCK_NONBLOCK);
            if (client < 0) break;
            welcome(client);
        }
        for (Session *s; (s = dead);) dead = s->dead, free(s);
    }
}
