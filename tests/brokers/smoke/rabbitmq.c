/* SPDX-License-Identifier: MIT */
/* A message through a durable quorum queue: published with a confirm, fetched and acknowledged. */
#define _POSIX_C_SOURCE 200809L
#include "smoke.h"

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <sys/time.h>

static const char queue[] = "omnibus.smoke";
enum { channel = 1 };

static bool is_good(amqp_rpc_reply_t reply, const char *what) {
    if (reply.reply_type == AMQP_RESPONSE_NORMAL) return true;
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION) {
        return smoke_failed(what, amqp_error_string2(reply.library_error));
    }
    return smoke_failed(what, "refused by the server");
}

static bool log_in(amqp_connection_state_t rabbit, const char *endpoint) {
    char url[512]; /* amqp_parse_url cuts it up */
    struct amqp_connection_info to;
    struct timeval patience = {.tv_sec = 5};
    snprintf(url, sizeof url, "%s", endpoint);
    if (amqp_parse_url(url, &to) != AMQP_STATUS_OK) return smoke_failed("not an endpoint", endpoint);

    amqp_socket_t *socket = amqp_tcp_socket_new(rabbit);
    if (socket == NULL) return smoke_failed("rabbitmq connect", "out of memory");
    const int status = amqp_socket_open_noblock(socket, to.host, to.port, &patience);
    if (status != AMQP_STATUS_OK) return smoke_failed("rabbitmq connect", amqp_error_string2(status));
    amqp_set_handshake_timeout(rabbit, &patience);
    amqp_set_rpc_timeout(rabbit, &patience);

    if (!is_good(amqp_login(rabbit, "/", 0, AMQP_DEFAULT_FRAME_SIZE, 0, AMQP_SASL_METHOD_PLAIN, to.user,
                            to.password),
                 "login")) {
        return false;
    }
    amqp_channel_open(rabbit, channel);
    if (!is_good(amqp_get_rpc_reply(rabbit), "open a channel")) return false;

    amqp_table_entry_t type = {.key = amqp_cstring_bytes("x-queue-type"),
                               .value = {.kind = AMQP_FIELD_KIND_UTF8,
                                         .value.bytes = amqp_cstring_bytes("quorum")}};
    amqp_queue_declare(rabbit, channel, amqp_cstring_bytes(queue), false, true, false, false,
                       (amqp_table_t){.num_entries = 1, .entries = &type});
    return is_good(amqp_get_rpc_reply(rabbit), "declare the queue");
}

static bool publish(amqp_connection_state_t rabbit, const char *text) {
    amqp_confirm_select(rabbit, channel);
    if (!is_good(amqp_get_rpc_reply(rabbit), "ask for confirms")) return false;

    const amqp_basic_properties_t persistent = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
                                                .delivery_mode = AMQP_DELIVERY_PERSISTENT};
    int status = amqp_basic_publish(rabbit, channel, amqp_empty_bytes, amqp_cstring_bytes(queue), true,
                                    false, &persistent, amqp_cstring_bytes(text));
    if (status != AMQP_STATUS_OK) return smoke_failed("publish", amqp_error_string2(status));

    amqp_frame_t frame;
    struct timeval patience = {.tv_sec = 5};
    status = amqp_simple_wait_frame_noblock(rabbit, &frame, &patience);
    if (status != AMQP_STATUS_OK) return smoke_failed("confirm", amqp_error_string2(status));
    return (frame.frame_type == AMQP_FRAME_METHOD && frame.payload.method.id == AMQP_BASIC_ACK_METHOD) ||
           smoke_failed("confirm", "the server did not take the message");
}

static bool fetch(amqp_connection_state_t rabbit, const char *text) {
    amqp_rpc_reply_t reply = amqp_basic_get(rabbit, channel, amqp_cstring_bytes(queue), false);
    if (!is_good(reply, "get")) return false;
    if (reply.reply.id != AMQP_BASIC_GET_OK_METHOD) return smoke_failed("get", "no message");
    const uint64_t tag = ((amqp_basic_get_ok_t *)reply.reply.decoded)->delivery_tag;

    amqp_message_t message;
    if (!is_good(amqp_read_message(rabbit, channel, &message, 0), "read the message")) return false;
    const bool same = message.body.len == strlen(text) && memcmp(message.body.bytes, text, strlen(text)) == 0;
    amqp_destroy_message(&message);
    if (!same) return smoke_failed("received another text than", text);
    return amqp_basic_ack(rabbit, channel, tag, false) == AMQP_STATUS_OK || smoke_failed("ack", "not sent");
}

static bool with_connection(const char *endpoint, bool (*action)(amqp_connection_state_t, const char *),
                            const char *text) {
    amqp_connection_state_t rabbit = amqp_new_connection();
    bool good = log_in(rabbit, endpoint) && action(rabbit, text);
    /* Closing politely waits for the server, and so for the acknowledgement before it. */
    good = good && is_good(amqp_connection_close(rabbit, AMQP_REPLY_SUCCESS), "close");
    amqp_destroy_connection(rabbit);
    return good;
}

static bool smoke_send(const char *endpoint, const char *text) {
    return with_connection(endpoint, publish, text);
}
static bool smoke_receive(const char *endpoint, const char *text) {
    return with_connection(endpoint, fetch, text);
}

int main(int argc, char **argv) { return smoke_main(argc, argv, "OMNIBUS_RABBITMQ", false); }
