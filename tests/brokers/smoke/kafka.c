/* SPDX-License-Identifier: MIT */
/* A message through a Kafka topic: produced with acks from all replicas, read by a consumer group. */
#define _POSIX_C_SOURCE 200809L
#include "smoke.h"

#include <librdkafka/rdkafka.h>

static const char topic[] = "omnibus.smoke";

static bool set(rd_kafka_conf_t *conf, const char *name, const char *value) {
    char why[256];
    return rd_kafka_conf_set(conf, name, value, why, sizeof why) == RD_KAFKA_CONF_OK ||
           smoke_failed(name, why);
}

/* Takes conf over, as rd_kafka_new does if it succeeds. */
static rd_kafka_t *open_kafka(rd_kafka_type_t type, rd_kafka_conf_t *conf) {
    char why[256];
    rd_kafka_t *kafka = rd_kafka_new(type, conf, why, sizeof why);
    if (kafka != NULL) return kafka;
    smoke_failed("kafka", why);
    rd_kafka_conf_destroy(conf);
    return NULL;
}

static void note_delivery(rd_kafka_t *kafka, const rd_kafka_message_t *message, void *opaque) {
    (void)kafka;
    *(rd_kafka_resp_err_t *)opaque = message->err;
}

static bool smoke_send(const char *endpoint, const char *text) {
    rd_kafka_resp_err_t outcome = RD_KAFKA_RESP_ERR__IN_PROGRESS;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (!set(conf, "bootstrap.servers", endpoint) || !set(conf, "enable.idempotence", "true") ||
        !set(conf, "message.timeout.ms", "20000") || !set(conf, "log_level", "3")) {
        rd_kafka_conf_destroy(conf);
        return false;
    }
    rd_kafka_conf_set_opaque(conf, &outcome);
    rd_kafka_conf_set_dr_msg_cb(conf, note_delivery);

    rd_kafka_t *kafka = open_kafka(RD_KAFKA_PRODUCER, conf);
    if (kafka == NULL) return false;
    const rd_kafka_resp_err_t error =
        rd_kafka_producev(kafka, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_KEY("smoke", 5),
                          RD_KAFKA_V_VALUE((void *)(size_t)text, strlen(text)),
                          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_flush(kafka, 25000);
    } else {
        outcome = error;
    }
    rd_kafka_destroy(kafka);
    return outcome == RD_KAFKA_RESP_ERR_NO_ERROR || smoke_failed("produce", rd_kafka_err2str(outcome));
}

/* The group remembers its place, so each text is received once, in turn. */
static bool receive(rd_kafka_t *kafka, const char *text) {
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, topic, RD_KAFKA_PARTITION_UA);
    const rd_kafka_resp_err_t error = rd_kafka_subscribe(kafka, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return smoke_failed("subscribe", rd_kafka_err2str(error));

    const double deadline = smoke_now() + 20;
    while (smoke_now() < deadline) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(kafka, 500);
        if (message == NULL) continue;
        if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) { /* passing: the topic or its group is coming up */
            rd_kafka_message_destroy(message);
            continue;
        }
        const bool same = message->len == strlen(text) && memcmp(message->payload, text, message->len) == 0;
        const rd_kafka_resp_err_t committed = rd_kafka_commit_message(kafka, message, 0);
        rd_kafka_message_destroy(message);
        if (!same) return smoke_failed("received another text than", text);
        return committed == RD_KAFKA_RESP_ERR_NO_ERROR || smoke_failed("commit", rd_kafka_err2str(committed));
    }
    return smoke_failed("receive", "no message");
}

static bool smoke_receive(const char *endpoint, const char *text) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (!set(conf, "bootstrap.servers", endpoint) || !set(conf, "group.id", "smoke") ||
        !set(conf, "auto.offset.reset", "earliest") || !set(conf, "enable.auto.commit", "false") ||
        !set(conf, "log_level", "3")) {
        rd_kafka_conf_destroy(conf);
        return false;
    }
    rd_kafka_t *kafka = open_kafka(RD_KAFKA_CONSUMER, conf);
    if (kafka == NULL) return false;
    rd_kafka_poll_set_consumer(kafka);
    const bool good = receive(kafka, text);
    rd_kafka_consumer_close(kafka);
    rd_kafka_destroy(kafka);
    return good;
}

int main(int argc, char **argv) { return smoke_main(argc, argv, "OMNIBUS_KAFKA", true); }
