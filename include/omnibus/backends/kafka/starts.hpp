// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <omnibus/backends/kafka/client.hpp>
#include <omnibus/backends/kafka/record.hpp>
#include <omnibus/result.hpp>
#include <omnibus/subscription_spec.hpp>

// Where reading begins in each partition. Asks the broker, and blocks while it does.

namespace omnibus::kafka {

/// The first offset of a partition, and the one after its last.
struct Watermarks {
  std::int64_t low = 0;
  std::int64_t high = 0;
};
inline Result<Watermarks> watermarks(rd_kafka_t* client, const char* topic, std::int32_t partition,
                                     int ms) {
  Watermarks found;
  const auto code =
      rd_kafka_query_watermark_offsets(client, topic, partition, &found.low, &found.high, ms);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(code, "look up the ends of a partition");
  return found;
}

/// Sets the offset at which a partition begins that has no position yet.
inline Result<> begin_at(rd_kafka_t* client, rd_kafka_topic_partition_t& partition, const Start& start,
                         int ms) {
  switch (start.from) {
    case Start::From::earliest: partition.offset = RD_KAFKA_OFFSET_BEGINNING; return {};
    case Start::From::position:
      partition.offset = RD_KAFKA_OFFSET_BEGINNING;
      for (const Start::At& at : start.positions) {
        if (at.partition != partition.partition) continue;
        partition.offset = static_cast<std::int64_t>(at.position.major);
      }
      return {};
    case Start::From::time: {
      const Offsets asked = new_offsets(1);
      auto* one = rd_kafka_topic_partition_list_add(asked.get(), partition.topic, partition.partition);
      one->offset = to_ms(start.time);
      auto code = rd_kafka_offsets_for_times(client, asked.get(), ms);
      if (code == RD_KAFKA_RESP_ERR_NO_ERROR) code = one->err;
      if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(code, "look up the offset of a time");
      partition.offset = one->offset;
      if (one->offset >= 0) return {};
      break;  // nothing is as late: the end
    }
    case Start::From::latest: break;
  }
  const Result<Watermarks> ends = watermarks(client, partition.topic, partition.partition, ms);
  if (!ends) return ends.error();
  // Said as a number, so that it stays the same when it is asked for again.
  partition.offset = ends->high;
  return {};
}

/// Sets the offsets at which a group goes on: what it has committed, or else what `start` says. Topics
/// other than the subscription's own begin with their first message. Blocks for up to `ms` a question.
inline Result<> resolve_starts(rd_kafka_t* client, rd_kafka_topic_partition_list_t& partitions,
                               const SubscriptionSpec& spec, int ms) {
  if (partitions.cnt == 0) return {};
  if (!spec.group.empty()) {
    const auto code = rd_kafka_committed(client, &partitions, ms);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
      return to_error(code, "look up what group \"" + spec.group + "\" has committed");
    }
  }
  for (int i = 0; i < partitions.cnt; ++i) {
    rd_kafka_topic_partition_t& each = partitions.elems[i];
    if (each.err != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(each.err, "look up offsets");
    if (!spec.group.empty() && each.offset >= 0) {
      set_recorded(each);
      continue;
    }
    const Start start = each.topic == spec.topic ? spec.start : Start{};
    if (const Result<> set = begin_at(client, each, start, ms); !set) return set;
  }
  return {};
}

}  // namespace omnibus::kafka
