/* SPDX-License-Identifier: MIT */
/* A message through a Redis stream, read by a consumer group and acknowledged. */
#define _POSIX_C_SOURCE 200809L
#include "smoke.h"

#include <hiredis/hiredis.h>

static redisContext *open_redis(const char *endpoint) {
    char host[64];
    int port;
    if (sscanf(endpoint, "redis://%63[^:]:%d", host, &port) != 2) {
        smoke_failed("not an endpoint", endpoint);
        return NULL;
    }
    redisContext *redis = redisConnectWithTimeout(host, port, (struct timeval){.tv_sec = 5});
    if (redis != NULL && redis->err == 0 &&
        redisSetTimeout(redis, (struct timeval){.tv_sec = 5}) == REDIS_OK) {
        return redis;
    }
    smoke_failed("redis connect", redis != NULL ? redis->errstr : "out of memory");
    if (redis != NULL) redisFree(redis);
    return NULL;
}

static bool is_good(const redisReply *reply, const redisContext *redis, const char *what) {
    if (reply == NULL) return smoke_failed(what, redis->errstr);
    if (reply->type == REDIS_REPLY_ERROR) return smoke_failed(what, reply->str);
    return true;
}

static bool smoke_send(const char *endpoint, const char *text) {
    redisContext *redis = open_redis(endpoint);
    if (redis == NULL) return false;
    redisReply *reply = redisCommand(redis, "XADD omnibus.smoke * text %s", text);
    const bool good = is_good(reply, redis, "XADD");
    freeReplyObject(reply);
    redisFree(redis);
    return good;
}

/* XREADGROUP answers [[stream, [[id, [field, value]], ...]]]: one step down at a time. */
static const redisReply *element(const redisReply *reply, size_t index) {
    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY || reply->elements <= index) return NULL;
    return reply->element[index];
}

static bool take(redisContext *redis, const redisReply *entry, const char *text) {
    const redisReply *id = element(entry, 0);
    const redisReply *value = element(element(entry, 1), 1);
    if (id == NULL || value == NULL) return smoke_failed("XREADGROUP", "no message");
    if (strcmp(value->str, text) != 0) return smoke_failed("received another text", value->str);
    redisReply *reply = redisCommand(redis, "XACK omnibus.smoke smoke %s", id->str);
    const bool good = is_good(reply, redis, "XACK");
    freeReplyObject(reply);
    return good;
}

static bool smoke_receive(const char *endpoint, const char *text) {
    redisContext *redis = open_redis(endpoint);
    if (redis == NULL) return false;
    /* Answers BUSYGROUP when the group is there already, which is as good. */
    freeReplyObject(redisCommand(redis, "XGROUP CREATE omnibus.smoke smoke 0 MKSTREAM"));
    redisReply *reply =
        redisCommand(redis, "XREADGROUP GROUP smoke one COUNT 1 BLOCK 2000 STREAMS omnibus.smoke >");
    const redisReply *entries = element(element(reply, 0), 1);
    const bool good =
        is_good(reply, redis, "XREADGROUP") && take(redis, element(entries, 0), text);
    freeReplyObject(reply);
    redisFree(redis);
    return good;
}

int main(int argc, char **argv) { return smoke_main(argc, argv, "OMNIBUS_REDIS", false); }
