// SPDX-License-Identifier: MIT
#pragma once

#include <librdkafka/rdkafka.h>

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/error.hpp>
#include <omnibus/time.hpp>

// librdkafka's objects, owned, and its errors in our words.

namespace omnibus::kafka {

/// Destroys an object of librdkafka with the function made for it.
template <auto destroy>
struct Destroyer {
  template <class T>
  void operator()(T* object) const noexcept {
    destroy(object);
  }
};
template <class T, auto destroy>
using Owned = std::unique_ptr<T, Destroyer<destroy>>;

using Conf = Owned<rd_kafka_conf_t, rd_kafka_conf_destroy>;
using Queue = Owned<rd_kafka_queue_t, rd_kafka_queue_destroy>;
using Topic = Owned<rd_kafka_topic_t, rd_kafka_topic_destroy>;
using Event = Owned<rd_kafka_event_t, rd_kafka_event_destroy>;
using Offsets = Owned<rd_kafka_topic_partition_list_t, rd_kafka_topic_partition_list_destroy>;
using LibraryError = Owned<rd_kafka_error_t, rd_kafka_error_destroy>;

/// A text from C, which may be missing.
inline std::string_view text_of(const char* text) noexcept {
  return text != nullptr ? std::string_view{text} : std::string_view{};
}

inline Offsets new_offsets(std::size_t size = 8) {
  return Offsets{rd_kafka_topic_partition_list_new(static_cast<int>(size))};
}

/// What the broker keeps beside an offset that is committed.
inline void set_metadata(rd_kafka_topic_partition_t& partition, std::string_view text) {
  if (text.empty()) return;
  partition.metadata = std::malloc(text.size());  // librdkafka frees it
  if (partition.metadata == nullptr) throw std::bad_alloc{};
  std::memcpy(partition.metadata, text.data(), text.size());
  partition.metadata_size = text.size();
}

/// That its offset is one which the group has committed.
inline void set_recorded(rd_kafka_topic_partition_t& partition) noexcept { partition.opaque = &partition; }
inline bool is_recorded(const rd_kafka_topic_partition_t& partition) noexcept { return partition.opaque != nullptr; }

/// The value of a client's property that is a number; 0 where it has none.
inline std::size_t number_of(rd_kafka_t* client, const char* property) noexcept {
  char text[32];
  std::size_t size = sizeof text;
  if (rd_kafka_conf_get(rd_kafka_conf(client), property, text, &size) != RD_KAFKA_CONF_OK) return 0;
  return std::strtoull(text, nullptr, 10);
}

/// Milliseconds until a moment, as librdkafka takes them; at least 0.
inline int ms_until(Instant until, Instant now) noexcept {
  if (until <= now) return 0;
  if (until - now > std::chrono::hours{1}) return 3'600'000;
  return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(until - now).count());
}

/// True for what is no matter of a message, but of the producer that sent it: the broker knows it no more,
/// or knows it otherwise. A pure function.
inline bool is_of_producer(rd_kafka_resp_err_t code) noexcept {
  switch (code) {
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
    case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING:
    case RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID: return true;
    default: return false;
  }
}

/// What kind of failure a code of librdkafka, or of the broker, is. A pure function.
inline Errc errc_of(rd_kafka_resp_err_t code) noexcept {
  switch (code) {
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE: return Errc::too_large;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION: return Errc::not_found;
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR__INVALID_ARG: return Errc::invalid_argument;
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__SSL:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED: return Errc::access_denied;
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__RESOLVE:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__WAIT_COORD:
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
    case RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION:
    case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS:
    case RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_CONTROLLER:
    case RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH:
    case RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH:
    case RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_PREFERRED_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT:
    case RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED:
    case RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR: return Errc::unavailable;
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND: return Errc::outcome_unknown;
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET: return Errc::position_lost;
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
    case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
    case RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL: return Errc::topology_mismatch;
    case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION: return Errc::unsupported;
    case RD_KAFKA_RESP_ERR__QUEUE_FULL: return Errc::window_full;
    default: return Errc::rejected;
  }
}

/// An error in our words: what was being done, and what librdkafka or the broker says of it.
inline Error to_error(rd_kafka_resp_err_t code, std::string operation, std::string_view detail = {}) {
  std::string context{detail.empty() ? std::string_view{rd_kafka_err2str(code)} : detail};
  context.append(" (").append(text_of(rd_kafka_err2name(code))).append(")");
  return Error::make(errc_of(code), std::move(operation), std::move(context));
}

}  // namespace omnibus::kafka
