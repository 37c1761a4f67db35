// SPDX-License-Identifier: MIT
#include <omnibus/backends/kafka/client.hpp>

#include "catch.hpp"
#include "unit/backends/kafka/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::kafka;
using namespace omnibus::unit;

TEST_CASE("kafka: what each code of librdkafka and of the broker means") {
  struct Row {
    rd_kafka_resp_err_t code;
    Errc meaning;
  };
  const Row rows[] = {
      {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, Errc::too_large},
      {RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE, Errc::too_large},
      {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, Errc::not_found},
      {RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, Errc::not_found},
      {RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, Errc::not_found},
      {RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, Errc::invalid_argument},
      {RD_KAFKA_RESP_ERR__INVALID_ARG, Errc::invalid_argument},
      {RD_KAFKA_RESP_ERR__AUTHENTICATION, Errc::access_denied},
      {RD_KAFKA_RESP_ERR__SSL, Errc::access_denied},
      {RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, Errc::access_denied},
      {RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM, Errc::access_denied},
      {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, Errc::access_denied},
      {RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, Errc::access_denied},
      {RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, Errc::access_denied},
      {RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, Errc::access_denied},
      {RD_KAFKA_RESP_ERR__TRANSPORT, Errc::unavailable},
      {RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, Errc::unavailable},
      {RD_KAFKA_RESP_ERR__RESOLVE, Errc::unavailable},
      {RD_KAFKA_RESP_ERR__TIMED_OUT, Errc::unavailable},
      {RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE, Errc::unavailable},
      {RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, Errc::unavailable},
      {RD_KAFKA_RESP_ERR__WAIT_COORD, Errc::unavailable},
      {RD_KAFKA_RESP_ERR__FATAL, Errc::unavailable},
      {RD_KAFKA_RESP_ERR__PURGE_QUEUE, Errc::unavailable},
      {RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, Errc::unavailable},
      {RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, Errc::unavailable},
      {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, Errc::unavailable},
      {RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, Errc::unavailable},
      {RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION, Errc::unavailable},
      {RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, Errc::unavailable},
      {RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, Errc::unavailable},
      {RD_KAFKA_RESP_ERR_NOT_COORDINATOR, Errc::unavailable},
      {RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, Errc::unavailable},
      {RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE, Errc::unavailable},
      {RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE, Errc::unavailable},
      {RD_KAFKA_RESP_ERR_NOT_CONTROLLER, Errc::unavailable},
      {RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH, Errc::unavailable},
      {RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH, Errc::unavailable},
      {RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE, Errc::unavailable},
      {RD_KAFKA_RESP_ERR_PREFERRED_LEADER_NOT_AVAILABLE, Errc::unavailable},
      {RD_KAFKA_RESP_ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE, Errc::unavailable},
      {RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT, Errc::unavailable},
      {RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, Errc::unavailable},
      {RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED, Errc::unavailable},
      {RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, Errc::unavailable},
      {RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND, Errc::outcome_unknown},
      {RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE, Errc::position_lost},
      {RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, Errc::position_lost},
      {RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR, Errc::topology_mismatch},
      {RD_KAFKA_RESP_ERR_INVALID_PARTITIONS, Errc::topology_mismatch},
      {RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL, Errc::topology_mismatch},
      {RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE, Errc::unsupported},
      {RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION, Errc::unsupported},
      {RD_KAFKA_RESP_ERR__QUEUE_FULL, Errc::window_full},
      {RD_KAFKA_RESP_ERR_INVALID_MSG, Errc::rejected},
      {RD_KAFKA_RESP_ERR_POLICY_VIOLATION, Errc::rejected},
      {RD_KAFKA_RESP_ERR_INVALID_RECORD, Errc::rejected},
      {RD_KAFKA_RESP_ERR_INVALID_CONFIG, Errc::rejected},
      {RD_KAFKA_RESP_ERR_UNKNOWN, Errc::rejected},
      {static_cast<rd_kafka_resp_err_t>(200), Errc::rejected},
  };
  for (const Row& row : rows) {
    CAPTURE(rd_kafka_err2name(row.code));
    CHECK(errc_of(row.code) == row.meaning);
  }
}

TEST_CASE("kafka: what is a matter of the producer is none of the message") {
  for (const auto code :
       {RD_KAFKA_RESP_ERR__FATAL, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
        RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, RD_KAFKA_RESP_ERR_PRODUCER_FENCED,
        RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING, RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID}) {
    INFO(rd_kafka_err2name(code));
    CHECK(is_of_producer(code));
  }
  for (const auto code : {RD_KAFKA_RESP_ERR_NO_ERROR, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
                          RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_INVALID_RECORD,
                          RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS}) {
    INFO(rd_kafka_err2name(code));
    CHECK_FALSE(is_of_producer(code));
  }
}

TEST_CASE("kafka: an error says what was done, what the broker says of it, and its code") {
  const Error named = to_error(RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, "publish \"orders\"");
  CHECK(named.code == Errc::unavailable);
  CHECK(named.retryable);
  CHECK(named.operation == "publish \"orders\"");
  CHECK(named.context == "Broker: Not enough in-sync replicas (NOT_ENOUGH_REPLICAS)");
  const Error told = to_error(RD_KAFKA_RESP_ERR_POLICY_VIOLATION, "create", "names begin with x-");
  CHECK(told.context == "names begin with x- (POLICY_VIOLATION)");
  CHECK_FALSE(told.retryable);
}

TEST_CASE("kafka: codes that librdkafka does not know have words too") {
  const Error error = to_error(static_cast<rd_kafka_resp_err_t>(200), "publish");
  CHECK(error.code == Errc::rejected);
  CHECK_FALSE(error.context.empty());
}

TEST_CASE("kafka: a text that is missing is empty") {
  CHECK(text_of(nullptr).empty());
  CHECK(text_of("") == "");
  CHECK(text_of("text") == "text");
}

TEST_CASE("kafka: milliseconds until a moment are never too few, never negative, and bounded") {
  const Instant now{100h};
  CHECK(ms_until(now, now) == 0);
  CHECK(ms_until(now - 1ns, now) == 0);
  CHECK(ms_until(Instant::min(), now) == 0);
  CHECK(ms_until(now + 1ns, now) == 1);
  CHECK(ms_until(now + 1ms, now) == 1);
  CHECK(ms_until(now + 1ms + 1ns, now) == 2);
  CHECK(ms_until(now + 1h, now) == 3'600'000);
  CHECK(ms_until(now + 1h + 1ns, now) == 3'600'000);
  CHECK(ms_until(Instant::max(), now) == 3'600'000);
}

TEST_CASE("kafka: metadata of an offset are its own copy, of any bytes") {
  const Offsets list = new_offsets();
  std::string text = every_byte();
  rd_kafka_topic_partition_t& with =
      *rd_kafka_topic_partition_list_add(list.get(), "orders", 0);
  set_metadata(with, text);
  text.assign(text.size(), '?');
  CHECK(std::string_view{static_cast<const char*>(with.metadata), with.metadata_size} ==
        every_byte());
  rd_kafka_topic_partition_t& without =
      *rd_kafka_topic_partition_list_add(list.get(), "orders", 1);
  set_metadata(without, "");
  CHECK(without.metadata == nullptr);
  CHECK(without.metadata_size == 0);
}

TEST_CASE("kafka: a list of offsets grows beyond what it was made for") {
  const Offsets list = new_offsets(1);
  CHECK(list->cnt == 0);
  for (int i = 0; i < 100; ++i) rd_kafka_topic_partition_list_add(list.get(), "orders", i);
  CHECK(list->cnt == 100);
}
