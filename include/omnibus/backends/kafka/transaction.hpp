// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <omnibus/backends/kafka/client.hpp>
#include <omnibus/backends/kafka/outputs.hpp>
#include <omnibus/backends/kafka/producer.hpp>
#include <omnibus/time.hpp>

// One transaction, and what librdkafka's errors in it ask for.

namespace omnibus::kafka {

/// Who a consumer is in its group; the broker refuses the offsets of one that is no longer a member (KIP-447).
using Membership = Owned<rd_kafka_consumer_group_metadata_t, rd_kafka_consumer_group_metadata_destroy>;

/// What is published, and the offsets that are committed with it.
struct Transaction {
  struct Part {
    std::uint64_t incarnation = 0;  ///< of the partition that is read
    std::string topic;
    std::int32_t partition = 0;
    Outputs::Share share;
  };
  std::vector<Part> parts;
  Membership membership;

  Offsets offsets() const {
    Offsets all = new_offsets(parts.size());
    for (const Part& each : parts) {
      rd_kafka_topic_partition_list_add(all.get(), each.topic.c_str(), each.partition)->offset = each.share.offset;
    }
    return all;
  }
};

/// The producer's name: the broker lets nobody of the same name go on who was there before. Unique but for a member
/// with a name of its own, whose next process has the same.
inline std::string transactional_id(std::string_view group, std::string_view topic, std::string_view member) {
  std::string id{"omnibus-"};
  return id.append(group).append("-").append(topic).append("-").append(member);
}

/// How transactions are made.
struct TransactorPlan {
  std::string id;          ///< of the producer, see `transactional_id`
  Duration linger{};
  bool create_topics = true;
  TopicPlan topics{};      ///< how topics are made that are missing; the name does not count
};

/// What to do about an error.
enum class Remedy : std::uint8_t {
  again,  ///< the same call
  abort,  ///< abort the transaction; the next one may do better
  renew,  ///< nothing but a new producer, which first settles what became of this one's transaction
};

/// A pure function of what librdkafka says of it. What it says nothing of is fatal, by its manual.
constexpr Remedy remedy_of(bool fatal, bool abortable, bool retriable) noexcept {
  if (fatal) return Remedy::renew;
  if (abortable) return Remedy::abort;
  return retriable ? Remedy::again : Remedy::renew;
}
inline Remedy remedy_of(const rd_kafka_error_t& error) noexcept {
  return remedy_of(rd_kafka_error_is_fatal(&error) != 0, rd_kafka_error_txn_requires_abort(&error) != 0,
                   rd_kafka_error_is_retriable(&error) != 0);
}

}  // namespace omnibus::kafka
