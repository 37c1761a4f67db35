/* SPDX-License-Identifier: MIT */
/* What the three programs share: their command line, and deadlines.
 *
 *   NAME                 sends a text of its own and receives it
 *   NAME send TEXT       only sends: what a test does before it kills the server
 *   NAME receive TEXT    only receives, and takes away what it has received
 *
 * Each program defines smoke_send and smoke_receive; they return whether it went well, and may be
 * called again until the deadline: a server that has just been restarted refuses for a moment. */
#ifndef OMNIBUS_BROKERS_SMOKE_H
#define OMNIBUS_BROKERS_SMOKE_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool smoke_send(const char *endpoint, const char *text);
static bool smoke_receive(const char *endpoint, const char *text);

/* Says what went wrong, and is false. */
static inline bool smoke_failed(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    return false;
}

static inline double smoke_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* With several endpoints each try takes the next: one node of a cluster may be down. */
static inline bool smoke_try(bool (*action)(const char *, const char *), const char *endpoints,
                             const char *text, bool whole_list) {
    const double deadline = smoke_now() + 30;
    const char *next = endpoints;
    for (;;) {
        char one[512];
        size_t length = whole_list ? strlen(next) : strcspn(next, ",");
        snprintf(one, sizeof one, "%.*s", (int)length, next);
        if (action(one, text)) return true;
        if (smoke_now() > deadline) return false;
        next = next[length] == ',' ? next + length + 1 : endpoints;
        nanosleep(&(struct timespec){.tv_nsec = 100 * 1000 * 1000}, NULL);
    }
}

/* whole_list: the client itself takes a list of endpoints. */
static inline int smoke_main(int argc, char **argv, const char *variable, bool whole_list) {
    const char *endpoints = getenv(variable);
    if (endpoints == NULL) {
        fprintf(stderr, "%s is not set: run this under tests/brokers/with\n", variable);
        return 2;
    }
    char own[64];
    snprintf(own, sizeof own, "hello from process %ld", (long)getpid());
    const char *text = argc == 3 ? argv[2] : own;
    const bool send = argc == 1 || (argc == 3 && strcmp(argv[1], "send") == 0);
    const bool receive = argc == 1 || (argc == 3 && strcmp(argv[1], "receive") == 0);
    if (!send && !receive) {
        fprintf(stderr, "usage: %s [send|receive TEXT]\n", argv[0]);
        return 2;
    }
    if (send && !smoke_try(smoke_send, endpoints, text, whole_list)) return 1;
    if (receive && !smoke_try(smoke_receive, endpoints, text, whole_list)) return 1;
    return 0;
}

#endif
