// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include <omnibus/backends/kafka/client.hpp>
#include <omnibus/message.hpp>
#include <omnibus/result.hpp>

// How a publish ended, from librdkafka's report of it. Pure functions.

namespace omnibus::kafka {

/// Of a message that librdkafka counts as delivered. With each confirm the broker says where the batch stands,
/// also when it has had it twice. Where it has not said so, librdkafka takes it from a later batch that this
/// one must be there, which may be false of a producer's first batches in a partition: see `check_leaders`.
inline Result<Receipt> ending_of(const rd_kafka_message_t& sent) {
  if (sent.offset >= 0) return Receipt{sent.partition, {static_cast<std::uint64_t>(sent.offset), 0}};
  return Error::make(Errc::outcome_unknown,
                     "publish \"" + std::string{rd_kafka_topic_name(sent.rkt)} + "\"",
                     "the broker confirmed what comes after it, and not the message itself");
}

/// Of one that failed.
inline Error failure_of(const rd_kafka_message_t& sent) {
  Error error = to_error(sent.err, "publish \"" + std::string{rd_kafka_topic_name(sent.rkt)} + "\"");
  if (rd_kafka_message_status(&sent) == RD_KAFKA_MSG_STATUS_NOT_PERSISTED) return error;
  return Error::make(Errc::outcome_unknown, error.operation, error.context);
}

}  // namespace omnibus::kafka
